"""slab: objects of fixed size, with magazines for each thread, and the type-stable contract.

Counterpart in Linux: kmem_cache_alloc() and kmem_cache_free(), SLAB_TYPESAFE_BY_RCU, per-CPU sheaves, kmem_cache_shrink().

Owns       MAGAZINE in the block of each thread, written by that thread only; the caches through slab_page.py
Guarantees S1  S2  S3  of slab_page.py
           S4  TYPESAFE: an object is reusable at once, within a reader's section too (S-1); its memory stays an object of this cache until
               a grace period has passed since its page was given up (S-2, S-7). A reader validates what it finds (S-3)
           S5  TYPESAFE and CTOR_ZERO: an object is freed in constructed state, so an initialiser never zeroes under readers (S-4, S-9);
               debug counts a breach in POOL.not_constructed
           S6  neither: debug poisons on free and checks on allocation (P1)
           S7  all pages of one cache_shrink() share one callback, queued before it returns: rcu_barrier() covers each page. What is empty
               while that callback is queued waits for the next one: it may have been used since the grace period began (S8)
           S9  a cache never has more frames than its objects fill when most are live, and one a thread: a magazine holds no more objects
               than a page, a page is got only when no page has a free object and none waits, and pages go back one by one. The proof
               is with who counts on it: Outcome.within() of study/pressure/run.py
Context    any, under locks and in read sections too; slab_alloc() may fail, it never waits
Progress   wait-free from the magazine; otherwise one CACHE.lock for half a magazine, which for objects of a whole page is one object
"""

from gnomon.lang.arena import PAGE_WORDS
from gnomon.lang.arith import udiv
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.fixed import FRAMES_AT, MAGAZINE_WORDS, MAX_CACHES, THREAD_RCU_WORDS
from gnomon.lang.kernel import kernel
from gnomon.lang.record import record
from gnomon.mem.frames import frame_free
from gnomon.mem.poison import POISON_OBJECT, poison_broken, poison_fill
from gnomon.mem.pool import FRAME_SLAB, PAGE_WORDS_SHIFT, POOL, frame_owner, frame_payload, frame_set_word, frame_tag, frame_word
from gnomon.mem.slab_page import (
    CACHE,
    CTOR_ZERO,
    LEAST_OBJECT_WORDS,
    SLAB_PAGE,
    TYPESAFE,
    batch_pop,
    cache_at,
    empties_collect,
    empty_drop,
    object_give,
    object_take,
    page_add,
    page_new,
)
from gnomon.sync.rcu_callbacks import call_rcu
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.sync.state import thread_block

CACHE_SP = 0
"""Shadow page headers."""
CACHE_DESC = 1
"""rmap descriptors."""
CACHE_TABLE = 2
"""Page tables: a whole page each."""
CACHE_GFNS = 3
"""gfn arrays of shadow pages: a whole page each, nobody reads them without mmu_lock."""

FUNC_FREE_SLAB_PAGE = 1
FUNC_FREE_FRAME = 2
FUNC_USER = 16
"""Callback numbers: this layer's own, and the first that belongs to the layers above."""

MAGAZINE_HALF = 7
MAGAZINE = record("MAGAZINE", "Free objects of one cache that one thread holds.", held=1, slots=2 * MAGAZINE_HALF)

assert MAGAZINE.size <= MAGAZINE_WORDS


@kernel
def magazine_at(t, cache):
    """Word index of thread `t`'s MAGAZINE of `cache`."""
    return thread_block(t) + THREAD_RCU_WORDS + cache * MAGAZINE_WORDS


@kernel
def magazine_capacity(per_page):
    """How many objects a magazine holds, of `per_page` a page: a page of them at most (S9)."""
    if per_page < 2 * MAGAZINE_HALF:
        return per_page
    return 2 * MAGAZINE_HALF


@kernel(entry=True)
def cache_init(m, cache, object_words, flags):
    """Set cache number `cache` up. Returns the number of objects a page, or -1 if it is in use or no such object fits a page."""
    at = cache_at(cache)
    if cache < 0 or cache >= MAX_CACHES or object_words < LEAST_OBJECT_WORDS or read_once(m, at + CACHE.object_words) != 0:
        return -1
    per_page = 1
    first = 0
    if object_words != PAGE_WORDS:
        per_page = udiv(PAGE_WORDS - SLAB_PAGE.size, object_words)
        first = PAGE_WORDS - per_page * object_words
    if per_page == 0:
        return -1
    write_once(m, at + CACHE.flags, flags)
    write_once(m, at + CACHE.per_page, per_page)
    write_once(m, at + CACHE.first, first)
    write_once(m, at + CACHE.capacity, magazine_capacity(per_page))
    write_once(m, at + CACHE.object_words, object_words)
    return per_page


@kernel
def magazine_load(m, t, at, magazine):
    """Fill half of an empty magazine, at least one object, from the pages. Returns how many it holds."""
    half = (read_once(m, at + CACHE.capacity) + 1) >> 1
    spin_lock(m, at + CACHE.lock)
    held = 0
    while held < half:
        ref = object_take(m, at)
        if ref == 0:
            break
        write_once(m, magazine + MAGAZINE.slots + held, ref)
        held += 1
    spin_unlock(m, at + CACHE.lock)
    return held


@kernel
def magazine_refill(m, t, cache):
    """Fill thread `t`'s empty magazine from the cache's pages, and those from the pool. Returns how many it holds, or 0."""
    at = cache_at(cache)
    magazine = magazine_at(t, cache)
    held = magazine_load(m, t, at, magazine)
    while held == 0:  # again if other threads have emptied the page before us
        pfn = page_new(m, t, cache)
        if pfn == 0:
            return 0
        spin_lock(m, at + CACHE.lock)
        page_add(m, at, pfn)
        spin_unlock(m, at + CACHE.lock)
        held = magazine_load(m, t, at, magazine)
    write_once(m, magazine + MAGAZINE.held, held)
    return held


@kernel
def magazine_drain(m, t, cache, keep):
    """Move all but `keep` objects of thread `t`'s magazine back to their pages. Returns 0."""
    at = cache_at(cache)
    magazine = magazine_at(t, cache)
    held = read_once(m, magazine + MAGAZINE.held)
    spin_lock(m, at + CACHE.lock)
    while held > keep:
        held -= 1
        object_give(m, at, read_once(m, magazine + MAGAZINE.slots + held))
    spin_unlock(m, at + CACHE.lock)
    return write_once(m, magazine + MAGAZINE.held, held)


@kernel
def check_alloc(m, at, ref):
    """Debug: count the words of an object that were written while it was free. Type-stable ones may be: see P2. Returns 0.

    The frame word of a live object of a whole page names its own frame, which no link does, until its owner says what it is."""
    if read_once(m, at + CACHE.first) == 0:
        pfn = ref >> PAGE_WORDS_SHIFT
        frame_set_word(m, pfn, frame_owner(FRAME_SLAB, pfn))
    flags = read_once(m, at + CACHE.flags)
    if (flags & TYPESAFE) == 0:
        expected = 0 if (flags & CTOR_ZERO) != 0 else POISON_OBJECT
        broken = poison_broken(m, ref, read_once(m, at + CACHE.object_words), expected)
        if broken != 0:
            fetch_add(m, FRAMES_AT + POOL.write_after_free, broken)
    return 0


@kernel
def is_free(m, at, magazine, ref):
    """Debug: 1 if `ref` is a whole page that is not live, or a smaller object in our magazine; one in a page is found when we drain it."""
    if read_once(m, at + CACHE.first) == 0:
        pfn = ref >> PAGE_WORDS_SHIFT
        word = frame_word(m, pfn)
        return int(frame_tag(word) == FRAME_SLAB and frame_payload(word) != pfn)
    for slot in range(read_once(m, magazine + MAGAZINE.held)):
        if read_once(m, magazine + MAGAZINE.slots + slot) == ref:
            return 1
    return 0


@kernel
def check_free(m, at, magazine, ref):
    """Debug: is the object constructed? Poison it if nobody may look at it. Returns 0, or -1 if it is known to be free already."""
    if is_free(m, at, magazine, ref):
        fetch_add(m, FRAMES_AT + POOL.double_free, 1)
        return -1
    flags = read_once(m, at + CACHE.flags)
    words = read_once(m, at + CACHE.object_words)
    if (flags & CTOR_ZERO) != 0:
        if poison_broken(m, ref, words, 0) != 0:
            fetch_add(m, FRAMES_AT + POOL.not_constructed, 1)
    elif (flags & TYPESAFE) == 0:
        poison_fill(m, ref, words, POISON_OBJECT)
    return 0


@kernel
def slab_alloc(m, t, cache):
    """Allocate an object of `cache`: constructed if it has a constructor, else of any content. Returns its reference or 0."""
    magazine = magazine_at(t, cache)
    held = read_once(m, magazine + MAGAZINE.held)
    if held == 0:
        held = magazine_refill(m, t, cache)
        if held == 0:
            return 0
    ref = read_once(m, magazine + MAGAZINE.slots + held - 1)
    write_once(m, magazine + MAGAZINE.held, held - 1)
    if read_once(m, FRAMES_AT + POOL.debug) != 0:
        check_alloc(m, cache_at(cache), ref)
    return ref


@kernel
def slab_free(m, t, cache, ref):
    """Free the object `ref` of `cache`, in constructed state if it has a constructor. Reusable at once. Returns 0, or -1 if debug
    sees that it is free already."""
    at = cache_at(cache)
    magazine = magazine_at(t, cache)
    if read_once(m, FRAMES_AT + POOL.debug) != 0 and check_free(m, at, magazine, ref) != 0:
        return -1
    if read_once(m, at + CACHE.first) == 0:
        frame_set_word(m, ref >> PAGE_WORDS_SHIFT, frame_owner(FRAME_SLAB, 0))
    held = read_once(m, magazine + MAGAZINE.held)
    capacity = read_once(m, at + CACHE.capacity)
    if held == capacity:
        held = capacity >> 1
        magazine_drain(m, t, cache, held)
    write_once(m, magazine + MAGAZINE.slots + held, ref)
    write_once(m, magazine + MAGAZINE.held, held + 1)
    return 0


@kernel
def empties_free(m, at):
    """Give the empty pages of the cache at `at` back to the pool, one by one (S9). Returns how many."""
    freed = 0
    for _ in range(read_once(m, at + CACHE.empties)):
        spin_lock(m, at + CACHE.lock)
        pfn = empty_drop(m, at)
        spin_unlock(m, at + CACHE.lock)
        if pfn == 0:  # in use again
            break
        frame_free(m, pfn)
        freed += 1
    return freed


@kernel
def cache_shrink(m, t, cache):
    """Give the empty pages of `cache` up: to the pool now, or after a grace period if it is type-stable.

    Returns how many. 0 also while the callback of an earlier call is queued, which the cache has only one of (S7)."""
    at = cache_at(cache)
    if read_once(m, at + CACHE.flags) & TYPESAFE == 0:
        return empties_free(m, at)
    moved = 0
    spin_lock(m, at + CACHE.lock)
    if read_once(m, at + CACHE.queued) == 0:
        moved = empties_collect(m, at)
        write_once(m, at + CACHE.queued, int(moved != 0))
    spin_unlock(m, at + CACHE.lock)
    if moved != 0:
        call_rcu(m, t, at + CACHE.head, FUNC_FREE_SLAB_PAGE)
    return moved


@kernel
def waiting_pop(m, at):
    """Take a page whose grace period has passed, for the pool. Returns its pfn; 0 if none is left, and the callback is over."""
    spin_lock(m, at + CACHE.lock)
    pfn = batch_pop(m, at)
    if pfn == 0:
        write_once(m, at + CACHE.queued, 0)
    spin_unlock(m, at + CACHE.lock)
    return pfn


@kernel
def shrink_callback(m, head):
    """FUNC_FREE_SLAB_PAGE: the grace period of the cache whose CACHE.head is `head` has passed. Give the pages that were not taken back
    to the pool, one by one (S9). Returns how many."""
    freed = 0
    pfn = waiting_pop(m, head - CACHE.head)
    while pfn != 0:
        frame_free(m, pfn)
        freed += 1
        pfn = waiting_pop(m, head - CACHE.head)
    return freed


@kernel
def slab_flush_magazines(m, t):
    """Move every object that thread `t` holds in reserve back to its page; before shrinking, and before the thread leaves. Returns 0."""
    for cache in range(MAX_CACHES):
        if read_once(m, magazine_at(t, cache) + MAGAZINE.held) != 0:
            magazine_drain(m, t, cache, 0)
    return 0


@kernel(entry=True)
def cache_destroy(m, t, cache):
    """Take cache number `cache` down. Returns 0; -1 if objects are live or in another thread's magazine, or a callback is queued: then
    call it again after an RCU barrier (S-8)."""
    at = cache_at(cache)
    slab_flush_magazines(m, t)
    cache_shrink(m, t, cache)
    if read_once(m, at + CACHE.pages) != 0 or read_once(m, at + CACHE.queued) != 0:
        return -1
    return write_once(m, at + CACHE.object_words, 0)
