/* Page dirtier: the guest that a live migration must not lose a byte of.
 *
 * Owns       every hart a disjoint range of pages, and elsewhere a private table of what each page must hold
 * Guarantees D1  a page shows the last write of its owner: an older sequence number is a lost write, a younger one a doubled one
 *            D2  every word of a page is accounted for, also those that the last write did not touch
 *            D3  counters shared by all harts add up exactly
 * bootargs   pages= a hart (1024)   rate= MB of pages dirtied a second and hart, 0 is unlimited (50)   ms= (3000)
 *            seed= (1)   writes= page writes a hart instead of ms=, for a run that always does the same (0)
 *            keys= characters on the serial line instead of ms=, for a run that somebody else ends (0)
 */
#include "barrier.h"
#include "csr.h"
#include "layout.h"
#include "machine.h"
#include "print.h"
#include "prng.h"
#include "time.h"
#include "uart.h"

const char program[] = "dirty";

enum {
    WORDS = PAGE_BYTES / 8,
    STRIDE = 64,                        /* write number s touches the words j with j % STRIDE == s % STRIDE */
    SHARED_PAGES = 16,
    VERIFY_EVERY = 64,
    SHARE_EVERY = 4,
    LOOK_EVERY = 16,
    PROGRESS_MS = 500,
};

struct hart {
    unsigned long written;              /* read by hart 0 for its progress line */
    unsigned long shared[SHARED_PAGES]; /* what this hart added, by page */
    unsigned long checksum;
} __attribute__((aligned(64)));

static struct hart harts[MAX_HARTS];
static unsigned long pages, rate, deadline_ms, writes, keys, seed;
static unsigned long started;
static unsigned long typed;                    /* characters that came; written by hart 0, read by all */
static volatile unsigned long *shared, *all_pages;
static unsigned long *all_sequences;

static volatile unsigned long *page_at(unsigned long hart, unsigned long page)
{
    return all_pages + (hart * pages + page) * WORDS;
}

/* What word j of a page holds after its write number s: word 0 the number itself, the others a mix of page, word
   and the last write up to s that touched them (0: the first fill). */
static unsigned long word_after(unsigned long id, unsigned long s, unsigned long j)
{
    unsigned long age = (s - j) % STRIDE;
    if (j == 0)
        return s;
    return mix(id * WORDS + j + mix(s >= age ? s - age : 0));
}

static void fill_page(volatile unsigned long *page, unsigned long id)
{
    for (unsigned long j = 0; j < WORDS; j++)
        page[j] = word_after(id, 0, j);
}

static void write_page(volatile unsigned long *page, unsigned long id, unsigned long s)
{
    page[0] = s;
    for (unsigned long j = s % STRIDE; j < WORDS; j += STRIDE)
        if (j)
            page[j] = word_after(id, s, j);
}

static void verify_page(volatile unsigned long *page, unsigned long id, unsigned long s)
{
    for (unsigned long j = 0; j < WORDS; j++) {
        unsigned long found = page[j], expected = word_after(id, s, j);
        if (found != expected)
            fail("page %lu word %lu after write %lu: expected 0x%lx found 0x%lx", id, j, s, expected, found);
    }
}

static void share(unsigned long me, unsigned long *random)
{
    unsigned long at = random_below(random, SHARED_PAGES * WORDS);
    unsigned long amount = 1 + at % 7;
    __atomic_fetch_add(&shared[at], amount, __ATOMIC_RELAXED);
    harts[me].shared[at / WORDS] += amount;
}

/* Whether as many characters came as end the run. Hart 0 looks at the serial line now and then: each look leaves the guest. */
static int told(unsigned long me, unsigned long n)
{
    if (me == 0 && n % LOOK_EVERY == 0 && uart_get() >= 0)
        __atomic_store_n(&typed, typed + 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&typed, __ATOMIC_RELAXED) >= keys;
}

/* Before page write number n: wait for its turn at `rate`. Returns 0 when the time is over. */
static int turn(unsigned long me, unsigned long n)
{
    unsigned long due = rate ? started + n * (PAGE_BYTES * 10) / rate : 0;      /* 10 ticks a microsecond, rate bytes a microsecond */
    unsigned long end = keys ? ~0UL : started + deadline_ms * TICKS_PER_MS;
    if (writes)
        return n < writes;
    if (keys && told(me, n))
        return 0;
    if (due >= end) {
        sleep_until(end);
        return 0;
    }
    if (due > time_now() + TICKS_PER_MS)
        sleep_until(due);
    return time_now() < end;
}

static void report(void)
{
    static unsigned long next = PROGRESS_MS;
    unsigned long ms = (time_now() - started) / TICKS_PER_MS, total = 0;
    if (ms < next)
        return;
    next = ms - ms % PROGRESS_MS + PROGRESS_MS;
    for (unsigned long h = 0; h < machine.harts; h++)
        total += __atomic_load_n(&harts[h].written, __ATOMIC_RELAXED);
    print("dirty: t=%lu ms pages written=%lu", ms, total);
}

static void run(unsigned long me, unsigned long *sequence)
{
    unsigned long random = seed * 64 + me;
    unsigned long n = 0;
    for (; turn(me, n); n++) {
        unsigned long p = random_below(&random, pages);
        write_page(page_at(me, p), me * pages + p, ++sequence[p]);
        __atomic_store_n(&harts[me].written, n + 1, __ATOMIC_RELAXED);
        if (n % SHARE_EVERY == 0)
            share(me, &random);
        if (n % VERIFY_EVERY == 0) {
            p = random_below(&random, pages);
            verify_page(page_at(me, p), me * pages + p, sequence[p]);
        }
        if (me == 0)
            report();
    }
}

static void verify_shared(void)
{
    for (unsigned long p = 0; p < SHARED_PAGES; p++) {
        unsigned long expected = 0, found = 0;
        for (unsigned long h = 0; h < machine.harts; h++)
            expected += harts[h].shared[p];
        for (unsigned long j = 0; j < WORDS; j++)
            found += shared[p * WORDS + j];
        if (expected != found)
            fail("shared page %lu: expected sum %lu found %lu", p, expected, found);
    }
}

static void prepare(void)
{
    unsigned long room = (ram_end() - ram_start()) / PAGE_BYTES - SHARED_PAGES - MAX_HARTS;
    unsigned long most = room / machine.harts * (PAGE_BYTES - 8) / PAGE_BYTES;  /* 8 bytes of table for each page */
    pages = bootarg("pages", 1024);
    rate = bootarg("rate", 50);
    deadline_ms = bootarg("ms", 3000);
    writes = bootarg("writes", 0);
    keys = bootarg("keys", 0);
    seed = bootarg("seed", 1);
    if (pages > most)
        pages = most;
    if (pages == 0)
        pages = 1;
    shared = (volatile unsigned long *)ram_start();
    all_pages = shared + SHARED_PAGES * WORDS;
    all_sequences = (unsigned long *)page_at(machine.harts, 0);
    for (unsigned long j = 0; j < SHARED_PAGES * WORDS; j++)
        shared[j] = 0;
}

void guest(unsigned long me)
{
    if (me == 0)
        prepare();
    barrier();
    unsigned long *sequence = all_sequences + me * pages;
    for (unsigned long p = 0; p < pages; p++) {
        sequence[p] = 0;
        fill_page(page_at(me, p), me * pages + p);
    }
    barrier();
    if (me == 0)
        started = time_now();
    barrier();
    run(me, sequence);
    barrier();
    for (unsigned long p = 0; p < pages; p++) {
        verify_page(page_at(me, p), me * pages + p, sequence[p]);
        harts[me].checksum += mix(mix(me * pages + p) + sequence[p]);
    }
    barrier();
    if (me)
        return;
    verify_shared();
    unsigned long written = 0, added = 0, checksum = 0;
    for (unsigned long h = 0; h < machine.harts; h++) {
        written += harts[h].written;
        checksum += harts[h].checksum;
        for (unsigned long p = 0; p < SHARED_PAGES; p++)
            added += harts[h].shared[p];
    }
    pass("harts=%lu pages=%lu written=%lu shared=%lu checksum=%016lx",
         machine.harts, machine.harts * pages, written, added, checksum);
}
