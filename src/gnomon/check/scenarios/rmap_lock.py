"""The bit lock of an rmap: a protector that takes it walks while no entry moves (I-17, R-7), as shipped.

Under the lock a walk needs nothing of what makes lockless walks right, so this one goes forward, the way that misses entries which a
removal moves into a hole behind it. Only the lock stands between the two.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.rmap import HEAD_AT, SPTES_AT, prepared
from gnomon.lang import kernel
from gnomon.lang.atomics import cpu_relax, read_once, write_once
from gnomon.mmu.design import PAGES_SMALL, PROTECTOR_RMAP_BIT, WALK_FORWARD
from gnomon.mmu.dirty import protect_by_bit
from gnomon.mmu.rmap import RMAP_LOCKED, page_rmap_remove, rmap_lock, rmap_remove
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def protect(m, vm, head, stays):
    """What a harvest does to a page; the spte that is in its rmap all the time must have lost W."""
    protect_by_bit(m, vm, head, 1)
    expect(read_once(m, stays) & WRITABLE == 0)
    return 0


@kernel
def zap(m, t, vm, head, at):
    """Zap an spte and take it out of its rmap, as zap_spte() does."""
    spin_lock(m, vm + VM.mmu_lock)
    write_once(m, at, 0)
    page_rmap_remove(m, vm, t, head, at)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def remove_outside(m, vm, t, head, at):
    """Mutant of page_rmap_remove(): edits the rmap without its lock."""
    return rmap_remove(m, t, head, at)


@kernel
def look_then_set(m, head):
    """Mutant of rmap_lock(): finds the bit clear, then stores it."""
    value = read_once(m, head)
    while value & RMAP_LOCKED:
        cpu_relax()
        value = read_once(m, head)
    return write_once(m, head, value | RMAP_LOCKED)


def locked_walk(mutant: Mutant | None) -> Scenario:
    """Two entries in one descriptor: removing the first moves the second into the hole, which the walk has passed."""
    stage = prepared(mutant, 2)
    s, vm = stage.scenario, stage.vm
    s.design = None  # what is asked here is one design's, and a walk that is no choice of it
    s.store(vm + VM.design, PROTECTOR_RMAP_BIT | WALK_FORWARD | PAGES_SMALL)
    s.thread("protector", call(protect, vm, HEAD_AT, SPTES_AT + 1))
    s.thread("zapper", call(zap, 0, vm, HEAD_AT, SPTES_AT))
    return s


register(
    Entry(
        "rmap/locked-walk",
        "a walk under the bit lock of an rmap misses no entry, in whatever order it goes (I-17, R-7)",
        locked_walk,
        {
            "edits-outside": Mutant("an editor does not take the lock (I-17)", {page_rmap_remove: remove_outside}, property="expectation"),
            "looks-then-sets": Mutant("the lock is taken by a look and a store (I-17)", {rmap_lock: look_then_set}),
        },
    )
)
