/* Guarantee: a PTE store before shootdown() is seen by every access after it, on every hart.
 * Two harts may shoot at once: each waits for its own number. A hart that waits still answers, for M-mode
 * interrupts do not ask S-mode. */
#include "shootdown.h"
#include "csr.h"
#include "layout.h"
#include "machine.h"
#include "sv39.h"
#include "trap.h"

static struct {
    unsigned long asked, answered;
} __attribute__((aligned(64))) harts[MAX_HARTS];

static volatile unsigned int *msip(unsigned long hart)
{
    return (volatile unsigned int *)CLINT_BASE + hart;
}

static int answer(struct trap *t)
{
    unsigned long me = hart_id();
    if (t->cause != (CAUSE_INTERRUPT | 3))
        return 0;
    *msip(me) = 0;
    asm volatile("fence iorw, iorw" ::: "memory");      /* clear first, then look: a later asker interrupts again */
    unsigned long asked = __atomic_load_n(&harts[me].asked, __ATOMIC_ACQUIRE);
    sfence();
    __atomic_store_n(&harts[me].answered, asked, __ATOMIC_RELEASE);
    return 1;
}

void shootdown_ready(void)
{
    trap_hook_m = answer;
    csr_write(mie, MIE_MSIE);
}

void shootdown(void)
{
    unsigned long me = hart_id(), number[MAX_HARTS];
    sfence();
    for (unsigned long h = 0; h < machine.harts; h++)
        if (h != me) {
            number[h] = __atomic_add_fetch(&harts[h].asked, 1, __ATOMIC_ACQ_REL);
            asm volatile("fence iorw, iorw" ::: "memory");      /* the PTE and the number before the interrupt */
            *msip(h) = 1;
        }
    for (unsigned long h = 0; h < machine.harts; h++)
        if (h != me)
            while (__atomic_load_n(&harts[h].answered, __ATOMIC_ACQUIRE) < number[h])
                relax();
}

unsigned long shootdowns(void)
{
    unsigned long sum = 0;
    for (unsigned long h = 0; h < machine.harts; h++)
        sum += harts[h].asked;
    return sum;
}
