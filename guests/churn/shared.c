/* One page mapped for all harts by one table: unmapped, replaced and protected by one, used by the others meanwhile.
 *
 * The master edits the PTE, shoots down, then publishes the phase. Whoever reads the phase reads it with acquire:
 *   MAPPED      the page is there; what a hart added stays added
 *   GONE        every access faults
 *   REPLACED    another frame, with another value
 *   PROTECTED   loads go on, no store gets through: the counter stands still, as dirty logging needs it
 *   OPEN        stores get through again
 */
#include "barrier.h"
#include "machine.h"
#include "moves.h"
#include "print.h"
#include "probe.h"
#include "shootdown.h"
#include "trap.h"

enum phase { MAPPED, GONE, REPLACED, PROTECTED, OPEN, OVER };
enum { COUNTER = 0, MARK = 1032, MEANWHILE = 300 };

static unsigned long phase __attribute__((aligned(64)));
static unsigned long marks[2], added;

static unsigned long slot_of(unsigned long round)
{
    return SHARED + round % SV39_ENTRIES * PAGE_BYTES;
}

static void worker(unsigned long va)
{
    unsigned long mine = 0, now;
    while ((now = __atomic_load_n(&phase, __ATOMIC_ACQUIRE)) != OVER) {
        struct probed mark = probe_load(va + MARK), add = probe_add(va + COUNTER, 1);
        unsigned long then = __atomic_load_n(&phase, __ATOMIC_ACQUIRE);
        mine += add.cause == 0;
        relax();                        /* the master may need our core */
        if (then != now || now == OVER)
            continue;                   /* the master was between two phases */
        /* The next edit may already be under way, so a phase promises what both it and its successor leave possible. */
        if (now == GONE && (mark.cause == 0 && mark.value != marks[1]))
            fail("page gone: expected no load of 0x%lx, found one", mark.value);
        if (now == MAPPED && mark.cause == 0)
            must_equal("mark of the first frame", marks[0], mark.value);
        if (now >= REPLACED) {
            must_equal("load after the page was replaced", 0, mark.cause);
            must_equal("mark of the second frame", marks[1], mark.value);
        }
        if (now == OPEN)
            must_equal("store after the page was opened", 0, add.cause);
    }
    __atomic_fetch_add(&added, mine, __ATOMIC_RELAXED);
}

static void publish(unsigned long now)
{
    __atomic_store_n(&phase, now, __ATOMIC_RELEASE);
    for (int i = 0; i < MEANWHILE; i++)
        relax();
}

static unsigned long counter(volatile char *frame)
{
    return *(volatile unsigned long *)(frame + COUNTER);
}

static void edit(volatile pte_t *entry, pte_t pte, unsigned long now)
{
    *entry = pte;
    shootdown();
    publish(now);
}

static void master(unsigned long va, volatile char *first, volatile char *second)
{
    volatile pte_t *entry = &shared_slots[sv39_index(va, 0)];
    unsigned long flags = PTE_V | PTE_R | PTE_W | PTE_A | PTE_D;
    publish(MAPPED);
    edit(entry, 0, GONE);
    must_equal("master's load of the page gone", CAUSE_LOAD_PAGE, probe_load(va).cause);
    unsigned long stood = counter(first);
    for (int i = 0; i < MEANWHILE; i++)
        must_equal("counter of the page gone", stood, counter(first));
    edit(entry, pte_of(second, flags), REPLACED);
    must_equal("counter of the frame replaced", stood, counter(first));
    edit(entry, pte_of(second, flags & ~PTE_W), PROTECTED);
    stood = counter(second);
    for (int i = 0; i < MEANWHILE; i++)
        must_equal("counter of the page protected", stood, counter(second));
    must_equal("master's store to the page protected", CAUSE_STORE_PAGE, probe_store(va, 0).cause);
    edit(entry, pte_of(second, flags), OPEN);
    must_equal("master's add to the page opened", 0, probe_add(va, 0).cause);
    publish(OVER);
}

void shared_round(struct space *s, unsigned long round, unsigned long who)
{
    unsigned long va = slot_of(round);
    volatile char *first = frame_at(s, 0), *second = frame_at(s, 1);
    barrier();
    if (s->hart == who) {
        for (int i = 0; i < 2; i++)
            *(volatile unsigned long *)((i ? second : first) + MARK) = marks[i] = random_next(&s->random);
        *(volatile unsigned long *)(first + COUNTER) = *(volatile unsigned long *)(second + COUNTER) = 0;
        added = 0;
        shared_slots[sv39_index(va, 0)] = pte_of(first, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D);
        phase = MAPPED;
        shootdown();
    }
    barrier();
    if (s->hart == who)
        master(va, first, second);
    else
        worker(va);
    barrier();
    if (s->hart == who) {
        must_equal("additions that did not fault", __atomic_load_n(&added, __ATOMIC_RELAXED), counter(first) + counter(second));
        shared_slots[sv39_index(va, 0)] = 0;
        shootdown();
        frame_fill(s, 0);
        frame_fill(s, 1);
        asm volatile("fence.i" ::: "memory");
    }
    barrier();
}
