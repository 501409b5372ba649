/* Three sorts over private arrays: a benchmark that shares nothing in its hot loop, so harts must scale.
 *
 * Guarantees S1  each result is in order and holds exactly what went in (a sum and a sum of mixes)
 *            S2  the checksum depends on n=, rounds=, seed= and the number of harts only
 * bootargs   n= elements a hart (64k)   rounds= (6)   seed= (1)
 */
#include "barrier.h"
#include "csr.h"
#include "layout.h"
#include "machine.h"
#include "print.h"
#include "prng.h"
#include "time.h"

const char program[] = "sort";

enum { SMALL = 12 };                    /* quicksort leaves runs of this length to insertion sort */

struct hart {
    unsigned long instructions, checksum;
} __attribute__((aligned(64)));

static struct hart harts[MAX_HARTS];
static unsigned long n, rounds, seed;

static void swap(long *a, long *b)
{
    long t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(long *a, unsigned long count)
{
    for (unsigned long i = 1; i < count; i++) {
        long v = a[i];
        unsigned long j = i;
        for (; j && a[j - 1] > v; j--)
            a[j] = a[j - 1];
        a[j] = v;
    }
}

static void quicksort(long *a, unsigned long count)
{
    while (count > SMALL) {
        long *low = a, *high = a + count - 1, *middle = a + count / 2;
        if (*middle < *low)
            swap(middle, low);
        if (*high < *middle) {
            swap(high, middle);
            if (*middle < *low)
                swap(middle, low);
        }
        long pivot = *middle;
        while (low <= high) {
            while (*low < pivot)
                low++;
            while (pivot < *high)
                high--;
            if (low <= high)
                swap(low++, high--);
        }
        /* Recursion takes the smaller side, so the stack holds log2(count) frames. */
        unsigned long left = (unsigned long)(high - a) + 1, right = count - (unsigned long)(low - a);
        if (left < right) {
            quicksort(a, left);
            a = low;
            count = right;
        } else {
            quicksort(low, right);
            count = left;
        }
    }
    insertion_sort(a, count);
}

/* Bottom-up; `other` is as large as `a`, and the result is always moved to `a`. */
static void mergesort(long *a, long *other, unsigned long count)
{
    long *from = a, *to = other;
    for (unsigned long run = 1; run < count; run *= 2) {
        for (unsigned long start = 0; start < count; start += 2 * run) {
            unsigned long i = start, i_end = start + run < count ? start + run : count;
            unsigned long j = i_end, j_end = i_end + run < count ? i_end + run : count;
            for (unsigned long k = start; k < j_end; k++)
                to[k] = i < i_end && (j >= j_end || from[i] <= from[j]) ? from[i++] : from[j++];
        }
        long *t = from;
        from = to;
        to = t;
    }
    if (from != a)
        for (unsigned long k = 0; k < count; k++)
            a[k] = from[k];
}

static void sift_down(long *a, unsigned long root, unsigned long count)
{
    long v = a[root];
    for (unsigned long child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && a[child] < a[child + 1])
            child++;
        if (a[child] <= v)
            break;
        a[root] = a[child];
    }
    a[root] = v;
}

static void heapsort(long *a, unsigned long count)
{
    for (unsigned long i = count / 2; i--;)
        sift_down(a, i, count);
    for (unsigned long end = count; end-- > 1;) {
        swap(&a[0], &a[end]);
        sift_down(a, 0, end);
    }
}

static unsigned long fill(long *a, unsigned long random)
{
    unsigned long bag = 0;
    for (unsigned long i = 0; i < n; i++) {
        a[i] = (long)random_next(&random);
        if (i % 8 == 7)
            a[i] = a[i / 2];            /* equal keys are part of sorting */
        bag += mix((unsigned long)a[i]);
    }
    return bag;
}

static unsigned long verify(const char *what, const long *a, unsigned long bag)
{
    unsigned long found = 0, order = 0;
    for (unsigned long i = 0; i < n; i++) {
        if (i && a[i - 1] > a[i])
            fail("%s: element %lu: expected at least 0x%lx found 0x%lx", what, i, a[i - 1], a[i]);
        found += mix((unsigned long)a[i]);
        order = order * 31 + (unsigned long)a[i];
    }
    must_equal(what, bag, found);
    return order;
}

static void run(unsigned long me, long *a, long *other)
{
    unsigned long checksum = 0;
    for (unsigned long round = 0; round < rounds; round++) {
        unsigned long random = mix(seed + round * MAX_HARTS + me);
        unsigned long bag = fill(a, random);
        quicksort(a, n);
        unsigned long order = verify("quicksort", a, bag);
        fill(a, random);
        mergesort(a, other, n);
        must_equal("mergesort against quicksort", order, verify("mergesort", a, bag));
        fill(a, random);
        heapsort(a, n);
        must_equal("heapsort against quicksort", order, verify("heapsort", a, bag));
        checksum = mix(checksum + order);
    }
    harts[me].checksum = checksum;
}

void guest(unsigned long me)
{
    static unsigned long started;
    if (me == 0) {
        unsigned long most = (ram_end() - ram_start()) / machine.harts / (2 * sizeof(long));
        n = bootarg("n", 64 << 10);
        rounds = bootarg("rounds", 6);
        seed = bootarg("seed", 1);
        if (n > most)
            n = most;
        started = time_now();
    }
    barrier();
    long *a = (long *)ram_start() + me * 2 * n;
    unsigned long before = csr_read(instret);
    run(me, a, a + n);
    harts[me].instructions = csr_read(instret) - before;
    barrier();
    if (me)
        return;
    unsigned long ticks = time_now() - started, instructions = 0, checksum = 0;
    for (unsigned long h = 0; h < machine.harts; h++) {
        print("sort: hart %lu instret=%lu", h, harts[h].instructions);
        instructions += harts[h].instructions;
        checksum += harts[h].checksum;
    }
    pass("harts=%lu n=%lu rounds=%lu instret=%lu ms=%lu checksum=%016lx",
         machine.harts, n, rounds, instructions, ticks / TICKS_PER_MS, checksum);
}
