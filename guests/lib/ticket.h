/* Ticket lock: served in the order of arrival. For M-mode: who waits long sleeps by wfi, since harts may outnumber
   the cores under them, and then the next in line may be one that does not run. */
#ifndef TICKET_H
#define TICKET_H

#include "csr.h"
#include "time.h"

enum { SPINS = 500, NAP_TICKS = 200 };

struct ticket {
    unsigned int next, serving;
};

static inline void ticket_lock(struct ticket *t)
{
    unsigned int mine = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED);
    unsigned int spins = 0;
    while (__atomic_load_n(&t->serving, __ATOMIC_ACQUIRE) != mine) {    /* pairs with the release below */
        relax();
        if (++spins % SPINS == 0)
            sleep_until(time_now() + NAP_TICKS);
    }
}

static inline void ticket_unlock(struct ticket *t)
{
    __atomic_store_n(&t->serving, t->serving + 1, __ATOMIC_RELEASE);
}

#endif
