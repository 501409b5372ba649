/* A heap: boundary tags, segregated free lists, first fit within a class, coalescing at once.
 *
 * A block is [header | payload … | footer]; both tags hold its size with bit 0 set while in use. The heap begins and
 * ends with a tag in use, so no neighbour is ever missing. Free blocks hold their list links in the payload.
 */
#ifndef HEAP_H
#define HEAP_H

#include "string.h"

enum { CLASSES = 24, MIN_BLOCK = 32, TAG = 8 };

struct block {
    size_t tag;                         /* size | 1 while in use */
    struct block *next, *previous;      /* only while free */
};

struct heap {
    char *start, *end;                  /* between the two fences */
    struct block *free[CLASSES];
    size_t in_use;                      /* bytes of blocks handed out */
};

void heap_init(struct heap *h, void *memory, size_t bytes);
void *heap_alloc(struct heap *h, size_t bytes);         /* 16-byte aligned, or 0 */
void heap_free(struct heap *h, void *payload);
size_t heap_payload(const void *payload);               /* how many bytes fit there */

/* Walk all blocks and lists; returns 0 when sound, else what is wrong. `*blocks` counts them. */
const char *heap_check(const struct heap *h, unsigned long *blocks);

#endif
