"""Lockless rmap walks against removal, reuse and re-homing of descriptors (R-1 … R-6), as shipped.

The descriptors hold two entries here. A walker write-protects every spte of an rmap while entries are removed under the lock:
whatever stays in the rmap during the whole walk must be protected, whatever the walker meets on the way must be an spte.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import POISON
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, store_release, write_once
from gnomon.mem.slab import slab_free
from gnomon.mmu.rmap import DESC, PROTECT_DIRTY, rmap_add, rmap_find, rmap_remove, rmap_top_up, rmap_walk, take_spare
from gnomon.mmu.spte import HOST_WRITABLE, LEVEL_SHIFT, MMU_WRITABLE, PRESENT, READABLE, WRITABLE
from gnomon.mmu.vm_words import VM
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock

SPTES_AT = 15 * 1024 + 128
HEAD_AT, OTHER_AT = 15 * 1024 + 64, 15 * 1024 + 72
LEAF = 5 << 12 | PRESENT | READABLE | WRITABLE | HOST_WRITABLE | MMU_WRITABLE | 1 << LEVEL_SHIFT


@kernel
def walk(m, t, vm, head, stays):
    """Protect the rmap; the spte that was in it all the time must have lost W."""
    rcu_read_lock(m, t)
    found = rmap_walk(m, vm, head, PROTECT_DIRTY)
    rcu_read_unlock(m, t)
    expect(found < 0 or read_once(m, stays) & WRITABLE == 0)
    return 0


@kernel
def remove(m, t, vm, head, at):
    """Zap an spte and take it out, as zap_spte() does."""
    spin_lock(m, vm + VM.mmu_lock)
    write_once(m, at, 0)
    rmap_remove(m, t, head, at)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def add(m, v, t, vm, head, at):
    """Map another spte, with descriptors set aside before the lock."""
    rmap_top_up(m, v, t)
    spin_lock(m, vm + VM.mmu_lock)
    store_release(m, at, LEAF)
    rmap_add(m, v, head, at)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def remove_clearing_first(m, t, head, at):
    """Mutant of rmap_remove(): empties the last slot before it fills the hole; for a head descriptor that stays."""
    value = read_once(m, head)
    desc = value >> 1
    hole = rmap_find(m, desc, at)
    count = read_once(m, desc + DESC.count) - 1
    last = desc + DESC.sptes + count
    moved = read_once(m, last)
    store_release(m, last, 0)
    if hole != last:
        store_release(m, hole, moved)
    write_once(m, desc + DESC.count, count)
    return 1


@kernel
def add_publishing_first(m, v, head, at):
    """Mutant of rmap_add(), for the second entry: the head names the descriptor before that is filled."""
    value = read_once(m, head)
    if value == 0:
        store_release(m, head, at << 1)
        return 0
    desc = take_spare(m, v)
    store_release(m, head, (desc << 1) | 1)
    write_once(m, desc + DESC.more, (head << 1) | 1)
    write_once(m, desc + DESC.sptes, value >> 1)
    write_once(m, desc + DESC.sptes + 1, at)
    write_once(m, desc + DESC.count, 2)
    return 0


@kernel
def free_poisoned(m, t, cache, ref):
    """Mutant of slab_free(): what a freed descriptor links to is overwritten."""
    write_once(m, ref + DESC.more, POISON << 1)
    return 0


@kernel
def no_lock(m, at):
    """Mutant of spin_lock() and spin_unlock(): nothing."""
    return 0


@kernel
def add_both(m, v, t, vm, head, at):
    """A writer among writers: the spte is in the rmap whatever others add meanwhile."""
    add(m, v, t, vm, head, at)
    spin_lock(m, vm + VM.mmu_lock)
    value = read_once(m, head)
    found = value == at << 1
    if value & 1:
        found = rmap_find(m, value >> 1, at) != 0
    spin_unlock(m, vm + VM.mmu_lock)
    expect(found)
    return 0


def prepared(mutant: Mutant | None, entries: int, vcpus: int = 1) -> Stage:
    stage = Stage(mutant, vcpus=vcpus)
    s = stage.scenario
    for n in range(entries):
        s.run(add, stage.vcpus[0], 0, stage.vm, HEAD_AT, SPTES_AT + n)
    s.label(HEAD_AT, "rmap A", kind="rmap")
    s.label(OTHER_AT, "rmap B", kind="rmap")
    s.label(SPTES_AT, "spte", words=8, kind="spte")
    for n in range(3):
        ref = stage.word(HEAD_AT) >> 1
        for _ in range(n):
            ref = stage.word(ref + DESC.more) >> 1 if ref else 0
        if ref and stage.word(HEAD_AT) & 1:
            s.label(ref, f"desc {n}", DESC)
    return stage


def moved_entry(mutant: Mutant | None) -> Scenario:
    """Two entries in one descriptor: removing the first moves the second into the hole."""
    stage = prepared(mutant, 2)
    stage.scenario.thread("walker", call(walk, stage.slot, stage.vm, HEAD_AT, SPTES_AT + 1))
    stage.scenario.thread("zapper", call(remove, 0, stage.vm, HEAD_AT, SPTES_AT))
    return stage.scenario


def reused_descriptor(mutant: Mutant | None) -> Scenario:
    """Three entries in two descriptors: the head one is freed and becomes another rmap's under the walker."""
    stage = prepared(mutant, 3)
    s, v, vm = stage.scenario, stage.vcpus[0], stage.vm
    s.run(add, v, 0, vm, OTHER_AT, SPTES_AT + 4)
    s.thread("walker", call(walk, stage.slot, vm, HEAD_AT, SPTES_AT))
    s.thread("zapper", call(remove, 0, vm, HEAD_AT, SPTES_AT + 2), call(add, v, 0, vm, OTHER_AT, SPTES_AT + 5))
    return s


def new_descriptor(mutant: Mutant | None) -> Scenario:
    """One entry in the head word: a second one moves it into a descriptor under the walker."""
    stage = prepared(mutant, 1)
    stage.scenario.thread("walker", call(walk, stage.slot, stage.vm, HEAD_AT, SPTES_AT))
    stage.scenario.thread("adder", call(add, stage.vcpus[0], 0, stage.vm, HEAD_AT, SPTES_AT + 1))
    return stage.scenario


def two_writers(mutant: Mutant | None) -> Scenario:
    stage = prepared(mutant, 1, vcpus=2)
    stage.scenario.locks = ()  # whether the lock excludes is what is looked at
    for n in range(2):
        stage.scenario.thread(f"adder {n}", call(add_both, stage.vcpus[n], n, stage.vm, HEAD_AT, SPTES_AT + 1 + n))
    return stage.scenario


register(
    Entry(
        "rmap/moved-entry",
        "an entry that a removal moves into the hole is not missed by a lockless walk (R-2, R-3)",
        moved_entry,
        {
            "forward": Mutant("walks a descriptor from low to high (R-3)", design="walk=forward", property="expectation"),
            "clears-first": Mutant(
                "empties the last slot before it fills the hole (R-3)", {rmap_remove: remove_clearing_first}, property="expectation"
            ),
        },
    )
)
register(
    Entry(
        "rmap/reused-descriptor",
        "a descriptor freed and reused by another rmap under the walker makes it start anew, not stop early (R-1, R-5)",
        reused_descriptor,
        {
            "no-nulls": Mutant("any end of a list ends the walk (R-5)", design="walk=no-nulls", property="expectation"),
            "poisons-next": Mutant("a freed descriptor's link is overwritten (N-5)", {slab_free: free_poisoned}, property="outside memory"),
        },
    )
)
register(
    Entry(
        "rmap/new-descriptor",
        "a descriptor is filled before the head names it: a walk that meets it finds what was in the rmap (R-4, N-4, S-4)",
        new_descriptor,
        {"publishes-first": Mutant("the head names it first (R-4)", {rmap_add: add_publishing_first}, property="expectation")},
    )
)
register(
    Entry(
        "rmap/two-writers",
        "who edits an rmap holds its lock: two at once lose no entry (N-6)",
        two_writers,
        {"no-lock": Mutant("nobody takes the lock (N-6)", {spin_lock: no_lock, spin_unlock: no_lock})},
    )
)
