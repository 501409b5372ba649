/* Allocator torture: a heap of its own for each hart, and one for all under a ticket lock.
 *
 * Guarantees A1  a block keeps what its owner wrote until it is freed: no overlap, no lost store
 *            A2  blocks lie inside the heap, aligned to 16, and are as large as asked for
 *            A3  when all is freed each heap is one free block again
 * bootargs   rounds= operations a hart (40000)   seed= (1)
 */
#include "barrier.h"
#include "heap.h"
#include "layout.h"
#include "machine.h"
#include "print.h"
#include "prng.h"
#include "ticket.h"

const char program[] = "alloc";

enum {
    HELD = 192,
    CHECK_EVERY = 4096,
    OWN_BYTES = 48 << 10,               /* both tight: some requests are refused, and that is checked too */
    COMMON_BYTES = 64 << 10,
};

struct held {
    unsigned long *payload;
    size_t bytes;
    unsigned long stamp;
    int common;                         /* from the shared heap */
};

struct hart {
    struct heap heap;
    struct held held[HELD];
    unsigned long random, allocated, refused, moved;
} __attribute__((aligned(64)));

static struct hart harts[MAX_HARTS];
static struct heap common;
static struct ticket common_lock;
static unsigned long rounds, seed;

static void *allocate(struct hart *h, int shared, size_t bytes)
{
    void *p;
    if (!shared)
        return heap_alloc(&h->heap, bytes);
    ticket_lock(&common_lock);
    p = heap_alloc(&common, bytes);
    ticket_unlock(&common_lock);
    return p;
}

static void release(struct hart *h, int shared, void *p)
{
    if (!shared) {
        heap_free(&h->heap, p);
        return;
    }
    ticket_lock(&common_lock);
    heap_free(&common, p);
    ticket_unlock(&common_lock);
}

/* Each word of a block says whose it is and where it stands; the odd bytes at the end too. */
static void stamp(struct held *b)
{
    unsigned long words = b->bytes / 8;
    for (unsigned long i = 0; i < words; i++)
        b->payload[i] = mix(b->stamp + i);
    for (unsigned long i = words * 8; i < b->bytes; i++)
        ((unsigned char *)b->payload)[i] = (unsigned char)(b->stamp + i);
}

static void verify(const struct held *b, size_t bytes)
{
    unsigned long words = bytes / 8;
    for (unsigned long i = 0; i < words; i++)
        if (b->payload[i] != mix(b->stamp + i))
            fail("word %lu of the block at 0x%lx: expected 0x%lx found 0x%lx",
                 i, (unsigned long)b->payload, mix(b->stamp + i), b->payload[i]);
    if (bytes == b->bytes)
        for (unsigned long i = words * 8; i < bytes; i++)
            must_equal("byte of a block", (unsigned char)(b->stamp + i), ((unsigned char *)b->payload)[i]);
}

/* Mostly small, now and then large. */
static size_t random_size(struct hart *h)
{
    unsigned long r = random_next(&h->random);
    return 1 + (r >> 8) % (r & 63 ? r & 7 ? 200 : 2000 : 20000);
}

static void acquire(struct hart *h, struct held *b)
{
    const struct heap *from;
    b->common = (random_next(&h->random) & 7) == 0;
    b->bytes = random_size(h);
    b->payload = allocate(h, b->common, b->bytes);
    if (!b->payload) {
        h->refused++;
        return;
    }
    from = b->common ? &common : &h->heap;
    if ((unsigned long)b->payload & 15 || (char *)b->payload < from->start || (char *)b->payload + b->bytes > from->end ||
        heap_payload(b->payload) < b->bytes)
        fail("block of %lu bytes: expected inside its heap, found 0x%lx", b->bytes, (unsigned long)b->payload);
    b->stamp = random_next(&h->random);
    stamp(b);
    h->allocated++;
}

static void drop(struct hart *h, struct held *b)
{
    verify(b, b->bytes);
    release(h, b->common, b->payload);
    b->payload = 0;
}

/* Another size for what is held: its contents move, maybe to the other heap. */
static void resize(struct hart *h, struct held *b)
{
    struct held to = { .bytes = random_size(h), .stamp = b->stamp, .common = (random_next(&h->random) & 7) == 0 };
    size_t kept = to.bytes < b->bytes ? to.bytes : b->bytes;
    to.payload = allocate(h, to.common, to.bytes);
    if (!to.payload) {
        h->refused++;
        return;
    }
    memcpy(to.payload, b->payload, kept);
    verify(&to, kept & ~7UL);
    drop(h, b);
    *b = to;
    stamp(b);
    h->moved++;
}

static void must_be_sound(const char *which, const struct heap *heap, unsigned long *blocks)
{
    const char *wrong = heap_check(heap, blocks);
    if (wrong)
        fail("%s heap: expected sound, found wrong %s", which, wrong);
}

static void run(struct hart *h)
{
    unsigned long blocks;
    for (unsigned long i = 0; i < rounds; i++) {
        struct held *b = &h->held[random_below(&h->random, HELD)];
        if (!b->payload)
            acquire(h, b);
        else if (random_below(&h->random, 4) == 0)
            resize(h, b);
        else
            drop(h, b);
        if (i % CHECK_EVERY == 0) {
            must_be_sound("own", &h->heap, &blocks);
            ticket_lock(&common_lock);
            must_be_sound("shared", &common, &blocks);
            ticket_unlock(&common_lock);
        }
    }
    for (int i = 0; i < HELD; i++)
        if (h->held[i].payload)
            drop(h, &h->held[i]);
}

static void prepare(void)
{
    char *next = (char *)ram_start();
    rounds = bootarg("rounds", 40000);
    seed = bootarg("seed", 1);
    for (unsigned long i = 0; i < machine.harts; i++) {
        heap_init(&harts[i].heap, next, OWN_BYTES);
        next += OWN_BYTES;
        harts[i].random = seed * 64 + i;
    }
    heap_init(&common, next, COMMON_BYTES);
}

void guest(unsigned long me)
{
    unsigned long blocks, allocated = 0, refused = 0, moved = 0;
    if (me == 0)
        prepare();
    barrier();
    run(&harts[me]);
    must_be_sound("own", &harts[me].heap, &blocks);
    must_equal("blocks of the own heap at the end", 1, blocks);
    barrier();
    if (me)
        return;
    must_be_sound("shared", &common, &blocks);
    must_equal("blocks of the shared heap at the end", 1, blocks);
    for (unsigned long h = 0; h < machine.harts; h++) {
        allocated += harts[h].allocated;
        refused += harts[h].refused;
        moved += harts[h].moved;
    }
    pass("harts=%lu rounds=%lu allocated=%lu moved=%lu refused=%lu", machine.harts, rounds, allocated, moved, refused);
}
