/* One hash map that all harts insert into, delete from and look up in, and one lock-free free list.
 *
 * Owns       buckets with locks of their own; nodes travel pool -> map -> retired list -> some hart's pool
 * Guarantees H1  a key that one hart owns answers that hart with exactly what it last stored
 *            H2  for keys of all harts: what was added minus what was removed is what is left
 *            H3  every node is in one place: in the map, in the retired list or in one hart's pool
 *            H4  the LR/SC counters, .w and .d, counted every operation
 * bootargs   rounds= operations a hart (200k)   keys= (2000)   seed= (1)
 */
#include "barrier.h"
#include "bucket.h"
#include "layout.h"
#include "list.h"
#include "machine.h"
#include "print.h"
#include "prng.h"

const char program[] = "hashmap";

enum { BUCKETS = 512 };                 /* fewer than keys: chains and contention are the point */
enum { ABSENT = 0 };                    /* no key holds the value 0 */

struct hart {
    struct node *pool;
    unsigned long added, removed, operations, hits;
} __attribute__((aligned(64)));

static struct bucket buckets[BUCKETS];
static struct hart harts[MAX_HARTS];
static struct node *retired __attribute__((aligned(64)));
static unsigned int operations_w __attribute__((aligned(64)));
static unsigned long operations_d __attribute__((aligned(64)));
static unsigned long rounds, keys, seed, nodes;
static unsigned long *own_values;       /* by key: what its owner last stored */

static struct node *node_new(struct hart *h)
{
    if (!h->pool)
        h->pool = list_take_all(&retired);
    struct node *n = h->pool;
    if (n)
        h->pool = n->next;
    return n;
}

/* The link that points to the node of `key`, or to the end of its chain. The bucket is locked. */
static struct node **find(struct bucket *b, unsigned long key)
{
    struct node **link = &b->first;
    while (*link && (*link)->key != key)
        link = &(*link)->next;
    return link;
}

/* Set key's value, or add to it. Returns the value before; 0 and nothing done when out of nodes (`*done` tells). */
static unsigned long store(struct hart *h, unsigned long key, unsigned long value, int add, int *done)
{
    unsigned long at = mix(key) % BUCKETS, old = ABSENT;
    struct bucket *b = &buckets[at];
    bucket_lock(b, at & 1);
    struct node **link = find(b, key), *n = *link;
    *done = 1;
    if (n) {
        old = n->value;
        n->value = add ? old + value : value;
    } else if ((n = node_new(h))) {
        n->key = key;
        n->value = value;
        n->next = 0;
        *link = n;
    } else {
        *done = 0;
    }
    bucket_unlock(b, at & 1);
    return old;
}

static unsigned long delete(unsigned long key)
{
    unsigned long at = mix(key) % BUCKETS, old = ABSENT;
    struct bucket *b = &buckets[at];
    bucket_lock(b, at & 1);
    struct node **link = find(b, key), *n = *link;
    if (n) {
        old = n->value;
        *link = n->next;
        list_push(&retired, n);
    }
    bucket_unlock(b, at & 1);
    return old;
}

static unsigned long lookup(unsigned long key)
{
    unsigned long at = mix(key) % BUCKETS;
    struct bucket *b = &buckets[at];
    bucket_lock(b, at & 1);
    struct node *n = *find(b, key);
    unsigned long value = n ? n->value : ABSENT;
    bucket_unlock(b, at & 1);
    return value;
}

/* Keys below `keys` belong to one hart each; the next `keys` belong to all. */
static void step_own(unsigned long me, struct hart *h, unsigned long *random)
{
    unsigned long key = random_below(random, keys / machine.harts) * machine.harts + me;
    unsigned long *mine = &own_values[key];
    unsigned long what = random_below(random, 4), value = random_next(random) | 1;
    int done;
    if (what < 2) {
        must_equal("own key, lookup", *mine, lookup(key));
        h->hits += *mine != ABSENT;
    } else if (what == 2) {
        must_equal("own key, store", *mine, store(h, key, value, 0, &done));
        if (done)
            *mine = value;
    } else {
        must_equal("own key, delete", *mine, delete(key));
        *mine = ABSENT;
    }
}

static void step_common(struct hart *h, unsigned long *random)
{
    unsigned long key = keys + random_below(random, keys), value = 1 + random_below(random, 1000);
    int done;
    if (random_below(random, 4)) {
        store(h, key, value, 1, &done);
        if (done)
            h->added += value;
    } else {
        h->removed += delete(key);
    }
}

static void run(unsigned long me)
{
    struct hart *h = &harts[me];
    unsigned long random = seed * 64 + me;
    for (unsigned long i = 0; i < rounds; i++) {
        if (random_next(&random) & 1)
            step_own(me, h, &random);
        else
            step_common(h, &random);
        count_w(&operations_w);
        count_d(&operations_d, 1UL << 33 | 1);  /* the sum would not fit in a word: .d must be .d */
        h->operations++;
    }
}

static unsigned long length(const struct node *n)
{
    unsigned long count = 0;
    for (; n; n = n->next)
        count++;
    return count;
}

static void verify(void)
{
    unsigned long in_map = 0, free = length(retired), left = 0, added = 0, removed = 0, operations = 0, own = 0, hits = 0;
    for (unsigned long b = 0; b < BUCKETS; b++) {
        must_equal("lock of a bucket", 0, buckets[b].lock);
        for (struct node *n = buckets[b].first; n; n = n->next) {
            must_equal("bucket of a key", b, mix(n->key) % BUCKETS);
            in_map++;
            if (n->key >= keys)
                left += n->value;
            else {
                must_equal("own key, at the end", own_values[n->key], n->value);
                own++;
            }
        }
    }
    for (unsigned long key = 0; key < keys; key++)
        own -= own_values[key] != ABSENT;
    must_equal("own keys present, minus those stored", 0, own);
    for (unsigned long h = 0; h < machine.harts; h++) {
        free += length(harts[h].pool);
        added += harts[h].added;
        removed += harts[h].removed;
        operations += harts[h].operations;
        hits += harts[h].hits;
    }
    must_equal("nodes in the map and free", nodes, in_map + free);
    must_equal("sum left in common keys", added - removed, left);
    must_equal("LR/SC counter .w", (unsigned int)operations, operations_w);
    must_equal("LR/SC counter .d", operations * (1UL << 33 | 1), operations_d);
    pass("harts=%lu operations=%lu hits=%lu in map=%lu free=%lu sum=%lu",
         machine.harts, operations, hits, in_map, free, left);
}

static void prepare(void)
{
    rounds = bootarg("rounds", 200000);
    keys = bootarg("keys", 2000);
    seed = bootarg("seed", 1);
    if (keys < MAX_HARTS)
        keys = MAX_HARTS;
    if (keys > 100000)
        keys = 100000;
    own_values = (unsigned long *)ram_start();
    for (unsigned long key = 0; key < keys; key++)
        own_values[key] = ABSENT;
    /* Three nodes for four keys: running out is ordinary, and brings nodes from hart to hart. */
    nodes = keys + keys / 2;
    struct node *n = (struct node *)(own_values + keys);
    for (unsigned long i = 0; i < nodes; i++)
        list_push(&harts[i % machine.harts].pool, n + i);
}

void guest(unsigned long me)
{
    if (me == 0)
        prepare();
    barrier();
    run(me);
    barrier();
    if (me == 0)
        verify();
}
