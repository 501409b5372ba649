/* A 2 MiB page over the region that holds a frame, beside the 4 KiB slots of the same memory; split and collapsed. */
#include "moves.h"
#include "view.h"

static void set(struct space *s, pte_t pte)
{
    s->middle[1] = 0;                   /* break before make: never two sizes at once */
    sfence();
    s->middle[1] = pte;
    sfence();
    s->maps++;
}

/* Loads and stores at the large page, each seen by the slots of the frame. */
static void use(struct space *s, unsigned long va, pte_t *pte, int frame)
{
    int w = (int)pick(s, WORDS);
    view_load(s, va, *pte, frame, w);
    view_store(s, va, pte, frame, w);
    for (int slot = 0; slot < SLOTS; slot++)
        if (s->frame_of[slot] == frame) {
            view_load(s, slot_va(slot), s->pte[slot], frame, w);
            view_store(s, slot_va(slot), &s->pte[slot], frame, w);
        }
    view_load(s, va, *pte, frame, w);
    view_call(s, va, *pte, frame);
}

void superpage_turn(struct space *s)
{
    int frame = (int)pick(s, s->frames), other = (frame + 1) % (int)s->frames;
    unsigned long physical = (unsigned long)frame_at(s, frame), base = physical & ~(SUPERPAGE_BYTES - 1);
    unsigned long other_physical = (unsigned long)frame_at(s, other);
    unsigned long va = SUPER + physical - base + (pick(s, 2) ? HIGH - WINDOW : 0);
    unsigned long other_va = va + other_physical - physical;
    int neighbours = (other_physical & ~(SUPERPAGE_BYTES - 1)) == base;
    pte_t pte = pte_of((void *)base, PTE_V | PTE_RWX);

    set(s, pte);                        /* large, A and D clear */
    use(s, va, &pte, frame);
    entry_check(&s->middle[1], pte, 1);

    for (unsigned long i = 0; i < SV39_ENTRIES; i++)
        s->pieces[i] = pte_of((void *)(base + i * PAGE_BYTES), PTE_V | PTE_RWX);
    set(s, pte_of(s->pieces, PTE_V));   /* in pieces: each has its own A and D */
    volatile pte_t *piece = &s->pieces[(physical - base) / PAGE_BYTES];
    pte_t expected = pte_of((void *)physical, PTE_V | PTE_RWX);
    use(s, va, &expected, frame);
    entry_check(piece, expected, 1);
    *piece = expected &= ~PTE_W;        /* one piece read-only, its neighbour not */
    sfence_address(va);
    view_store(s, va, &expected, frame, 0);
    if (neighbours) {
        pte_t open = PTE_V | PTE_RWX;
        view_store(s, other_va, &open, other, 1);
    }
    entry_check(piece, expected, 0);

    pte = pte_of((void *)base, PTE_V | PTE_R | PTE_A | PTE_D);
    set(s, pte);                        /* large again, read-only */
    use(s, va, &pte, frame);
    s->middle[1] = 0;
    sfence();
    view_none(va);
}
