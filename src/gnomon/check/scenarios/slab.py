"""The type-stable slab as shipped: an object is in one place (S1), reusable at once (S-1), its page kept for a grace period (S-7)."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.stage import DATA_AT, frames_are_safe, stage
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.atomics import read_once, store_release, write_once, xchg
from gnomon.mem.frames import frame_free
from gnomon.mem.slab import (
    CACHE_TABLE,
    cache_destroy,
    cache_init,
    cache_shrink,
    shrink_callback,
    slab_alloc,
    slab_flush_magazines,
    slab_free,
)
from gnomon.mem.slab_page import CTOR_ZERO, TYPESAFE
from gnomon.sync.rcu import rcu_advance, rcu_read_lock, rcu_read_unlock
from gnomon.sync.rcu_callbacks import rcu_done, rcu_take_ready

WORDS = 1 << 15
POINTER_AT, REUSED_AT = DATA_AT, DATA_AT + 8
SMALL = {"gnomon.mem.slab.MAGAZINE_HALF": 1, "gnomon.check.specification.MODELLED_WORDS": 2, "gnomon.lang.fixed.MAX_CACHES": 3}


@kernel
def use_and_free(m, t):
    """Allocate, mark as ours, free: nobody else has it meanwhile."""
    ref = slab_alloc(m, t, CACHE_TABLE)
    if ref:
        expect(xchg(m, ref, t + 1) == 0)
        expect(xchg(m, ref, 0) == t + 1)
        slab_free(m, t, CACHE_TABLE, ref)
        slab_flush_magazines(m, t)
    return 0


@kernel
def publish_object(m, t):
    """For set-up: an object in the structure that readers look through."""
    ref = slab_alloc(m, t, CACHE_TABLE)
    write_once(m, ref, 7)
    write_once(m, POINTER_AT, ref)
    return ref


@kernel
def reader(m, t):
    """Look at the object twice inside one read section: it may be another object of the cache by then, never anything else."""
    rcu_read_lock(m, t)
    ref = read_once(m, POINTER_AT)
    if ref:
        first = read_once(m, ref)
        second = read_once(m, ref)
        expect(first == 7 or first == 8 or first == 0)
        if first == 7 and second == 8:
            write_once(m, REUSED_AT, 1)
    rcu_read_unlock(m, t)
    return 0


@kernel
def recycle(m, t):
    """Free the object and allocate: it comes back at once, as another."""
    ref = read_once(m, POINTER_AT)
    store_release(m, POINTER_AT, 0)
    write_once(m, ref, 0)
    slab_free(m, t, CACHE_TABLE, ref)
    fresh = slab_alloc(m, t, CACHE_TABLE)
    write_once(m, fresh, 8)
    return 0


@kernel
def give_page_up(m, t):
    """Give an empty page of the tables' cache up; run the callback when its grace period is over."""
    slab_flush_magazines(m, t)
    if cache_shrink(m, t, CACHE_TABLE):
        head = 0
        while head == 0:
            rcu_advance(m, t)
            head = rcu_take_ready(m, t)
        shrink_callback(m, head)
        rcu_done(m, t, 1)
    return 0


@kernel
def free_published(m, t):
    """Take the object out of the structure and free it."""
    ref = read_once(m, POINTER_AT)
    store_release(m, POINTER_AT, 0)
    write_once(m, ref, 0)
    return slab_free(m, t, CACHE_TABLE, ref)


@kernel
def free_and_shrink(m, t):
    """Free the object and give its page up; run the callback when its grace period is over."""
    free_published(m, t)
    return give_page_up(m, t)


@kernel
def never_reused(m, at):
    """0 once a reader saw the reuse."""
    return read_once(m, at) == 0


@kernel
def shrink_now(m, t, cache):
    """Mutant of cache_shrink(): does not tell type-stable pages from others."""
    frame_free(m, read_once(m, POINTER_AT + 16))
    return 0


@kernel
def look_before_section(m, t):
    """Mutant of reader(): takes the address before its section begins."""
    ref = read_once(m, POINTER_AT)
    rcu_read_lock(m, t)
    if ref:
        read_once(m, ref)
    rcu_read_unlock(m, t)
    return 0


@kernel
def look_after_section(m, t):
    """Mutant of reader(): leaves its section, then looks."""
    rcu_read_lock(m, t)
    ref = read_once(m, POINTER_AT)
    rcu_read_unlock(m, t)
    if ref:
        read_once(m, ref)
    return 0


@kernel
def link_inside(m, t, cache, ref):
    """Mutant of slab_free(): the link of the free list lies in the object."""
    write_once(m, ref, POINTER_AT)
    return 0


@kernel
def destroy_at_once(m, t):
    """Take the cache down without waiting for its page's grace period: cache_destroy() refuses."""
    ref = read_once(m, POINTER_AT)
    store_release(m, POINTER_AT, 0)
    write_once(m, ref, 0)
    slab_free(m, t, CACHE_TABLE, ref)
    if cache_destroy(m, t, CACHE_TABLE) == 0:
        frame_free(m, read_once(m, POINTER_AT + 16))
    return 0


@kernel
def destroy_waiting_pages(m, t, cache):
    """Mutant of cache_destroy(): does not ask whether pages wait for a grace period."""
    slab_flush_magazines(m, t)
    cache_shrink(m, t, cache)
    return 0


def prepared(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 3, WORDS, constants=SMALL)
    scenario.run(cache_init, CACHE_TABLE, PAGE_WORDS, TYPESAFE | CTOR_ZERO)
    frames_are_safe(scenario)
    scenario.label(POINTER_AT, "pointer")
    return scenario


def exclusive(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    scenario.thread("a", call(use_and_free, 0))
    scenario.thread("b", call(use_and_free, 1))
    return scenario


def reuse(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    ref = scenario.run(publish_object, 1)
    scenario.label(ref, "object", words=2)
    scenario.label(REUSED_AT, "reuse seen")
    scenario.thread("reader", call(reader, 0))
    scenario.thread("recycler", call(recycle, 1))
    scenario.at_end("no object is reused inside a read section", never_reused, REUSED_AT)
    return scenario


def taken_down(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    ref = scenario.run(publish_object, 1)
    scenario.store(POINTER_AT + 16, ref // PAGE_WORDS)
    scenario.label(POINTER_AT + 16, "its frame", quiet=True)
    scenario.thread("reader", call(reader, 0))
    scenario.thread("owner", call(destroy_at_once, 1))
    return scenario


def page_kept(mutant: Mutant | None) -> Scenario:
    scenario = prepared(mutant)
    ref = scenario.run(publish_object, 1)
    scenario.label(ref, "object", words=2)
    scenario.store(POINTER_AT + 16, ref // PAGE_WORDS)
    scenario.label(POINTER_AT + 16, "its frame", quiet=True)
    scenario.thread("reader", call(reader, 0))
    scenario.thread("shrinker", call(free_and_shrink, 1))
    return scenario


register(Entry("slab/exclusive", "an object is handed out to one thread at a time (S1)", exclusive))
register(Entry("slab/reuse-in-section", "C3: an object freed is another object inside the same read section (S-1)", reuse, witness=True))
register(
    Entry(
        "slab/page-kept",
        "C4: the page of a freed object stays a page of the cache until readers have left (S-2, S-7)",
        page_kept,
        {
            "no-grace-period": Mutant("empty pages go to the pool at once (S-7)", {cache_shrink: shrink_now}, property="use after free"),
            "looks-before": Mutant(
                "the address is read before the section (S-6)", {reader: look_before_section}, property="use after free"
            ),
            "looks-after": Mutant("the object is read after the section (S-6)", {reader: look_after_section}, property="use after free"),
            "link-inside": Mutant("the free list's link lies in the object (S-8)", {slab_free: link_inside}, property="expectation"),
        },
    )
)
register(
    Entry(
        "slab/taken-down",
        "a cache is not taken down while pages of it wait for a grace period (S-8)",
        taken_down,
        {"at-once": Mutant("taken down at once (S-8)", {cache_destroy: destroy_waiting_pages}, property="use after free")},
    )
)
