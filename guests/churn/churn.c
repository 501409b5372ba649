/* Page-table churner: each hart in S-mode on Sv39 tables that it keeps changing, every access checked against a model.
 *
 * Guarantees C1  after the fence that the architecture asks for, a mapping is what its PTE says: value, permission, fault, stval
 *            C2  A and D appear in the guest's own PTE, set by the hart or by our fault handler; D only for a store
 *            C3  after a shootdown no hart uses the old translation: no access to a page gone, no store to a page protected
 * bootargs   rounds= moves a hart (2000)   every= moves from one shared round to the next (200)
 *            pages= frames a hart, at most 256 (64)   seed= (1)
 */
#include "barrier.h"
#include "csr.h"
#include "fault.h"
#include "machine.h"
#include "moves.h"
#include "print.h"
#include "shootdown.h"
#include "time.h"

const char program[] = "churn";

static char supervisor_stacks[MAX_HARTS][TRAP_STACK_BYTES] __attribute__((aligned(16)));
static unsigned long rounds, every, seed, started;

static void move(struct space *s)
{
    static void (*const often[])(struct space *) = { slot_map, slot_map, slot_map, slot_unmap, slot_protect, slot_aliases };
    static void (*const seldom[])(struct space *) = { slot_table_alias, root_switch, status_turn, superpage_turn, frame_as_table };
    if (pick(s, 4))
        often[pick(s, sizeof often / sizeof *often)](s);
    else
        seldom[pick(s, sizeof seldom / sizeof *seldom)](s);
    slot_check(s, (int)pick(s, SLOTS));
}

static void verify(struct space *s)
{
    for (int slot = 0; slot < SLOTS; slot++)
        slot_check(s, slot);
    for (int frame = 0; frame < (int)s->frames; frame++)
        for (int w = 0; w < WORDS; w++)
            must_equal("word of a frame at the end", s->value[frame][w],
                       *(volatile unsigned long *)(frame_at(s, frame) + word_offset(w)));
}

static void supervisor(unsigned long me)
{
    struct space *s = &spaces[me];
    csr_write(satp, satp_of(s->root));
    sfence();
    for (unsigned long round = 0; round < rounds; round++) {
        move(s);
        if (round % every == 0)
            shared_round(s, round / every, round / every % machine.harts);
    }
    verify(s);
    barrier();
    if (me)
        for (;;)
            asm volatile("wfi");
    unsigned long maps = 0, checks = 0, reported = 0, bits = 0;
    for (unsigned long h = 0; h < machine.harts; h++) {
        maps += spaces[h].maps;
        checks += spaces[h].checks;
        reported += faults[h].reported;
        bits += faults[h].bits_set;
    }
    pass("harts=%lu rounds=%lu maps=%lu checks=%lu faults=%lu a/d by trap=%lu shootdowns=%lu ms=%lu",
         machine.harts, rounds, maps, checks, reported, bits, shootdowns(), (time_now() - started) / TICKS_PER_MS);
}

/* From M to S-mode, on the same stack; `me` arrives in a0. */
static void __attribute__((noreturn)) descend(unsigned long me)
{
    csr_write(sscratch, supervisor_stacks[me + 1]);
    csr_clear(mstatus, MSTATUS_MPP);
    csr_set(mstatus, MSTATUS_MPP_S);
    csr_write(mepc, supervisor);
    register unsigned long a0 asm("a0") = me;
    asm volatile("mret" :: "r"(a0));
    __builtin_unreachable();
}

void guest(unsigned long me)
{
    if (me == 0) {
        rounds = bootarg("rounds", 2000);
        every = bootarg("every", 200);
        if (every == 0)
            every = 1;
        seed = bootarg("seed", 1);
        spaces_layout(bootarg("pages", 64));
        started = time_now();
    }
    barrier();
    spaces[me].random = seed * 64 + me;
    space_build(&spaces[me]);
    csr_write(pmpaddr0, -1UL);
    csr_write(pmpcfg0, 0x1f);
    csr_write(mcounteren, 7);
    faults_to_supervisor();
    shootdown_ready();
    barrier();
    descend(me);
}
