"""The host changes the frame behind a guest page while the guest faults on it and stores to it: I-13, and the flush before the free.

Nobody may touch a frame that is in the pool, and the page holds what was stored to it last.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, page_word
from gnomon.check.scenarios.stage import frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.lang.guest_memory import store64
from gnomon.mem.frames import frame_free, frame_is_zero
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mmu.fast_fault import fast_page_fault
from gnomon.mmu.host_page import host_lookup, is_fault_stale, is_invalidating
from gnomon.mmu.invalidate import MOVE, TAKE_ZERO, change_frames, invalidate_finish, invalidate_start, zap_pages
from gnomon.mmu.slot import backing, backing_fault
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import hardware_walk
from gnomon.mmu.zap import flush_if_stale, zap_rmap
from gnomon.sync.spinlock import spin_lock, spin_unlock

TRIES = {"gnomon.mmu.translate.TRANSLATE_TRIES": 1}
SAFETY = "use after free"
DIRECT_REGIME = 1
CONTENT = "the page holds the last store"


@kernel
def modelled_is_zero(m, pfn):
    """frame_is_zero() of the one word of a page that the model has."""
    return int(read_once(m, pfn << PAGE_WORDS_SHIFT) == 0)


@kernel
def progress_alone(m, vm, v, index):
    """Mutant of is_fault_stale(): does not compare the sequence."""
    return is_invalidating(m, vm, index)


@kernel
def sequence_alone(m, vm, v, index):
    """Mutant of is_fault_stale(): does not look whether an invalidation is in progress."""
    return int(read_once(m, v + VCPU.fault_pfn) != 0 and read_once(m, v + VCPU.fault_seq) != read_once(m, vm + VM.invalidate_seq))


@kernel
def lookup_first(m, vm, v, t, index):
    """Mutant of host_lookup(): reads the sequence after it has looked the page up."""
    pfn = backing_fault(m, vm, t, index)
    write_once(m, v + VCPU.fault_seq, load_acquire(m, vm + VM.invalidate_seq))
    write_once(m, v + VCPU.fault_pfn, pfn)
    return pfn


@kernel
def zap_unlogged(m, vm, t, first, end):
    """Mutant of zap_pages(): what was writable is not logged."""
    changed = 0
    for index in range(first, end):
        changed |= zap_rmap(m, vm, t, read_once(m, vm + VM.rmap) + index)
    return flush_if_stale(m, vm, changed)


@kernel
def take_after_a_look(m, vm, t, first, end, how):
    """Mutant of change_frames(): looks whether the page is zero before it takes the page away from the guest."""
    spin_lock(m, vm + VM.mover)
    old = backing(m, vm, first)
    if frame_is_zero(m, old):
        invalidate_start(m, vm, t, first, end)
        store_release(m, read_once(m, vm + VM.backing) + first, 0)
        frame_free(m, old)
        invalidate_finish(m, vm)
    spin_unlock(m, vm + VM.mover)
    return 0


@kernel
def store_if_writable(m, v, gpa, value):
    """A guest store that is given up if it faults."""
    guest_enter(m, v)
    if hardware_walk(m, v, gpa, TLB_WRITE, DIRECT_REGIME) == 0:
        store64(m, tlb_host(m, v, gpa, TLB_WRITE, DIRECT_REGIME), value)
    return guest_exit(m, v)


@kernel
def page_holds(m, vm, index, value):
    """1 if page `index` holds `value`."""
    return int(page_word(m, vm, index) == value)


def machine(mutant: Mutant | None, vcpus: int = 1) -> Stage:
    """Page 0 has a frame and no spte; page 1 is mapped, so that the tables exist."""
    stage = Stage(mutant, vcpus=vcpus, pages=2, constants=TRIES, replace={frame_is_zero: modelled_is_zero})
    stage.scenario.run(backing_fault, stage.vm, stage.slot, 0)
    for number in range(vcpus):
        stage.touch(number, 1)
    return stage


def change(stage: Stage, how: int):
    return call(change_frames, stage.vm, stage.slot, 0, 1, how)


def finished(stage: Stage, value: int) -> Scenario:
    stage.scenario.at_end(CONTENT, page_holds, stage.vm, 0, value)
    frames_are_safe(stage.scenario)
    return stage.scenario


def move(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("mover", change(stage, MOVE))
    return finished(stage, 2)


def take_back(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("taker", change(stage, TAKE_ZERO))
    return finished(stage, 2)


def logged(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant, vcpus=2)
    for number in range(2):
        stage.touch(number, 0)
    stage.log()
    stage.scenario.thread("vcpu 0", call(fast_page_fault, stage.vcpus[0], 0, TLB_WRITE, DIRECT_REGIME))
    stage.scenario.thread("vcpu 1", call(store_if_writable, stage.vcpus[1], 0, 2))
    stage.scenario.thread("mover", change(stage, MOVE))
    return stage.finish()


SKIP_FLUSH = Mutant("frees the frame without a flush (I-3)", design="flush=skipped", property=SAFETY)
NO_SEQUENCE = Mutant("maps what it looked up before an invalidation that is over (I-13)", {is_fault_stale: progress_alone}, property=SAFETY)
register(
    Entry(
        "invalidate/move",
        "a frame that the host replaces is never touched again, and no store is lost (I-13)",
        move,
        {
            "no-sequence": NO_SEQUENCE,
            "no-progress": Mutant("maps a page whose frame is being changed (I-13)", {is_fault_stale: sequence_alone}, property=SAFETY),
            "sequence-last": Mutant("reads the sequence after the look-up (I-13)", {host_lookup: lookup_first}, property=SAFETY),
            "skip-flush": SKIP_FLUSH,
        },
    )
)
register(
    Entry(
        "invalidate/take-back",
        "a zero page that the host takes back comes again as a zero page, and no store to it is lost",
        take_back,
        {
            "no-sequence": NO_SEQUENCE,
            "skip-flush": SKIP_FLUSH,
            "look-first": Mutant("looks whether the page is zero while the guest may store to it", {change_frames: take_after_a_look}),
        },
    )
)
register(
    Entry(
        "invalidate/logged",
        "a page that moves between a fast fault and its dirty bit is in the log nevertheless",
        logged,
        {"unlogged": Mutant("does not log what was writable when it was zapped", {zap_pages: zap_unlogged}, property="nothing lost")},
    )
)
