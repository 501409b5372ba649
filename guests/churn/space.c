#include "space.h"
#include "machine.h"
#include "string.h"

struct space spaces[MAX_HARTS];
volatile pte_t *shared_slots;

enum { TABLES = 7 };                    /* pages of tables a hart needs, see space_build */

static volatile pte_t *shared_middle;

static char *take(char **from)
{
    char *page = *from;
    *from += PAGE_BYTES;
    memset(page, 0, PAGE_BYTES);
    return page;
}

void spaces_layout(unsigned long pages)
{
    char *next = (char *)ram_start();
    unsigned long room = (ram_end() - ram_start()) / PAGE_BYTES - 2;
    unsigned long most = room / machine.harts - TABLES;
    if (pages > most)
        pages = most;
    if (pages > FRAMES)
        pages = FRAMES;
    if (pages < 4)
        pages = 4;
    shared_middle = (volatile pte_t *)take(&next);
    shared_slots = (volatile pte_t *)take(&next);
    shared_middle[0] = pte_of(shared_slots, PTE_V);
    for (unsigned long h = 0; h < machine.harts; h++) {
        spaces[h].hart = h;
        spaces[h].frames = pages;
        spaces[h].memory = next;
        next += (pages + TABLES) * PAGE_BYTES;
    }
}

void frame_fill(struct space *s, int frame)
{
    volatile char *page = frame_at(s, frame);
    volatile unsigned int *code = (volatile unsigned int *)(page + CODE);
    for (int w = 0; w < WORDS; w++)
        *(volatile unsigned long *)(page + word_offset(w)) = s->value[frame][w] = random_next(&s->random);
    code[0] = (unsigned int)frame << 20 | 0x513;        /* li a0, frame */
    code[1] = 0x8067;                                   /* ret */
}

static void map_kernel(volatile pte_t *root)
{
    unsigned long flags = PTE_V | PTE_RWX | PTE_A | PTE_D;
    root[0] = pte_of((void *)0, PTE_V | PTE_R | PTE_W | PTE_A | PTE_D);
    root[sv39_index(RAM_BASE, 2)] = pte_of((void *)RAM_BASE, flags);
    root[sv39_index(SHARED, 2)] = pte_of(shared_middle, PTE_V);
}

void space_build(struct space *s)
{
    char *next = s->memory + s->frames * PAGE_BYTES;
    s->root = (volatile pte_t *)take(&next);
    s->root_b = (volatile pte_t *)take(&next);
    s->middle = (volatile pte_t *)take(&next);
    s->slots = (volatile pte_t *)take(&next);
    s->pieces = (volatile pte_t *)take(&next);
    volatile pte_t *middle_b = (volatile pte_t *)take(&next), *slots_b = (volatile pte_t *)take(&next);

    map_kernel(s->root);
    s->root[sv39_index(WINDOW, 2)] = pte_of(s->middle, PTE_V);
    s->root[sv39_index(HIGH, 2)] = pte_of(s->middle, PTE_V);
    s->middle[0] = pte_of(s->slots, PTE_V);
    map_kernel(s->root_b);
    s->root_b[sv39_index(WINDOW, 2)] = pte_of(middle_b, PTE_V);
    middle_b[0] = pte_of(slots_b, PTE_V);
    for (int slot = 0; slot < SLOTS; slot++) {
        slots_b[slot] = pte_of(frame_at(s, (slot * 7 + 1) % (int)s->frames), PTE_V | PTE_R | PTE_W | PTE_A | PTE_D);
        s->frame_of[slot] = NOWHERE;
        s->pte[slot] = 0;
    }
    for (int frame = 0; frame < (int)s->frames; frame++)
        frame_fill(s, frame);
    asm volatile("fence.i" ::: "memory");
}
