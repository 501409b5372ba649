"""frames: one owner a frame (F1), exact counts (F2), watermarks (F3), zero where promised (F4), tags (F5)."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mem_rig import FIXED_FRAMES, both_worlds, pool_arena, together

from gnomon.lang import PAGE_WORDS, Arena, kernel, twin
from gnomon.lang.atomics import cmpxchg, fetch_add, read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.debug import frames_held, leak_check, mem_stats
from gnomon.mem.frames import (
    frame_alloc,
    frame_alloc_reserve,
    frame_alloc_zeroed,
    frame_free,
    frames_init,
    frames_reclaim_wanted,
    frames_set_watermarks,
    run_alloc,
    run_alloc_n,
    run_free,
)
from gnomon.mem.pool import (
    FRAME_FREE,
    FRAME_GUEST,
    FRAME_SLAB,
    FRAME_STATIC,
    FRAME_TABLE,
    FRAME_TAKEN,
    FRAMES_PER_RUN,
    frame_owner,
    frame_payload,
    frame_set_word,
    frame_tag,
    frame_word,
)

ODD_SIZES = [FIXED_FRAMES + 4, 300, FRAMES_PER_RUN, FRAMES_PER_RUN + 1, 3 * FRAMES_PER_RUN, 3 * FRAMES_PER_RUN + 77]


def page(arena, pfn):
    return arena.words[pfn * PAGE_WORDS : (pfn + 1) * PAGE_WORDS]


@both_worlds
@pytest.mark.parametrize("frames", ODD_SIZES)
def test_is_every_frame_of_an_arena_of_any_size_handed_out_once(world, frames):
    arena = Arena(frames * PAGE_WORDS)
    free = world(frames_init)(arena, len(arena))
    given = []
    while pfn := world(frame_alloc)(arena, 0):
        given.append(pfn)
    assert len(given) == free == len(set(given)) and max(given) == frames - 1
    assert sorted(given) == list(range(frames - free, frames))
    assert mem_stats(arena)["failures"] == 1
    for pfn in given:
        assert world(frame_free)(arena, pfn) == 0
    assert mem_stats(arena)["free"] == free and mem_stats(arena)["double_free"] == 0


def test_is_an_arena_without_room_refused():
    assert frames_init(Arena(FIXED_FRAMES * PAGE_WORDS), FIXED_FRAMES * PAGE_WORDS) == -1


class Frames(RuleBasedStateMachine):
    """Allocate and free frames and runs in any order against a set of owned frames."""

    world = staticmethod(lambda k: k)
    FRAMES = 2 * FRAMES_PER_RUN + 90

    def __init__(self):
        super().__init__()
        self.arena = pool_arena(self.FRAMES, debug=0)
        stats = mem_stats(self.arena)
        self.pool = self.free = stats["free"]
        self.singles: list[int] = []
        self.runs: list[int] = []
        self.fixed = 0
        self.marks = (0, 0, 0)

    def run(self, kernel, *arguments):
        return self.world(kernel)(self.arena, *arguments)

    def owned(self) -> set[int]:
        return set(self.singles) | {p for r in self.runs for p in range(r, r + FRAMES_PER_RUN)}

    def take(self, pfn: int, count: int) -> None:
        fresh = set(range(pfn, pfn + count))
        assert not fresh & self.owned() and self.FRAMES - self.pool <= pfn and pfn + count <= self.FRAMES
        self.free -= count

    @rule(kind=st.sampled_from([frame_alloc, frame_alloc_zeroed]), n=st.integers(1, 40))
    def allocate(self, kind, n):
        for _ in range(n):
            pfn = self.run(kind, 0)
            assert bool(pfn) == (self.free > self.marks[0])
            if pfn:
                self.take(pfn, 1)
                self.singles.append(pfn)
                if kind is frame_alloc_zeroed:
                    assert not page(self.arena, pfn).any()
                page(self.arena, pfn)[0] = pfn
                self.run(frame_set_word, pfn, (pfn << 4) | FRAME_GUEST)

    @rule()
    def allocate_from_the_reserve(self):
        pfn = self.run(frame_alloc_reserve)
        assert bool(pfn) == (self.free > 0)
        if pfn:
            self.take(pfn, 1)
            self.singles.append(pfn)
            page(self.arena, pfn)[0] = pfn
            self.run(frame_set_word, pfn, (pfn << 4) | FRAME_GUEST)

    @rule()
    def allocate_a_run(self):
        pfn = self.run(run_alloc)
        if pfn:
            assert pfn % FRAMES_PER_RUN == 0 and self.free - FRAMES_PER_RUN >= self.marks[0]
            self.take(pfn, FRAMES_PER_RUN)
            self.runs.append(pfn)
            assert not self.arena.words[pfn * PAGE_WORDS : (pfn + FRAMES_PER_RUN) * PAGE_WORDS].any()
            for n in range(0, FRAMES_PER_RUN, 100):
                page(self.arena, pfn + n)[511] = 1

    @rule(n=st.integers(1, 200))
    def allocate_for_ever(self, n):
        pfn = self.run(run_alloc_n, n)
        if pfn:
            self.take(pfn, n)
            assert not self.arena.words[pfn * PAGE_WORDS : (pfn + n) * PAGE_WORDS].any()
            self.fixed += n
            assert all(self.run(frame_word, p) == FRAME_STATIC for p in (pfn, pfn + n - 1))
            assert self.run(frame_free, pfn) == -1

    @precondition(lambda self: self.singles)
    @rule(data=st.data(), n=st.integers(1, 60))
    def release(self, data, n):
        for _ in range(min(n, len(self.singles))):
            pfn = self.singles.pop(data.draw(st.integers(0, len(self.singles) - 1)) if n < 4 else -1)
            assert page(self.arena, pfn)[0] == pfn, "somebody else wrote to an owned frame"
            assert self.run(frame_free, pfn) == 0
            self.free += 1
            assert self.arena.words[FRAME_WORDS_AT + pfn] & 15 == FRAME_FREE
            assert self.run(frame_free, pfn) == -1

    @precondition(lambda self: self.runs)
    @rule(whole=st.booleans())
    def release_a_run_whole_or_frame_by_frame(self, whole):
        first = self.runs.pop()
        self.free += FRAMES_PER_RUN
        if whole:
            assert self.run(run_free, first) == 0 and self.run(run_free, first) == -1
        else:
            for pfn in range(first, first + FRAMES_PER_RUN):
                assert self.run(frame_free, pfn) == 0

    @rule(marks=st.lists(st.integers(0, 700), min_size=3, max_size=3))
    def move_the_watermarks(self, marks):
        ordered = marks == sorted(marks)
        assert self.run(frames_set_watermarks, *marks) == (0 if ordered else -1)
        if ordered:
            self.marks = tuple(marks)

    @invariant()
    def the_free_count_is_exact(self):
        stats = mem_stats(self.arena)
        assert stats["free"] == self.free
        assert self.run(frames_held) == len(self.owned()) == self.pool - self.free - self.fixed
        if self.free < self.marks[1]:
            assert stats["reclaim_wanted"] == 1


class InterpretedFrames(Frames):
    world = staticmethod(twin)


Frames.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
InterpretedFrames.TestCase.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestCompiled, TestInterpreted = Frames.TestCase, InterpretedFrames.TestCase


@both_worlds
def test_are_the_watermarks_counted_when_passed_and_reclaim_asked_for_until_high(world):
    arena = pool_arena(FIXED_FRAMES + 24)
    free = mem_stats(arena)["free"]
    assert world(frames_set_watermarks)(arena, 4, 8, 12) == 0
    given = []
    while pfn := world(frame_alloc)(arena, 0):
        given.append(pfn)
        assert world(frames_reclaim_wanted)(arena) == (free - len(given) < 8)
    stats = mem_stats(arena)
    assert len(given) == free - 4
    assert (stats["free"], stats["low_crossings"], stats["min_crossings"], stats["failures"]) == (4, 1, 1, 1)
    assert world(frame_alloc_reserve)(arena) and mem_stats(arena)["free"] == 3
    for n, pfn in enumerate(given):
        world(frame_free)(arena, pfn)
        assert world(frames_reclaim_wanted)(arena) == (4 + n < 12)


@both_worlds
def test_do_512_frames_freed_one_by_one_become_a_run_again(world):
    arena = pool_arena(3 * FRAMES_PER_RUN, debug=0)
    first = world(run_alloc)(arena)
    second = world(run_alloc)(arena)
    assert first and second and world(run_alloc)(arena) == 0
    for pfn in range(first, first + FRAMES_PER_RUN):
        world(frame_free)(arena, pfn)
    assert mem_stats(arena)["merges"] == 1
    assert world(run_alloc)(arena) == first


@both_worlds
def test_is_a_run_refused_back_when_part_of_it_is_free_already(world):
    arena = pool_arena(3 * FRAMES_PER_RUN, debug=0)
    first = world(run_alloc)(arena)
    world(frame_free)(arena, first + 7)
    assert world(run_free)(arena, first) == -1 and world(run_free)(arena, first + 8) == -1
    assert mem_stats(arena)["double_free"] == 2


@pytest.mark.parametrize("tag", [FRAME_GUEST, FRAME_TABLE, FRAME_SLAB, FRAME_STATIC, FRAME_TAKEN])
@pytest.mark.parametrize("payload", [0, 1, (1 << 59) - 1])
@both_worlds
def test_does_a_frame_word_keep_its_tag_and_payload(world, tag, payload):
    word = world(frame_owner)(tag, payload)
    arena = pool_arena(FIXED_FRAMES + 8)
    pfn = world(frame_alloc)(arena, 0)
    assert world(frame_word)(arena, pfn) == FRAME_TAKEN
    world(frame_set_word)(arena, pfn, word)
    assert world(frame_tag)(world(frame_word)(arena, pfn)) == tag
    assert world(frame_payload)(world(frame_word)(arena, pfn)) == payload


@both_worlds
def test_does_debug_notice_a_write_to_a_free_frame_and_to_one_never_handed_out(world):
    arena = pool_arena(FIXED_FRAMES + 8)
    pfn = world(frame_alloc)(arena, 0)
    page(arena, pfn)[:] = 5
    world(frame_free)(arena, pfn)
    page(arena, pfn)[3] = 9
    page(arena, pfn + 1)[4] = 9
    assert world(frame_alloc)(arena, 0) == pfn and mem_stats(arena)["write_after_free"] == 1
    assert world(frame_alloc)(arena, 0) == pfn + 1 and mem_stats(arena)["write_after_free"] == 2
    assert world(frame_free)(arena, pfn) == 0 == world(frame_free)(arena, pfn + 1)
    assert world(leak_check)(arena) == 0


def test_does_a_large_pool_cost_the_host_nothing_but_its_tables():
    small = pool_arena(3 * FRAMES_PER_RUN)  # so that nothing is compiled later
    assert run_alloc_n(small, 1) and run_alloc(small)
    arena = Arena((1 << 18) * PAGE_WORDS)  # 1 GiB
    frames_init(arena, len(arena))
    before = resident()
    assert run_alloc_n(arena, 1 << 14) and run_alloc(arena)
    assert resident() - before < 1 << 20


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@kernel
def churn_frames(m, t, rounds):
    """Hold up to 8 frames, listed from HELD_AT on. Returns how often one of them had another owner."""
    stolen = 0
    seed = t + 1
    for _ in range(rounds):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        slot = HELD_AT + t * 8 + ((seed >> 8) & 7)
        pfn = read_once(m, slot)
        if pfn == 0:
            pfn = frame_alloc_zeroed(m, t)
            if pfn != 0:
                if cmpxchg(m, pfn << 9, 0, t + 1) != 0:
                    stolen += 1
                write_once(m, slot, pfn)
        else:
            if cmpxchg(m, pfn << 9, t + 1, 0) != t + 1:
                stolen += 1
            frame_free(m, pfn)
            write_once(m, slot, 0)
    for n in range(8):
        pfn = read_once(m, HELD_AT + t * 8 + n)
        if pfn != 0:
            frame_free(m, pfn)
    fetch_add(m, HELD_AT + 512, 1)
    return stolen


HELD_AT = 520 * PAGE_WORDS


def test_does_a_frame_ever_have_two_owners_on_real_threads():
    arena = pool_arena(2 * FRAMES_PER_RUN)
    first = run_alloc(arena)
    assert first == FRAMES_PER_RUN < 520  # HELD_AT lies in a run that this test owns
    free = mem_stats(arena)["free"]
    assert together(*[(churn_frames, arena, t, 60_000) for t in range(4)]) == [0] * 4
    run_free(arena, first)
    stats = mem_stats(arena)
    assert stats["free"] == free + FRAMES_PER_RUN and leak_check(arena) == 0
    assert stats["double_free"] == stats["write_after_free"] == 0
