#include "harts.h"
#include "barrier.h"
#include "call.h"
#include "csr.h"
#include "machine.h"
#include "print.h"
#include "time.h"
#include "trap.h"

struct interrupts interrupts[MAX_HARTS];

enum { SSIE = 2, STIE = 32, SIE = 2 };

static int interrupt(struct trap *t)
{
    struct interrupts *mine = &interrupts[hart_id()];
    if (t->cause == (CAUSE_INTERRUPT | 1)) {
        csr_clear(sip, SSIE);
        __atomic_fetch_add(&mine->ipis, 1, __ATOMIC_ACQ_REL);
    } else if (t->cause == (CAUSE_INTERRUPT | 5)) {
        sbi2(SBI_TIME, 0, -1UL, 0);     /* also takes the pending bit away */
        __atomic_fetch_add(&mine->timers, 1, __ATOMIC_ACQ_REL);
    } else {
        return 0;
    }
    return 1;
}

void interrupts_open(void)
{
    trap_hook_s = interrupt;
    csr_write(sie, SSIE | STIE);
    csr_set(sstatus, SIE);
}

void interrupts_close(void)
{
    csr_clear(sstatus, SIE);
    csr_write(sie, 0);
}

void test_timer(unsigned long me)
{
    volatile unsigned long *timers = &interrupts[me].timers;
    unsigned long before = *timers, due = time_now() + 2 * TICKS_PER_MS;
    must_equal("set_timer", 0, (unsigned long)sbi2(SBI_TIME, 0, due, 0).error);
    while (*timers == before) {
        csr_clear(sstatus, SIE);        /* or the interrupt could come between the look and the wfi */
        if (*timers == before)
            asm volatile("wfi" ::: "memory");
        csr_set(sstatus, SIE);
    }
    if (time_now() < due)
        fail("timer interrupt: expected not before %lu found %lu", due, time_now());
    must_equal("timer interrupts", before + 1, *timers);
    sbi2(SBI_TIME, 0, -1UL, 0);
    barrier();
}

/* Each hart in turn interrupts all others by mask, then all by the base -1, itself included. */
void test_ipi(unsigned long me, unsigned long first)
{
    unsigned long all = (1UL << machine.harts) - 1;
    volatile unsigned long *ipis = &interrupts[me].ipis;
    (void)first;
    for (unsigned long sender = 0; sender < machine.harts; sender++)
        for (int everyone = 0; everyone < 2; everyone++) {
            unsigned long before = *ipis, expected = before + (everyone || me != sender);
            barrier();
            if (me == sender) {
                struct answer a = everyone ? sbi2(SBI_IPI, 0, 0, -1UL) : sbi2(SBI_IPI, 0, all & ~(1UL << me), 0);
                must_equal("send_ipi", 0, (unsigned long)a.error);
            }
            while (*ipis != expected)
                relax();
            barrier();
            must_equal("software interrupts", expected, *ipis);
        }
}
