"""slab: an object is in one place (S1), the type-stable contract (S4-S8) and the bound on frames (S9), directed and by random sequences."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mem_rig import FIXED_FRAMES, both_worlds, pool_arena, settle

from gnomon.lang import PAGE_WORDS, twin
from gnomon.mem.debug import cache_stats, frames_held, leak_check, mem_stats
from gnomon.mem.frames import frame_alloc, run_alloc_n
from gnomon.mem.pool import FRAME_FREE, FRAME_SLAB, FRAME_TABLE, frame_owner, frame_payload, frame_set_word, frame_tag, frame_word
from gnomon.mem.shrinker import mem_callbacks, mem_thread_exit, shrink_all
from gnomon.mem.slab import (
    CACHE_DESC,
    CACHE_GFNS,
    CACHE_SP,
    CACHE_TABLE,
    FUNC_FREE_FRAME,
    FUNC_USER,
    cache_destroy,
    cache_init,
    cache_shrink,
    slab_alloc,
    slab_flush_magazines,
    slab_free,
)
from gnomon.mem.slab_page import CACHE, CTOR_ZERO, TYPESAFE, cache_at
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done
from gnomon.sync.stats import sync_stats
from gnomon.sync.thread import thread_register

CACHES = {  # object words, flags: one of each kind
    CACHE_SP: (24, TYPESAFE | CTOR_ZERO),
    CACHE_DESC: (16, 0),
    CACHE_TABLE: (PAGE_WORDS, TYPESAFE | CTOR_ZERO),
    CACHE_GFNS: (PAGE_WORDS, 0),
    4: (254, TYPESAFE),
    5: (8, CTOR_ZERO),
}


def slab_arena(frames=FIXED_FRAMES + 150, threads=1, world=lambda k: k):
    arena = pool_arena(frames)
    for _ in range(threads):
        world(thread_register)(arena)
    for cache, (words, flags) in CACHES.items():
        assert world(cache_init)(arena, cache, words, flags) > 0
    return arena


def waiting_pages(arena, cache):
    """The pfns of the pages of `cache` that wait for a grace period."""
    pfns = []
    pfn = int(arena.words[twin(cache_at)(cache) + CACHE.batch])
    while pfn:
        pfns.append(pfn)
        pfn = twin(frame_payload)(twin(frame_word)(arena, pfn))
    return pfns


class Slab(RuleBasedStateMachine):
    """Allocate, fill, clear and free on two threads while a third reads; against a dict of live objects."""

    world = staticmethod(lambda k: k)

    def __init__(self):
        super().__init__()
        self.arena = slab_arena(threads=3)
        self.live: dict[int, int] = {}
        self.most = dict.fromkeys(CACHES, 0)  # objects ever live at once
        self.reading = False
        self.promised: set[int] = set()  # pages that must not be back in the pool while the reader is inside

    def run(self, kernel, *arguments):
        return self.world(kernel)(self.arena, *arguments)

    def words(self, ref, cache):
        return self.arena.words[ref : ref + CACHES[cache][0]]

    @rule(t=st.integers(0, 1), cache=st.sampled_from(list(CACHES)), n=st.integers(1, 20))
    def allocate(self, t, cache, n):
        flags = CACHES[cache][1]
        for _ in range(n):
            ref = self.run(slab_alloc, t, cache)
            if ref == 0:
                assert mem_stats(self.arena)["free"] == 0
                return
            assert ref not in self.live
            if flags & CTOR_ZERO:
                assert not self.words(ref, cache).any(), "handed out in another state than constructed"
            self.live[ref] = cache
            self.most[cache] = max(self.most[cache], sum(c == cache for c in self.live.values()))
            self.words(ref, cache)[:] = ref

    @precondition(lambda self: self.live)
    @rule(t=st.integers(0, 1), data=st.data(), n=st.integers(1, 30))
    def release(self, t, data, n):
        for _ in range(min(n, len(self.live))):
            ref = data.draw(st.sampled_from(list(self.live))) if n < 4 else next(reversed(self.live))
            cache = self.live.pop(ref)
            assert (self.words(ref, cache) == ref).all(), "somebody else wrote to a live object"
            if CACHES[cache][1] & CTOR_ZERO:
                self.words(ref, cache)[:] = 0
            assert self.run(slab_free, t, cache, ref) == 0

    @rule()
    def enter_or_leave(self):
        self.run(rcu_read_unlock if self.reading else rcu_read_lock, 2)
        self.reading = not self.reading
        self.promised.clear()

    @rule(t=st.integers(0, 1), cache=st.sampled_from(list(CACHES)))
    def shrink(self, t, cache):
        self.run(slab_flush_magazines, t)
        before = cache_stats(self.arena, cache)
        given = self.run(cache_shrink, t, cache)
        if before["queued"]:
            assert given == 0
            return
        assert given == before["empties"] == before["pages"] - cache_stats(self.arena, cache)["pages"]
        assert len(waiting_pages(self.arena, cache)) == given * bool(CACHES[cache][1] & TYPESAFE)
        if self.reading:
            self.promised.update(waiting_pages(self.arena, cache))

    @rule(t=st.integers(0, 1), budget=st.integers(0, 4))
    def callbacks(self, t, budget):
        assert self.run(mem_callbacks, t, budget) == 0

    @precondition(lambda self: not self.reading)
    @rule()
    def everything_given_up_comes_back(self):
        settle(self.arena, 0, self.world)
        assert all(cache_stats(self.arena, cache)[word] == 0 for cache in CACHES for word in ("waiting", "queued"))

    @invariant()
    def the_counts_are_exact(self):
        stats = {cache: cache_stats(self.arena, cache) for cache in CACHES}
        for cache, seen in stats.items():
            assert seen["live"] == sum(c == cache for c in self.live.values()) and 0 <= seen["cached"] <= 2 * seen["capacity"]
            assert seen["waiting"] == len(waiting_pages(self.arena, cache)) and (seen["queued"] or not seen["waiting"])
            assert seen["pages"] == seen["grown"] - seen["shrunk"] + seen["taken_back"]
            filled = -(-self.most[cache] // seen["per_page"])
            assert seen["pages"] + seen["waiting"] <= seen["peak"] <= filled + 2, "S9: a page for each of the two threads, no more"
        assert self.run(leak_check) == len(self.live)
        assert self.run(frames_held) == sum(s["pages"] + s["waiting"] for s in stats.values())
        tags = {twin(frame_tag)(twin(frame_word)(self.arena, pfn)) for pfn in self.promised}
        assert FRAME_FREE not in tags, "a page went back under a reader"
        faults = mem_stats(self.arena)
        assert faults["write_after_free"] == faults["not_constructed"] == faults["double_free"] == 0


class InterpretedSlab(Slab):
    world = staticmethod(twin)


Slab.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
InterpretedSlab.TestCase.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)
TestCompiled, TestInterpreted = Slab.TestCase, InterpretedSlab.TestCase


@both_worlds
def test_is_a_freed_type_stable_object_reusable_at_once_inside_a_readers_section(world):
    """S-1, claim C3."""
    arena = slab_arena(threads=2)
    world(rcu_read_lock)(arena, 1)
    ref = world(slab_alloc)(arena, 0, CACHE_TABLE)
    world(slab_free)(arena, 0, CACHE_TABLE, ref)
    assert world(slab_alloc)(arena, 0, CACHE_TABLE) == ref


@both_worlds
@pytest.mark.parametrize("cache", [CACHE_SP, CACHE_TABLE])
def test_does_a_page_reach_the_pool_only_when_the_reader_has_left(world, cache):
    """S-7, claim C4."""
    arena = slab_arena(threads=2)
    free = mem_stats(arena)["free"]
    world(rcu_read_lock)(arena, 1)
    ref = world(slab_alloc)(arena, 0, cache)
    world(slab_free)(arena, 0, cache, ref)
    assert world(shrink_all)(arena, 0) == 1
    settle(arena, 0, world)
    assert mem_stats(arena)["free"] == free - 1 and cache_stats(arena, cache)["waiting"] == 1
    assert not arena.words[ref : ref + CACHES[cache][0]].any(), "P2: a reader still finds an object of the type"
    world(rcu_read_unlock)(arena, 1)
    settle(arena, 0, world)
    assert mem_stats(arena)["free"] == free and cache_stats(arena, cache)["waiting"] == 0


@both_worlds
@pytest.mark.parametrize(("cache", "holds"), [(CACHE_SP, 14), (CACHE_TABLE, 1), (CACHE_GFNS, 1), (4, 2)])
def test_does_a_magazine_hold_a_page_of_objects_at_most(world, cache, holds):
    """S9: what one thread frees and another allocates piles up nowhere."""
    arena = slab_arena(threads=2)
    assert cache_stats(arena, cache)["capacity"] == holds <= cache_stats(arena, cache)["per_page"]
    for _ in range(60):
        ref = world(slab_alloc)(arena, 0, cache)
        arena.words[ref : ref + CACHES[cache][0]] = 0
        world(slab_free)(arena, 1, cache, ref)
        assert cache_stats(arena, cache)["cached"] <= 2 * holds
    assert cache_stats(arena, cache)["peak"] <= 1 + 2


@both_worlds
@pytest.mark.parametrize("cache", [CACHE_SP, CACHE_TABLE])
def test_is_a_page_that_waits_taken_back_before_the_pool_is_asked_and_is_it_the_callbacks_no_more(world, cache):
    """S8: and the next shrink waits for the callback, then for a grace period of its own."""
    arena = slab_arena(threads=2)
    free = mem_stats(arena)["free"]

    def full():
        return [world(slab_alloc)(arena, 0, cache) for _ in range(3 * cache_stats(arena, cache)["per_page"])]

    def clear(refs):
        for ref in refs:
            arena.words[ref : ref + CACHES[cache][0]] = 0
            world(slab_free)(arena, 0, cache, ref)

    refs = full()
    clear(refs)
    assert world(shrink_all)(arena, 0) == 3 == cache_stats(arena, cache)["waiting"]
    world(mem_callbacks)(arena, 0, 0)  # the grace period has begun: nobody is inside
    world(rcu_read_lock)(arena, 1)
    assert sorted(full()) == sorted(refs) and mem_stats(arena)["free"] == free - 3, "the very same pages"
    stats = cache_stats(arena, cache)
    assert (stats["pages"], stats["waiting"], stats["queued"], stats["taken_back"], stats["peak"]) == (3, 0, 1, 3, 3)
    clear(refs)
    assert world(shrink_all)(arena, 0) == 0, "its grace period began before their last use"
    world(mem_callbacks)(arena, 0, 10)
    stats = cache_stats(arena, cache)
    assert (stats["pages"], stats["queued"], mem_stats(arena)["free"]) == (3, 0, free - 3), "the callback frees none of them"
    assert world(shrink_all)(arena, 0) == 3
    settle(arena, 0, world)
    assert mem_stats(arena)["free"] == free - 3 and cache_stats(arena, cache)["waiting"] == 3, "a reader is inside"
    world(rcu_read_unlock)(arena, 1)
    settle(arena, 0, world)
    assert mem_stats(arena)["free"] == free and leak_check(arena) == 0 == mem_stats(arena)["not_constructed"]


@both_worlds
def test_is_a_cache_not_taken_down_while_its_callback_is_queued_though_no_page_waits(world):
    arena = slab_arena(threads=2)
    ref = world(slab_alloc)(arena, 0, CACHE_TABLE)
    world(slab_free)(arena, 0, CACHE_TABLE, ref)
    assert world(shrink_all)(arena, 0) == 1
    assert world(slab_alloc)(arena, 0, CACHE_TABLE) == ref
    world(slab_free)(arena, 0, CACHE_TABLE, ref)
    assert world(cache_destroy)(arena, 0, CACHE_TABLE) == -1
    settle(arena, 0, world)
    assert world(cache_destroy)(arena, 0, CACHE_TABLE) == -1 and cache_stats(arena, CACHE_TABLE)["waiting"] == 1
    settle(arena, 0, world)
    assert world(cache_destroy)(arena, 0, CACHE_TABLE) == 0


@both_worlds
def test_does_rcu_come_into_play_only_when_a_cache_is_shrunk(world):
    """Claim C6: a thousand allocations and frees ask for no grace period."""
    arena = slab_arena()
    refs = [world(slab_alloc)(arena, 0, CACHE_SP) for _ in range(500)]
    for ref in refs:
        world(slab_free)(arena, 0, CACHE_SP, ref)
    settle(arena, 0, world)
    assert sync_stats(arena)["grace_periods_begun"] == 0
    assert world(shrink_all)(arena, 0) > 0
    settle(arena, 0, world)
    assert sync_stats(arena)["grace_periods_begun"] == 1 == sync_stats(arena)["callbacks_invoked"]


@both_worlds
@pytest.mark.parametrize("cache", [CACHE_DESC, CACHE_GFNS, 5])
def test_does_debug_notice_a_write_to_a_free_object(world, cache):
    arena = slab_arena()
    ref = world(slab_alloc)(arena, 0, cache)
    arena.words[ref : ref + CACHES[cache][0]] = 0
    world(slab_free)(arena, 0, cache, ref)
    arena.words[ref + 3] = 7
    assert world(slab_alloc)(arena, 0, cache) == ref
    assert mem_stats(arena)["write_after_free"] == 1


@both_worlds
@pytest.mark.parametrize("cache", [CACHE_SP, CACHE_TABLE])
def test_does_debug_notice_an_object_freed_in_another_state_than_constructed(world, cache):
    arena = slab_arena()
    ref = world(slab_alloc)(arena, 0, cache)
    arena.words[ref + 5] = 1
    world(slab_free)(arena, 0, cache, ref)
    assert mem_stats(arena)["not_constructed"] == 1
    assert arena.words[ref + 5] == 1, "P2: not poisoned"


@both_worlds
@pytest.mark.parametrize("cache", list(CACHES))
def test_does_debug_notice_a_double_free_from_the_magazine_and_from_the_page(world, cache):
    arena = slab_arena()
    ref = world(slab_alloc)(arena, 0, cache)
    arena.words[ref : ref + CACHES[cache][0]] = 0
    assert world(slab_free)(arena, 0, cache, ref) == 0
    assert world(slab_free)(arena, 0, cache, ref) == -1
    world(slab_flush_magazines)(arena, 0)
    world(slab_free)(arena, 0, cache, ref)
    world(slab_flush_magazines)(arena, 0)
    assert mem_stats(arena)["double_free"] == 2 and cache_stats(arena, cache)["live"] == 0


@both_worlds
@pytest.mark.parametrize("cache", [CACHE_TABLE, CACHE_GFNS])
def test_does_debug_notice_a_double_free_of_a_page_that_another_thread_freed_and_of_one_that_waits(world, cache):
    arena = slab_arena(threads=2)
    refs = [world(slab_alloc)(arena, 0, cache) for _ in range(3)]
    for ref in refs:
        arena.words[ref : ref + PAGE_WORDS] = 0
        assert world(slab_free)(arena, 1, cache, ref) == 0
    assert [world(slab_free)(arena, 0, cache, ref) for ref in refs] == [-1] * 3  # one in its magazine, two on the cache's list
    world(rcu_read_lock)(arena, 0)
    if CACHES[cache][1] & TYPESAFE:
        assert world(shrink_all)(arena, 1) == 3
        assert [world(slab_free)(arena, 0, cache, ref) for ref in refs] == [-1] * 3
    assert mem_stats(arena)["double_free"] == 3 + 3 * bool(CACHES[cache][1] & TYPESAFE)
    world(slab_flush_magazines)(arena, 1)
    again = [world(slab_alloc)(arena, 0, cache) for _ in range(3)]
    assert sorted(again) == sorted(refs) and mem_stats(arena)["write_after_free"] == 0


@both_worlds
def test_does_the_frame_word_of_a_page_table_belong_to_its_owner_while_it_lives(world):
    arena = slab_arena()
    table = world(slab_alloc)(arena, 0, CACHE_TABLE)
    pfn = table // PAGE_WORDS
    assert table % PAGE_WORDS == 0 and world(frame_tag)(world(frame_word)(arena, pfn)) == FRAME_SLAB
    world(frame_set_word)(arena, pfn, world(frame_owner)(FRAME_TABLE, 4321))
    world(slab_free)(arena, 0, CACHE_TABLE, table)
    assert world(frame_tag)(world(frame_word)(arena, pfn)) == FRAME_SLAB


@both_worlds
def test_does_an_empty_pool_fail_cleanly_and_serve_again_after_a_free(world):
    arena = slab_arena(FIXED_FRAMES + 8)
    refs = []
    while ref := world(slab_alloc)(arena, 0, CACHE_TABLE):
        refs.append(ref)
    assert refs and mem_stats(arena)["failures"] == 1 and world(slab_alloc)(arena, 0, CACHE_SP) == 0
    world(slab_free)(arena, 0, CACHE_TABLE, refs[0])
    assert world(slab_alloc)(arena, 0, CACHE_TABLE) == refs[0]


@pytest.mark.parametrize("words", [0, 1, 7, 509, 513, 4096])
def test_is_an_object_that_no_page_holds_refused(words):
    assert cache_init(pool_arena(FIXED_FRAMES + 8), CACHE_SP, words, 0) == -1


@both_worlds
def test_is_a_cache_set_up_once_and_taken_down_only_when_empty(world):
    arena = slab_arena(threads=2)
    assert world(cache_init)(arena, CACHE_SP, 24, 0) == -1 == world(cache_init)(arena, -1, 24, 0) == world(cache_init)(arena, 8, 24, 0)
    ref = world(slab_alloc)(arena, 0, CACHE_SP)
    assert world(cache_destroy)(arena, 0, CACHE_SP) == -1  # live
    world(slab_free)(arena, 1, CACHE_SP, ref)
    assert world(cache_destroy)(arena, 0, CACHE_SP) == -1  # in the magazine of thread 1
    assert world(mem_thread_exit)(arena, 1) == 0
    assert world(cache_destroy)(arena, 0, CACHE_SP) == -1  # waits for a grace period
    settle(arena, 0, world)
    assert world(cache_destroy)(arena, 0, CACHE_SP) == 0
    assert world(cache_init)(arena, CACHE_SP, 32, 0) == 15


@both_worlds
def test_are_callbacks_of_the_layer_above_handed_to_it_in_order_and_within_the_budget(world):
    arena = slab_arena()
    free = mem_stats(arena)["free"]
    base = world(run_alloc_n)(arena, 1) * PAGE_WORDS
    frame = world(frame_alloc)(arena, 0) * PAGE_WORDS
    world(call_rcu)(arena, 0, base, FUNC_USER)
    world(call_rcu)(arena, 0, frame + 8, FUNC_FREE_FRAME)
    world(call_rcu)(arena, 0, base + 8, FUNC_USER + 1)
    assert world(mem_callbacks)(arena, 0, 10) == base
    world(rcu_done)(arena, 0, 1)
    assert world(mem_callbacks)(arena, 0, 0) == 0 and mem_stats(arena)["free"] == free - 2
    assert world(mem_callbacks)(arena, 0, 1) == 0 and mem_stats(arena)["free"] == free - 1
    assert world(mem_callbacks)(arena, 0, 10) == base + 8
    world(rcu_done)(arena, 0, 1)
    assert sync_stats(arena)["callbacks_waiting"] == 0
