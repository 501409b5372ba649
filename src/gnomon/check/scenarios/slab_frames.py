"""What the pages of a type-stable cache come to: taken back while they wait (S8), and never more than what is live and one a CPU (S9).

taken-back   an owner gives its page up, takes it back before the callback runs, gives it up once more; somebody reads meanwhile
waiting      three pages wait and their callback is about to run, when three objects are wanted again
hand-over    one thread allocates what another frees
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.pressure import FREE_AT_START, tables_within
from gnomon.check.scenarios.slab import POINTER_AT, free_published, prepared, publish_object, reader
from gnomon.check.scenarios.stage import DATA_AT, POISON
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, store_release, write_once, xchg
from gnomon.lang.fixed import FRAMES_AT, RCU_AT
from gnomon.mem.frames import frame_alloc, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT, POOL
from gnomon.mem.slab import (
    CACHE_TABLE,
    FUNC_FREE_SLAB_PAGE,
    cache_shrink,
    magazine_capacity,
    shrink_callback,
    slab_alloc,
    slab_flush_magazines,
    slab_free,
    waiting_pop,
)
from gnomon.mem.slab_page import CACHE, batch_pop, cache_at, empties_collect, page_claim, page_take_back
from gnomon.sync.rcu import rcu_advance
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_take_ready
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.sync.state import RCU

OBJECTS = 3
CPUS = 2
HELD_AT = DATA_AT + 32
SLOT_AT = DATA_AT + 40
ROUNDS = 4
BOUND = "frames stay within what is live and one a CPU"


@kernel
def run_ready(m, t):
    """Run the cache's callback if its grace period is over."""
    rcu_advance(m, t)
    head = rcu_take_ready(m, t)
    if head:
        shrink_callback(m, head)
        rcu_done(m, t, 1)
    return 0


@kernel
def next_owner(m, t):
    """Whoever gets the frame next writes to it."""
    pfn = frame_alloc(m, t)
    write_once(m, pfn << PAGE_WORDS_SHIFT, POISON)
    return frame_free(m, pfn)


@kernel
def withdraw(m, t):
    """Free the published object and give its page up."""
    free_published(m, t)
    slab_flush_magazines(m, t)
    return cache_shrink(m, t, CACHE_TABLE)


@kernel
def give_up_twice(m, t):
    """Give the page up, use it again, while it waits or after that, and give it up once more."""
    withdraw(m, t)
    rcu_advance(m, t)  # the grace period begins
    ref = slab_alloc(m, t, CACHE_TABLE)
    write_once(m, ref, 8)
    store_release(m, POINTER_AT, ref)
    expect(read_once(m, ref) == 8)
    return withdraw(m, t)


@kernel
def leave_waiting(m, t):
    """For set-up: OBJECTS pages wait for a grace period that has begun."""
    for n in range(OBJECTS):
        write_once(m, HELD_AT + n, slab_alloc(m, t, CACHE_TABLE))
    for n in range(OBJECTS):
        slab_free(m, t, CACHE_TABLE, read_once(m, HELD_AT + n))
    slab_flush_magazines(m, t)
    cache_shrink(m, t, CACHE_TABLE)
    return rcu_advance(m, t)


@kernel
def take_all(m, t):
    """Have OBJECTS live at once: each is ours alone."""
    for n in range(OBJECTS):
        ref = slab_alloc(m, t, CACHE_TABLE)
        write_once(m, HELD_AT + n, ref)
        expect(xchg(m, ref, t + 1) == 0)
    for n in range(OBJECTS):
        expect(read_once(m, read_once(m, HELD_AT + n)) == t + 1)
    return 0


@kernel
def make(m, t):
    """Allocate one object after the other, each when the one before is free."""
    for _ in range(ROUNDS):
        while read_once(m, SLOT_AT):
            pass
        ref = slab_alloc(m, t, CACHE_TABLE)
        expect(ref != 0)
        store_release(m, SLOT_AT, ref)
    return 0


@kernel
def use_up(m, t):
    """Free what the other thread allocated."""
    for _ in range(ROUNDS):
        while read_once(m, SLOT_AT) == 0:
            pass
        slab_free(m, t, CACHE_TABLE, read_once(m, SLOT_AT))
        store_release(m, SLOT_AT, 0)
    return 0


@kernel
def take_back_in_name(m, at):
    """Mutant of page_take_back(): the page stays among those that the callback frees."""
    pfn = read_once(m, at + CACHE.batch)
    if pfn:
        page_claim(m, at, pfn)
        write_once(m, at + CACHE.pages, read_once(m, at + CACHE.pages) + 1)
    return pfn << PAGE_WORDS_SHIFT


@kernel
def shrink_into_batch(m, t, cache):
    """Mutant of cache_shrink(): what is empty joins the pages whose grace period is under way."""
    at = cache_at(cache)
    spin_lock(m, at + CACHE.lock)
    queued = read_once(m, at + CACHE.queued)
    moved = empties_collect(m, at)
    write_once(m, at + CACHE.queued, 1)
    spin_unlock(m, at + CACHE.lock)
    if queued == 0:
        call_rcu(m, t, at + CACHE.head, FUNC_FREE_SLAB_PAGE)
    return moved


@kernel
def never_take_back(m, at):
    """Mutant of page_take_back(): what waits is left alone, and the pool gives another page."""
    return 0


@kernel
def take_out_at_once(m, head):
    """Mutant of shrink_callback(): takes every page out of the cache, then gives them to the pool."""
    at = head - CACHE.head
    first = 0
    n = 0
    spin_lock(m, at + CACHE.lock)
    pfn = batch_pop(m, at)
    while pfn:
        write_once(m, HELD_AT + OBJECTS + n, pfn)
        n += 1
        pfn = batch_pop(m, at)
    write_once(m, at + CACHE.queued, 0)
    spin_unlock(m, at + CACHE.lock)
    while first < n:
        frame_free(m, read_once(m, HELD_AT + OBJECTS + first))
        first += 1
    return n


@kernel
def pop_unlocked(m, at):
    """Mutant of waiting_pop(): the callback asks nobody."""
    pfn = batch_pop(m, at)
    if pfn == 0:
        write_once(m, at + CACHE.queued, 0)
    return pfn


@kernel
def as_many_as_small_ones(per_page):
    """Mutant of magazine_capacity(): a magazine holds as many whole pages as small objects."""
    return 4


def taken_back(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    scenario.label(scenario.run(publish_object, 1), "object", words=2)
    scenario.thread("reader", call(reader, 0))
    scenario.thread("owner", call(give_up_twice, 1))
    scenario.thread("callbacks", call(run_ready, 2), call(next_owner, 2))
    return scenario


def bounded(mutant: Mutant | None, live: int) -> Scenario:
    """The pool is asked, in every state, how many frames have left it."""
    scenario = prepared(mutant)
    scenario.store(FREE_AT_START, int(scenario.arena.words[FRAMES_AT + POOL.free]))
    scenario.label(FREE_AT_START, "free frames at the start")
    scenario.label(HELD_AT, "held", words=2 * OBJECTS, kind="ref", quiet=True)
    scenario.label(SLOT_AT, "slot")
    scenario.always(BOUND, tables_within, live + CPUS)
    return scenario


def waiting(mutant: Mutant | None) -> Scenario:
    scenario = bounded(mutant, OBJECTS)
    scenario.store(RCU_AT + RCU.membarrier, 0)  # for set-up: one thread alone, fences will do
    scenario.run(leave_waiting, 0)
    scenario.store(RCU_AT + RCU.membarrier, 1)
    scenario.thread("worker", call(take_all, 0))
    scenario.thread("callbacks", call(run_ready, 1), call(run_ready, 1))
    return scenario


def hand_over(mutant: Mutant | None) -> Scenario:
    scenario = bounded(mutant, 1)
    scenario.thread("maker", call(make, 0))
    scenario.thread("user", call(use_up, 1))
    return scenario


register(
    Entry(
        "slab/taken-back",
        "a page that waits is used again, and its callback does not free it; once more empty it waits anew (S8, S-2, S-7)",
        taken_back,
        {
            "freed-all-the-same": Mutant(
                "the callback frees the page that was taken back", {page_take_back: take_back_in_name}, property="use after free"
            ),
            "joins-batch": Mutant(
                "emptied again, it is freed after a grace period that began before its last use (S-7)",
                {cache_shrink: shrink_into_batch},
                property="use after free",
            ),
        },
    )
)
register(
    Entry(
        "slab/waiting",
        "C2: pages that wait are used again before the pool is asked: frames are what is live, and one a CPU (S9)",
        waiting,
        {
            "asks-the-pool": Mutant("a page that waits is not taken back", {page_take_back: never_take_back}, property=BOUND),
            "all-at-once": Mutant(
                "the callback takes all its pages out before it frees one", {shrink_callback: take_out_at_once}, property=BOUND
            ),
            "no-lock": Mutant("the callback does not take the cache's lock", {waiting_pop: pop_unlocked}),
        },
    )
)
register(
    Entry(
        "slab/hand-over",
        "C2: what one thread frees and another allocates piles up in no magazine (S9)",
        hand_over,
        {
            "as-small": Mutant(
                "a magazine of whole pages is as large as one of small objects", {magazine_capacity: as_many_as_small_ones}, property=BOUND
            )
        },
    )
)
