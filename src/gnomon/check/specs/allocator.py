"""Specification of the slab: a free set. An allocation is any object of the set, or none when it is empty; a free puts the object back.

Owns       CACHE.empty    the set, a bit an object of FREE_SET_OBJECTS; CACHE.batch the word of object 0
Says       any object of the set, also the one freed a moment ago: the shipped magazines hand out the youngest, nobody may rely on it
Left out   pages: the set has its frames from the start and keeps them; a scenario that shrinks runs the layer as shipped
"""

from __future__ import annotations

from gnomon.check.oracle import choose
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.arith import ctz, popcount
from gnomon.lang.atomics import cmpxchg, fetch_or, read_once, write_once
from gnomon.mem.frames import frame_alloc_zeroed, run_alloc_n
from gnomon.mem.pool import FRAME_SLAB, PAGE_WORDS_SHIFT, frame_owner, frame_set_word
from gnomon.mem.slab import cache_init, slab_alloc, slab_free
from gnomon.mem.slab_page import CACHE, cache_at

FREE_SET_OBJECTS = 4


@kernel
def free_set_init(m, cache, object_words, flags):
    """For cache_init(): FREE_SET_OBJECTS objects, constructed."""
    at = cache_at(cache)
    write_once(m, at + CACHE.object_words, object_words)
    write_once(m, at + CACHE.flags, flags)
    pfn = 0
    if object_words == PAGE_WORDS:
        pfn = run_alloc_n(m, FREE_SET_OBJECTS)
        for i in range(FREE_SET_OBJECTS):
            frame_set_word(m, pfn + i, frame_owner(FRAME_SLAB, 0))
    else:
        pfn = frame_alloc_zeroed(m, 0)
        frame_set_word(m, pfn, frame_owner(FRAME_SLAB, 0))
    write_once(m, at + CACHE.batch, pfn << PAGE_WORDS_SHIFT)
    write_once(m, at + CACHE.empty, (1 << FREE_SET_OBJECTS) - 1)
    return FREE_SET_OBJECTS


@kernel
def take_any(m, t, cache):
    """For slab_alloc()."""
    at = cache_at(cache)
    while True:
        free = read_once(m, at + CACHE.empty)
        if free == 0:
            return 0
        rest = free
        for _ in range(choose(popcount(free))):
            rest = rest & (rest - 1)
        n = ctz(rest)
        if cmpxchg(m, at + CACHE.empty, free, free & ~(1 << n)) == free:
            return read_once(m, at + CACHE.batch) + n * read_once(m, at + CACHE.object_words)


@kernel
def give_back(m, t, cache, ref):
    """For slab_free()."""
    at = cache_at(cache)
    words = read_once(m, at + CACHE.object_words)
    if words == PAGE_WORDS:
        frame_set_word(m, ref >> PAGE_WORDS_SHIFT, frame_owner(FRAME_SLAB, 0))
    n = 0
    while read_once(m, at + CACHE.batch) + n * words != ref:
        n += 1
    fetch_or(m, at + CACHE.empty, 1 << n)
    return 0


SPECIFIED_ALLOCATOR = {cache_init: free_set_init, slab_alloc: take_any, slab_free: give_back}
