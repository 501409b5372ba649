/* A data page becomes a page table, is edited as data while it is one, and becomes a data page again. */
#include "moves.h"
#include "print.h"
#include "probe.h"
#include "view.h"

enum { USED = 8 };

static unsigned long entry_va(unsigned long table_va, int i)
{
    return table_va + (unsigned long)i * 61 * sizeof(pte_t);    /* entries 0, 61, 122, … */
}

static unsigned long former_va(int i)
{
    return FORMER + (unsigned long)i * 61 * PAGE_BYTES;
}

static int another(struct space *s, int frame)
{
    int other = (int)pick(s, s->frames - 1);
    return other + (other >= frame);
}

static void edit(unsigned long va, pte_t pte)
{
    must_equal("store to a former data page", 0, probe_store(va, pte).cause);
}

void frame_as_table(struct space *s)
{
    int frame = (int)pick(s, s->frames), slot = (int)pick(s, SLOTS), to[USED];
    pte_t expected[USED];
    unsigned long table_va = slot_va(slot);

    /* The slot shows the frame as data, and stays its ordinary mapping throughout. */
    s->slots[slot] = pte_of(frame_at(s, frame), PTE_V | PTE_R | PTE_W);
    s->frame_of[slot] = NOWHERE;
    sfence_address(table_va);
    sfence_address(table_va - WINDOW + HIGH);
    for (int i = 0; i < SV39_ENTRIES; i++)
        edit(table_va + (unsigned long)i * sizeof(pte_t), 0);
    for (int i = 0; i < USED; i++) {
        to[i] = another(s, frame);
        expected[i] = pte_of(frame_at(s, to[i]), PTE_V | PTE_R | PTE_W);
        edit(entry_va(table_va, i), expected[i]);
    }
    s->middle[2] = pte_of(frame_at(s, frame), PTE_V);
    sfence();
    s->maps++;
    for (int turn = 0; turn < 2 * USED; turn++) {
        int i = (int)pick(s, USED), w = (int)pick(s, WORDS);
        view_load(s, former_va(i), expected[i], to[i], w);
        view_store(s, former_va(i), &expected[i], to[i], w);
        struct probed seen = probe_load(entry_va(table_va, i));     /* A and D arrived in what is also data */
        must_equal("entry in a former data page", expected[i] | PTE_A, seen.value | (expected[i] & PTE_W ? 0 : PTE_A));
        i = (int)pick(s, USED);
        to[i] = another(s, frame);
        expected[i] = pte_of(frame_at(s, to[i]), PTE_V | PTE_R | (pick(s, 2) ? PTE_W : 0));
        edit(entry_va(table_va, i), expected[i]);
        sfence_address(former_va(i));
        sfence_address(former_va(i) - WINDOW + HIGH);
    }
    s->middle[2] = 0;
    sfence();
    view_none(former_va((int)pick(s, USED)));

    frame_fill(s, frame);
    asm volatile("fence.i" ::: "memory");
    s->slots[slot] = s->pte[slot] = 0;
    sfence();
    for (slot = 0; slot < SLOTS; slot++)
        if (s->frame_of[slot] == frame)
            slot_check(s, slot);
}
