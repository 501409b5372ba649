#ifndef TIME_H
#define TIME_H

#include "csr.h"

static inline unsigned long time_now(void)      /* ticks of mtime */
{
    return csr_read(time);
}

void sleep_until(unsigned long ticks);          /* M-mode: by wfi, woken by this hart's timer */

#endif
