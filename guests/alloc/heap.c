#include "heap.h"

static size_t size_of(const struct block *b)
{
    return b->tag & ~1UL;
}

static int used(const struct block *b)
{
    return (int)(b->tag & 1);
}

static size_t *footer(struct block *b)
{
    return (size_t *)((char *)b + size_of(b) - TAG);
}

static struct block *after(const struct block *b)
{
    return (struct block *)((char *)b + size_of(b));
}

static void mark(struct block *b, size_t size, size_t in_use)
{
    b->tag = size | in_use;
    *footer(b) = b->tag;
}

/* Class c holds sizes of [32 << c/2 …): two classes for each power of two. */
static unsigned int class_of(size_t size)
{
    unsigned int c = 0;
    size_t limit = MIN_BLOCK;
    while (c + 2 < CLASSES && size >= limit * 2) {
        limit *= 2;
        c += 2;
    }
    return c + (c + 1 < CLASSES && size >= limit + limit / 2);
}

static void list_add(struct heap *h, struct block *b)
{
    struct block **head = &h->free[class_of(size_of(b))];
    b->next = *head;
    b->previous = 0;
    if (*head)
        (*head)->previous = b;
    *head = b;
}

static void list_remove(struct heap *h, struct block *b)
{
    if (b->previous)
        b->previous->next = b->next;
    else
        h->free[class_of(size_of(b))] = b->next;
    if (b->next)
        b->next->previous = b->previous;
}

void heap_init(struct heap *h, void *memory, size_t bytes)
{
    /* Payloads are 16-byte aligned: a header is 8 below a multiple of 16, and so are the fences. */
    char *base = (char *)(((unsigned long)memory + 15) & ~15UL);
    bytes = (bytes - (size_t)(base - (char *)memory)) & ~15UL;
    for (int c = 0; c < CLASSES; c++)
        h->free[c] = 0;
    h->start = base + TAG;
    h->end = base + bytes - TAG;
    h->in_use = 0;
    *(size_t *)base = 1;                /* the fences: used, of size 0 */
    *(size_t *)h->end = 1;
    mark((struct block *)h->start, (size_t)(h->end - h->start), 0);
    list_add(h, (struct block *)h->start);
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    size_t need = (bytes + 2 * TAG + 15) & ~15UL;
    if (need < MIN_BLOCK)
        need = MIN_BLOCK;
    for (unsigned int c = class_of(need); c < CLASSES; c++)
        for (struct block *b = h->free[c]; b; b = b->next) {
            size_t size = size_of(b);
            if (size < need)
                continue;
            list_remove(h, b);
            if (size - need >= MIN_BLOCK) {
                mark(b, need, 1);
                mark(after(b), size - need, 0);
                list_add(h, after(b));
            } else {
                mark(b, size, 1);
            }
            h->in_use += size_of(b);
            return (char *)b + TAG;
        }
    return 0;
}

void heap_free(struct heap *h, void *payload)
{
    struct block *b = (struct block *)((char *)payload - TAG);
    size_t size = size_of(b), below = *(size_t *)((char *)b - TAG);
    struct block *above = after(b);
    h->in_use -= size;
    if (!used(above)) {
        list_remove(h, above);
        size += size_of(above);
    }
    if (!(below & 1)) {
        b = (struct block *)((char *)b - below);
        list_remove(h, b);
        size += below;
    }
    mark(b, size, 0);
    list_add(h, b);
}

size_t heap_payload(const void *payload)
{
    return size_of((const struct block *)((const char *)payload - TAG)) - 2 * TAG;
}

const char *heap_check(const struct heap *h, unsigned long *blocks)
{
    size_t in_use = 0, free_bytes = 0, listed = 0;
    int was_free = 0;
    *blocks = 0;
    for (struct block *b = (struct block *)h->start; (char *)b != h->end; b = after(b)) {
        if (size_of(b) < MIN_BLOCK || (char *)b + size_of(b) > h->end)
            return "size of a block";
        if (*footer(b) != b->tag)
            return "footer of a block";
        if (was_free && !used(b))
            return "two free neighbours";
        was_free = !used(b);
        *(used(b) ? &in_use : &free_bytes) += size_of(b);
        ++*blocks;
    }
    for (unsigned int c = 0; c < CLASSES; c++)
        for (const struct block *b = h->free[c]; b; b = b->next) {
            if (used(b) || class_of(size_of(b)) != c || (b->next && b->next->previous != b))
                return "free list";
            listed += size_of(b);
        }
    if (in_use != h->in_use)
        return "bytes in use";
    return listed == free_bytes ? 0 : "free bytes";
}
