/* Sleeping. The timer interrupt stays disabled in mstatus: it ends wfi and is never taken. */
#include "time.h"
#include "layout.h"

void sleep_until(unsigned long ticks)
{
    volatile unsigned long *mtimecmp = (volatile unsigned long *)(CLINT_BASE + 0x4000);
    mtimecmp[hart_id()] = ticks;
    csr_set(mie, MIE_MTIE);
    while (time_now() < ticks)
        asm volatile("wfi" ::: "memory");
    csr_clear(mie, MIE_MTIE);
    mtimecmp[hart_id()] = ~0UL;
}
