"""Memory held by freeing through RCU and by the type-stable slab: C1, C2, C6."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.slab import SMALL, WORDS
from gnomon.check.scenarios.stage import DATA_AT, frames_are_safe, stage
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.atomics import fetch_add, read_once
from gnomon.lang.fixed import FRAMES_AT, RCU_AT
from gnomon.mem.frames import frame_alloc, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT, POOL
from gnomon.mem.slab import CACHE_TABLE, FUNC_FREE_FRAME, cache_init, slab_alloc, slab_free
from gnomon.mem.slab_page import CACHE, CTOR_ZERO, TYPESAFE, cache_at
from gnomon.sync.rcu import rcu_advance, rcu_read_lock, rcu_read_unlock
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_take_ready
from gnomon.sync.state import RCU

N_MAX = 1
"""n_max_mmu_pages of these scenarios: shadow pages in use at once."""
HELD_AT = DATA_AT
FREE_AT_START = DATA_AT + 8
HEAD_WORD = 8
"""Where in a page its callback head lies."""


@kernel
def churn_rcu(m, t, times):
    """Allocate a page table, use it, free it through RCU; never more than one in use. Ready callbacks run in between, as they do."""
    for _i in range(times):
        pfn = frame_alloc(m, t)
        expect(pfn != 0)
        call_rcu(m, t, (pfn << PAGE_WORDS_SHIFT) + HEAD_WORD, FUNC_FREE_FRAME)
        rcu_advance(m, t)
        head = rcu_take_ready(m, t)
        if head:
            frame_free(m, head >> PAGE_WORDS_SHIFT)
            rcu_done(m, t, 1)
    return 0


@kernel
def churn_slab(m, t, times):
    """The same from the type-stable slab."""
    for _i in range(times):
        ref = slab_alloc(m, t, CACHE_TABLE)
        expect(ref != 0)
        slab_free(m, t, CACHE_TABLE, ref)
    return 0


@kernel
def long_reader(m, t):
    """A protector that takes its time inside a read section."""
    rcu_read_lock(m, t)
    fetch_add(m, HELD_AT, 1)
    rcu_read_unlock(m, t)
    return 0


@kernel
def held_at_most(m, limit):
    """1 while at most `limit` frames have left the pool, in use or waiting for a grace period."""
    return read_once(m, FREE_AT_START) - read_once(m, FRAMES_AT + POOL.free) <= limit


@kernel
def cache_at_most(m, limit):
    """1 while the cache has at most `limit` pages."""
    return read_once(m, cache_at(CACHE_TABLE) + CACHE.pages) <= limit


@kernel
def no_grace_period(m, number):
    """1 if no grace period has begun since the counter was `number`, and none is wanted."""
    return read_once(m, RCU_AT + RCU.counter) == number and read_once(m, RCU_AT + RCU.wanted) == 0


def prepared(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 2, WORDS, constants=SMALL)
    scenario.run(cache_init, CACHE_TABLE, PAGE_WORDS, TYPESAFE | CTOR_ZERO)
    scenario.store(FREE_AT_START, int(scenario.arena.words[FRAMES_AT + POOL.free]))
    frames_are_safe(scenario)
    scenario.label(HELD_AT, "read sections", quiet=True)
    scenario.thread("reader", call(long_reader, 0))
    return scenario


def deferred(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    scenario.thread("recycler", call(churn_rcu, 1, 3))
    scenario.always("pages in use or deferred stay within n_max", held_at_most, N_MAX)
    return scenario


def bounded(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    scenario.thread("recycler", call(churn_slab, 1, 3))
    scenario.always("pages of the cache stay within n_max", cache_at_most, N_MAX)
    return scenario


def silent(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    scenario.thread("recycler", call(churn_slab, 1, 3))
    scenario.at_end("no grace period was asked for", no_grace_period, int(scenario.arena.words[RCU_AT + RCU.counter]))
    return scenario


register(Entry("pressure/call-rcu", "C1: pages freed through RCU pile up beyond n_max behind one reader", deferred, witness=True))
register(Entry("pressure/slab-bound", "C2: with the type-stable slab the pages are bound by n_max, whatever readers do", bounded))
register(Entry("pressure/no-grace-period", "C6: freeing to the type-stable slab asks for no grace period", silent))
