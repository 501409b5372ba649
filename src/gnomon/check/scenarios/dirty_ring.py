"""The per-vCPU dirty ring: entries against the stores they stand for (I-21, I-7), reuse of entries, and a ring that is full."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, copy_taken, last_round
from gnomon.check.scenarios.stage import frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.mmu.dirty import BUSY, commit
from gnomon.mmu.dirty_ring import collect_all, harvest_rings, reset_all, reset_word, ring_reset
from gnomon.mmu.ring import RING_COLLECTED, RING_DIRTY, ring_entry, ring_push
from gnomon.mmu.setup import static_words
from gnomon.mmu.vcpu import VCPU, flush_remote_tlbs
from gnomon.mmu.vm_words import VM

RESERVE = {"gnomon.mmu.ring.RING_RESERVED": 0}


@kernel
def ring_round(m, t, vm):
    """A round of pre-copy by the rings."""
    if harvest_rings(m, t, vm) == BUSY:
        return 0
    copy_taken(m, vm, read_once(m, read_once(m, vm + VM.snapshot)))
    commit(m, vm)
    return 0


@kernel
def last_ring_round(m, vm):
    """last_round(), with what is left in the rings."""
    collect_all(m, vm, read_once(m, vm + VM.ring_size))
    return last_round(m, vm)


@kernel
def push_flags_first(m, v, size, index):
    """Mutant of ring_push(): DIRTY before the page is in the entry."""
    number = read_once(m, v + VCPU.ring_dirty)
    if number - load_acquire(m, v + VCPU.ring_reset) >= size:
        return 0
    at = ring_entry(m, v, size, number)
    store_release(m, at, RING_DIRTY)
    write_once(m, at + 1, index)
    write_once(m, v + VCPU.ring_dirty, number + 1)
    return 1


@kernel
def push_without_room(m, v, size, index):
    """Mutant of ring_push(): does not look whether the entry is free."""
    number = read_once(m, v + VCPU.ring_dirty)
    at = ring_entry(m, v, size, number)
    write_once(m, at + 1, index)
    store_release(m, at, RING_DIRTY)
    write_once(m, v + VCPU.ring_dirty, number + 1)
    return 1


@kernel
def reset_before_reading(m, t, vm, v, size):
    """Mutant of ring_reset(): frees an entry before it has read its page."""
    number = read_once(m, v + VCPU.ring_reset)
    at = ring_entry(m, v, size, number)
    if load_acquire(m, at) != RING_COLLECTED:
        return 0
    write_once(m, at, 0)
    store_release(m, v + VCPU.ring_reset, number + 1)
    index = read_once(m, at + 1)
    reset_word(m, t, vm, index >> 6, 1 << (index & 63))
    return 1


@kernel
def copy_before_reset(m, t, vm):
    """Mutant of ring_round(): copies the pages before they are write-protected again."""
    size = read_once(m, vm + VM.ring_size)
    collect_all(m, vm, size)
    copy_taken(m, vm, read_once(m, read_once(m, vm + VM.snapshot)))
    reset_all(m, t, vm, size)
    flush_remote_tlbs(m, vm)
    commit(m, vm)
    return 0


def machine(mutant: Mutant | None, pages: int, size: int) -> Stage:
    """One vCPU with a ring of `size` entries; every page is mapped and write-protected."""
    stage = Stage(mutant, pages=pages, constants=RESERVE)
    s, v = stage.scenario, stage.vcpus[0]
    for index in range(pages):
        stage.touch(0, index)
    ring = s.run(static_words, 2 * size)
    s.store(v + VCPU.ring, ring)
    s.label(ring, "ring", words=2 * size)
    stage.log()
    s.store(stage.vm + VM.ring_size, size)
    return stage


def finished(stage: Stage) -> Scenario:
    stage.scenario.at_end("nothing lost", last_ring_round, stage.vm)
    frames_are_safe(stage.scenario)
    return stage.scenario


def one_page(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant, 1, 2)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("reader", call(ring_round, stage.slot, stage.vm))
    return finished(stage)


def full(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant, 2, 1)
    stage.scenario.thread("vcpu 0", stage.store(0, 1, 1), stage.store(0, 0, 2), stage.store(0, 1, 3))
    stage.scenario.thread("reader", call(ring_round, stage.slot, stage.vm))
    return finished(stage)


FLAGS_FIRST = Mutant("publishes an entry before its page is in it (I-21)", {ring_push: push_flags_first}, property="nothing lost")
register(
    Entry(
        "dirty-ring/one-page",
        "a page that goes through a vCPU's ring is never lost (I-21, I-7)",
        one_page,
        {
            "entry-first": Mutant("pushes before the spte is writable (I-7)", design="publish=bitmap-first", property="nothing lost"),
            "drop-dirty": Mutant("a fast fault pushes nothing (I-5)", design="fast-fault=drop-dirty", property="nothing lost"),
            "copy-first": Mutant("copies before the reset protects again", {ring_round: copy_before_reset}, property="nothing lost"),
            "skip-flush": Mutant("resets without a flush (I-1)", design="flush=skipped", property="nothing lost"),
        },
    )
)
register(
    Entry(
        "dirty-ring/full",
        "an entry is used again only after its reset; what finds the ring full goes to the bitmap",
        full,
        {
            "flags-first": FLAGS_FIRST,
            "no-room": Mutant("overwrites an entry that nobody has read", {ring_push: push_without_room}, property="nothing lost"),
            "early-reset": Mutant("frees an entry before it has read it", {ring_reset: reset_before_reading}, property="nothing lost"),
        },
    )
)
