"""debug: what is still held, for the leak oracle of tests and for whoever wants to know.

Counterpart in Linux: /proc/slabinfo and kmemleak's question, here exact because every owner is in the arena.

Owns       nothing
Guarantees D1  with no thread inside an allocator, leak_check() is 0 exactly when every frame and object has been freed
Context    any; exact only while nothing allocates or frees
Progress   one pass over threads and caches
"""

from gnomon.lang.arena import Arena
from gnomon.lang.atomics import read_once
from gnomon.lang.fixed import FRAMES_AT, MAX_CACHES, RCU_AT
from gnomon.lang.kernel import kernel
from gnomon.mem.pool import POOL
from gnomon.mem.slab import MAGAZINE, magazine_at
from gnomon.mem.slab_page import CACHE, cache_at
from gnomon.sync.state import RCU


@kernel
def slab_cached(m, cache):
    """Free objects of `cache` that threads hold in their magazines."""
    cached = 0
    for t in range(read_once(m, RCU_AT + RCU.threads)):
        cached += read_once(m, magazine_at(t, cache) + MAGAZINE.held)
    return cached


@kernel
def slab_live(m, cache):
    """Objects of `cache` that are allocated and not freed."""
    return read_once(m, cache_at(cache) + CACHE.out) - slab_cached(m, cache)


@kernel
def frames_held(m):
    """Frames handed out, static ones left out."""
    return read_once(m, FRAMES_AT + POOL.total) - read_once(m, FRAMES_AT + POOL.static) - read_once(m, FRAMES_AT + POOL.free)


@kernel(entry=True)
def leak_check(m):
    """Objects still live plus frames still held by anyone but a slab cache."""
    leaked = frames_held(m)
    for cache in range(MAX_CACHES):
        at = cache_at(cache)
        if read_once(m, at + CACHE.object_words) != 0:
            leaked += slab_live(m, cache) - read_once(m, at + CACHE.pages) - read_once(m, at + CACHE.waiting)
    return leaked


def mem_stats(m: Arena) -> dict[str, int]:
    """Counters of the pool, by field name of POOL."""
    shown = [f for f in POOL._fields if f not in ("lock", "split", "whole", "fresh", "fresh_end", "runs_at", "size")]
    return {field: int(m.words[FRAMES_AT + getattr(POOL, field)]) for field in shown}


def cache_stats(m: Arena, cache: int) -> dict[str, int]:
    """Counters of one slab cache: objects live and in magazines, pages, pages that wait for a grace period, most of both at once."""
    at = cache_at.py_func(cache)
    threads = range(int(m.words[RCU_AT + RCU.threads]))
    cached = sum(int(m.words[magazine_at.py_func(t, cache) + MAGAZINE.held]) for t in threads)
    fields = ("object_words", "per_page", "capacity", "pages", "empties", "waiting", "queued", "grown", "shrunk", "taken_back", "peak")
    return {"live": int(m.words[at + CACHE.out]) - cached, "cached": cached, **{f: int(m.words[at + getattr(CACHE, f)]) for f in fields}}
