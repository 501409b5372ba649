/* The address spaces of a hart, and a model of what its pages hold.
 *
 * Every hart has frames (data pages), slots (virtual pages that show frames, many to one) and two roots.
 *   identity    RAM and devices as gigapages, in both roots: the kernel's own view
 *   WINDOW      root A: 4 KiB slots, a 2 MiB area, an area whose table is a former data page; root B: other slots
 *   HIGH        root A: the same tables as WINDOW once more, so each slot has two addresses and one PTE
 *   SHARED      one table for all harts
 * The model says for each slot which frame and flags it has and for each frame what four of its words hold.
 */
#ifndef SPACE_H
#define SPACE_H

#include "layout.h"
#include "prng.h"
#include "sv39.h"

#define WINDOW  0x1000000000UL
#define HIGH    0xffffffd000000000UL
#define SHARED  0x2000000000UL
#define SUPER   (WINDOW + SUPERPAGE_BYTES)
#define FORMER  (WINDOW + 2 * SUPERPAGE_BYTES)

enum { FRAMES = 256, SLOTS = 96, WORDS = 4, CODE = 2048, NOWHERE = -1 };

struct space {
    unsigned long hart, frames;
    unsigned long random;
    volatile pte_t *root, *root_b, *middle, *slots, *pieces;
    char *memory;                       /* the frames */
    unsigned long value[FRAMES][WORDS];
    int frame_of[SLOTS];                /* NOWHERE when unmapped */
    pte_t pte[SLOTS];                   /* as it must be, except A */
    unsigned long status;               /* SUM and MXR as they are now */
    unsigned long maps, checks;
};

extern struct space spaces[MAX_HARTS];
extern volatile pte_t *shared_slots;    /* the last-level table of SHARED */

void spaces_layout(unsigned long pages);        /* hart 0: who gets which memory */
void space_build(struct space *s);              /* each hart: its tables and frames */

static inline char *frame_at(struct space *s, int frame)
{
    return s->memory + (unsigned long)frame * PAGE_BYTES;
}

/* Where word w of a page is: spread over it, and clear of the code in its middle. */
static inline unsigned long word_offset(int w)
{
    return (unsigned long)w * 1032;
}

static inline unsigned long slot_va(int slot)
{
    return WINDOW + (unsigned long)slot * PAGE_BYTES;
}

void frame_fill(struct space *s, int frame);            /* new values and code, through the identity mapping */

static inline unsigned long pick(struct space *s, unsigned long n)
{
    return random_below(&s->random, n);
}

#endif
