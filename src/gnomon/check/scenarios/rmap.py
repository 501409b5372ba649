"""Lockless rmap walks against removal, reuse and re-homing of descriptors (R-1 … R-6), as shipped.

The descriptors hold two entries here. A walker write-protects every spte of an rmap while entries are removed under the lock:
whatever stays in the rmap during the whole walk must be protected, whatever the walker meets on the way must be an spte.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, store_release, write_once
from gnomon.mmu.rmap import DESC, PROTECT_DIRTY, rmap_add, rmap_find, rmap_remove, rmap_top_up, rmap_walk
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


def prepared(mutant: Mutant | None, entries: int) -> Stage:
    stage = Stage(mutant)
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
        },
    )
)
