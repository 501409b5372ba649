/* 4 KiB slots: mapped, unmapped, protected, aliased, and edited through mappings of their own table. */
#include "moves.h"
#include "print.h"
#include "probe.h"
#include "view.h"

/* Both addresses of a slot; after an edit one must be fenced with the other. */
static void fence_slot(struct space *s, int slot)
{
    switch (pick(s, 3)) {
    case 0:
        sfence();
        break;
    case 1:
        sfence_address(slot_va(slot));
        sfence_address(slot_va(slot) - WINDOW + HIGH);
        break;
    default:
        sfence_address_asid(slot_va(slot), 0);
        sfence_address_asid(slot_va(slot) - WINDOW + HIGH, 0);
    }
}

static unsigned long either_va(struct space *s, int slot)
{
    return slot_va(slot) + (pick(s, 2) ? HIGH - WINDOW : 0);
}

static unsigned long random_flags(struct space *s)
{
    static const unsigned char kinds[] = { PTE_R, PTE_R | PTE_W, PTE_R | PTE_W, PTE_X, PTE_R | PTE_X, PTE_RWX };
    unsigned long flags = PTE_V | kinds[pick(s, sizeof kinds)];
    unsigned long bits = random_next(&s->random);
    if (bits & 1)
        flags |= PTE_A;
    if (bits & 2)
        flags |= PTE_D;
    if ((bits & 12) == 12)
        flags |= PTE_U;
    if ((bits & 48) == 48)
        flags |= PTE_G;
    return flags | (bits >> 6 & 3) << 8;        /* software's bits */
}

static void set(struct space *s, int slot, int frame, pte_t pte)
{
    s->slots[slot] = pte;
    s->pte[slot] = pte & ~PTE_A;
    s->frame_of[slot] = frame;
    fence_slot(s, slot);
    s->maps++;
}

void slot_check(struct space *s, int slot)
{
    int frame = s->frame_of[slot], w = (int)pick(s, WORDS);
    if (frame == NOWHERE) {
        view_none(either_va(s, slot));
        return;
    }
    int readable = s->pte[slot] & PTE_R && !(s->pte[slot] & PTE_U);
    view_load(s, either_va(s, slot), s->pte[slot], frame, w);
    entry_check(&s->slots[slot], s->pte[slot], readable);
    if (pick(s, 2)) {
        view_store(s, either_va(s, slot), &s->pte[slot], frame, w);
        entry_check(&s->slots[slot], s->pte[slot], readable);
    }
    if (pick(s, 4) == 0)
        view_call(s, either_va(s, slot), s->pte[slot], frame);
}

void slot_map(struct space *s)
{
    int slot = (int)pick(s, SLOTS), frame = (int)pick(s, s->frames);
    set(s, slot, frame, pte_of(frame_at(s, frame), random_flags(s)));
    slot_check(s, slot);
}

void slot_unmap(struct space *s)
{
    int slot = (int)pick(s, SLOTS);
    set(s, slot, NOWHERE, 0);
    view_none(either_va(s, slot));
}

/* Read-only: a store must trap. Read-write again: the same store must not. */
void slot_protect(struct space *s)
{
    int slot = (int)pick(s, SLOTS), frame = (int)pick(s, s->frames), w = (int)pick(s, WORDS);
    pte_t pte = pte_of(frame_at(s, frame), PTE_V | PTE_R | PTE_W | PTE_A);
    set(s, slot, frame, pte);
    view_store(s, either_va(s, slot), &s->pte[slot], frame, w);
    set(s, slot, frame, s->pte[slot] & ~PTE_W);
    view_store(s, either_va(s, slot), &s->pte[slot], frame, w);
    view_load(s, either_va(s, slot), s->pte[slot], frame, w);
    set(s, slot, frame, s->pte[slot] | PTE_W);
    view_store(s, either_va(s, slot), &s->pte[slot], frame, w);
    entry_check(&s->slots[slot], s->pte[slot], 1);
}

/* What one slot stores, every other slot of the same frame shows. */
void slot_aliases(struct space *s)
{
    int frame = (int)pick(s, s->frames), w = (int)pick(s, WORDS);
    for (int slot = 0; slot < SLOTS; slot++)
        if (s->frame_of[slot] == frame) {
            view_store(s, either_va(s, slot), &s->pte[slot], frame, w);
            for (int other = 0; other < SLOTS; other++)
                if (s->frame_of[other] == frame)
                    view_load(s, either_va(s, other), s->pte[other], frame, w);
        }
}

/* One slot shows the table of all slots: PTEs are written as data, through a mapping that they themselves make. */
void slot_table_alias(struct space *s)
{
    int through = (int)pick(s, SLOTS);
    set(s, through, NOWHERE, pte_of(s->slots, PTE_V | PTE_R | PTE_W));
    for (int turn = 0; turn < 4; turn++) {
        int slot = (int)pick(s, SLOTS), frame = (int)pick(s, s->frames);
        pte_t pte = pte_of(frame_at(s, frame), random_flags(s));
        unsigned long at = either_va(s, through) + (unsigned long)slot * sizeof(pte_t);
        if (slot == through)
            continue;
        must_equal("pte seen through its table's alias", s->slots[slot], probe_load(at).value);
        must_equal("store of a pte through an alias", 0, probe_store(at, pte).cause);
        s->pte[slot] = pte & ~PTE_A;
        s->frame_of[slot] = frame;
        fence_slot(s, slot);
        slot_check(s, slot);
        must_equal("pte after the access, through the alias", s->slots[slot], probe_load(at).value);
    }
    set(s, through, NOWHERE, 0);        /* and the mapping that showed it is gone as well */
    view_none(either_va(s, through));
}

/* Root B shows other frames at the same addresses. */
void root_switch(struct space *s)
{
    csr_write(satp, satp_of(s->root_b));
    sfence();
    for (int turn = 0; turn < 4; turn++) {
        int slot = (int)pick(s, SLOTS), frame = (slot * 7 + 1) % (int)s->frames, w = (int)pick(s, WORDS);
        pte_t pte = PTE_V | PTE_R | PTE_W | PTE_A;
        view_load(s, slot_va(slot), pte, frame, w);
        view_store(s, slot_va(slot), &pte, frame, w);
        view_none(slot_va(slot) - WINDOW + HIGH);
    }
    csr_write(satp, satp_of(s->root));
    sfence();
    slot_check(s, (int)pick(s, SLOTS));
}

void status_turn(struct space *s)
{
    unsigned long bit = pick(s, 2) ? SSTATUS_SUM : SSTATUS_MXR;
    s->status ^= bit;
    if (s->status & bit)
        csr_set(sstatus, bit);
    else
        csr_clear(sstatus, bit);
    for (int slot = 0; slot < SLOTS; slot += 7)
        slot_check(s, slot);
}
