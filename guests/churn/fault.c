#include "fault.h"
#include "print.h"
#include "probe.h"
#include "sv39.h"
#include "trap.h"

struct faults faults[MAX_HARTS];

static int allowed(pte_t pte, unsigned long cause, unsigned long status)
{
    if (!(pte & PTE_V))
        return 0;
    if (pte & PTE_U ? cause == CAUSE_FETCH_PAGE || !(status & SSTATUS_SUM) : 0)
        return 0;
    if (cause == CAUSE_FETCH_PAGE)
        return !!(pte & PTE_X);
    if (cause == CAUSE_STORE_PAGE)
        return (pte & (PTE_R | PTE_W)) == (PTE_R | PTE_W);
    return pte & PTE_R || (status & SSTATUS_MXR && pte & PTE_X);
}

/* Svade: the hart leaves A and D to software. Set them in the table we run on, as another hart may do at the same time. */
static int set_bits(struct trap *t)
{
    volatile pte_t *entry = sv39_entry(pte_target(csr_read(satp) << 10), t->tval);
    pte_t pte = *entry, missing = PTE_A | (t->cause == CAUSE_STORE_PAGE ? PTE_D : 0);
    if (!allowed(pte, t->cause, t->status) || !(missing & ~pte))
        return 0;
    __atomic_fetch_or(entry, missing, __ATOMIC_RELAXED);
    sfence_address(t->tval);
    faults[hart_id()].bits_set++;
    return 1;
}

static int is_probe(struct trap *t)
{
    if (t->cause == CAUSE_FETCH_PAGE)
        return t->epc == t->tval && t->x[10] == t->epc; /* probe_call jumped there */
    return t->epc >= (unsigned long)probe_load && t->epc < (unsigned long)probe_end;
}

static int page_fault(struct trap *t)
{
    struct faults *f = &faults[hart_id()];
    if (t->cause != CAUSE_FETCH_PAGE && t->cause != CAUSE_LOAD_PAGE && t->cause != CAUSE_STORE_PAGE)
        return 0;
    if (set_bits(t))
        return 1;
    if (!is_probe(t))
        return 0;
    f->reported++;
    f->last_tval = t->tval;
    t->x[11] = t->cause;
    t->epc = t->x[1];                   /* probes are leaf functions */
    return 1;
}

void faults_to_supervisor(void)
{
    csr_write(medeleg, 1UL << CAUSE_FETCH_PAGE | 1UL << CAUSE_LOAD_PAGE | 1UL << CAUSE_STORE_PAGE);
    csr_write(stvec, trap_entry_s);
    trap_hook_s = page_fault;
}
