"""slab on real threads: objects with one owner, and memory that stays of its type under a reader."""

import pytest
from mem_rig import FIXED_FRAMES, pool_arena, settle, together

from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, load_acquire, read_once, store_release, write_once, xchg
from gnomon.lang.host import sched_yield
from gnomon.mem.debug import cache_stats, leak_check, mem_stats
from gnomon.mem.frames import frame_alloc, frame_free, run_alloc_n
from gnomon.mem.shrinker import mem_callbacks, mem_thread_exit, shrink_all
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE, cache_init, slab_alloc, slab_free
from gnomon.mem.slab_page import CTOR_ZERO, TYPESAFE
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_pause
from gnomon.sync.stats import sync_stats
from gnomon.sync.thread import thread_register

SLOTS = 64
TYPE = 0x7E57
GARBAGE = 0x6A6B
THREADS = 3
LOOKS = 100
INSIDE, SCRIBBLED = 8, 16  # words behind `stop`: whether the reader is inside with an object, and how often memory was scribbled on


@kernel
def trade(m, t, shelf, cache, rounds):
    """Swap objects with other threads through the SLOTS words from `shelf`: objects are often freed by another thread.

    Returns how often an object had two owners."""
    stolen = 0
    seed = t + 1
    for n in range(rounds):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        mine = 0
        if (seed & 0x300) != 0:
            mine = slab_alloc(m, t, cache)
        if mine != 0 and cmpxchg(m, mine, 0, TYPE) != 0:
            stolen += 1
        theirs = xchg(m, shelf + ((seed >> 12) & (SLOTS - 1)), mine)
        if theirs != 0:
            if cmpxchg(m, theirs, TYPE, 0) != TYPE:
                stolen += 1
            slab_free(m, t, cache, theirs)
        if (n & 255) == 0:
            shrink_all(m, t)
        if (n & 31) == 0:
            mem_callbacks(m, t, 8)
    return stolen


@kernel
def empty_shelf(m, t, shelf, cache):
    """Free what is left in the slots. Returns 0."""
    for n in range(SLOTS):
        ref = xchg(m, shelf + n, 0)
        if ref != 0:
            write_once(m, ref, 0)
            slab_free(m, t, cache, ref)
    return 0


@pytest.mark.parametrize(("cache", "words"), [(CACHE_SP, 24), (CACHE_TABLE, PAGE_WORDS)], ids=["small", "page"])
def test_does_an_object_ever_have_two_owners_and_is_nothing_left_at_the_end(cache, words):
    arena = pool_arena(FIXED_FRAMES + 400)
    slots = [thread_register(arena) for _ in range(THREADS)]
    cache_init(arena, cache, words, TYPESAFE | CTOR_ZERO)
    shelf = run_alloc_n(arena, 1) * PAGE_WORDS
    free = mem_stats(arena)["free"]
    assert together(*[(trade, arena, t, shelf, cache, 20_000) for t in slots]) == [0] * THREADS
    empty_shelf(arena, 0, shelf, cache)
    assert leak_check(arena) == 0
    for t in slots[1:]:
        assert mem_thread_exit(arena, t) == 0
    settle(arena, 0)
    shrink_all(arena, 0)
    settle(arena, 0)
    stats = mem_stats(arena)
    assert cache_stats(arena, cache)["pages"] == 0 and stats["free"] == free
    assert stats["double_free"] == stats["not_constructed"] == stats["write_after_free"] == 0
    assert sync_stats(arena)["callbacks_waiting"] == 0


@kernel
def watch(m, t, shelf, stop):
    """Look objects up in the slots inside read sections, as a lockless walker does. Returns how often one was of no type at all (S-2).

    A section goes on until the writer has withdrawn every object, shrunk, and scribbled on what memory it could get."""
    broken = 0
    n = 0
    while load_acquire(m, stop) == 0:
        n += 1
        rcu_read_lock(m, t)
        ref = load_acquire(m, shelf + (n & (SLOTS - 1)))
        if ref != 0:
            since = load_acquire(m, stop + SCRIBBLED)
            store_release(m, stop + INSIDE, 1)
            turn = 0
            while load_acquire(m, stop + SCRIBBLED) == since and read_once(m, stop) == 0:
                turn = spin_pause(turn)
            for _ in range(LOOKS):
                word = read_once(m, ref)
                if word != TYPE and word != 0:
                    broken += 1
                    write_once(m, stop, 1)  # caught: enough
            store_release(m, stop + INSIDE, 0)
        else:
            sched_yield()
        rcu_read_unlock(m, t)
    return broken


@kernel
def churn(m, t, shelf, cache, rounds, stop):
    """Publish objects and, once the reader is inside with one, withdraw them, shrink, and let frames of the pool be somebody else's
    garbage. Returns rounds in which there were objects."""
    full = 0
    for _ in range(rounds):
        published = 0
        for n in range(SLOTS):
            ref = slab_alloc(m, t, cache)
            if ref != 0:
                write_once(m, ref, TYPE)
                published = 1
            store_release(m, shelf + n, ref)
        turn = 0
        while published and load_acquire(m, stop + INSIDE) == 0 and read_once(m, stop) == 0:
            turn = spin_pause(turn)
        full += published
        for n in range(SLOTS):
            ref = xchg(m, shelf + n, 0)
            if ref != 0:
                write_once(m, ref, 0)
                slab_free(m, t, cache, ref)
        shrink_all(m, t)
        mem_callbacks(m, t, 100)
        chain = 0
        pfn = frame_alloc(m, t)
        while pfn != 0:  # take what is free and scribble on it
            for n in range(PAGE_WORDS):
                write_once(m, pfn * PAGE_WORDS + n, GARBAGE)
            write_once(m, pfn * PAGE_WORDS, chain)
            chain = pfn
            pfn = frame_alloc(m, t)
        fetch_add(m, stop + SCRIBBLED, 1)
        turn = 0
        while load_acquire(m, stop + INSIDE) != 0 and read_once(m, stop) == 0:
            turn = spin_pause(turn)  # what it looks at now is garbage, if it is the pool's
        while chain != 0:
            pfn = chain
            chain = read_once(m, pfn * PAGE_WORDS)
            frame_free(m, pfn)
        if read_once(m, stop) != 0:
            break
    store_release(m, stop, 1)
    return full


def broken_looks(flags: int, rounds: int) -> tuple[int, int]:
    """How often a reader met what is no object, and in how many rounds there was an object to meet."""
    arena = pool_arena(FIXED_FRAMES + 30, debug=0)
    reader, writer = thread_register(arena), thread_register(arena)
    cache_init(arena, CACHE_DESC, 16, flags)
    shelf = run_alloc_n(arena, 1) * PAGE_WORDS
    stop = shelf + 256
    broken, full = together((watch, arena, reader, shelf, stop), (churn, arena, writer, shelf, CACHE_DESC, rounds, stop))
    return broken, full


def test_does_a_lockless_reader_ever_meet_memory_of_another_type():
    """The memory of an object that somebody may still look at is not the pool's before the section is over."""
    broken, full = broken_looks(TYPESAFE | CTOR_ZERO, 500)
    assert not broken and full > 100


def test_is_a_cache_that_is_not_type_stable_caught():
    """The mutant: the same cache without the flag gives its pages back at once, so the first section sees it."""
    broken, full = broken_looks(CTOR_ZERO, 500)
    assert broken > 0 and full == 1
