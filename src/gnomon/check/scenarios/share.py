"""Two pages lie behind one frame until one of them is stored to: no store is lost, none is seen in the other page, no frame goes too early.

The pages are 0 and 1, both zero, both with a frame. Where the log is on, a migration must end with what the pages hold (J5, D1).
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.invalidate import CONTENT, SAFETY, TRIES, modelled_is_zero, progress_alone
from gnomon.check.scenarios.machine_stage import Stage, copy_round, page_word
from gnomon.check.scenarios.megapages import prepared
from gnomon.check.scenarios.megapages_mutants import zap_no_region
from gnomon.check.scenarios.share_mutants import (
    all_access,
    compare_first,
    compare_one,
    free_at_once,
    keep_always,
    leave_unnamed,
    move_early,
    own_whatever,
    rmap_by_name,
    set_sharer_uncounted,
    unshare_in_place,
    unshare_unlogged,
    unshare_unzapped,
)
from gnomon.check.scenarios.stage import DATA_AT, frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT
from gnomon.lang.guest_memory import load64, store64
from gnomon.mem.frames import frame_is_zero, frames_are_equal
from gnomon.mem.pool import FRAME_GUEST, PAGE_WORDS_SHIFT, POOL, frame_tag
from gnomon.mmu.host_access import host_store_begin, host_store_end
from gnomon.mmu.host_page import is_fault_stale
from gnomon.mmu.invalidate import MOVE, TAKE_ZERO, change_frames, move_page
from gnomon.mmu.share import own_page, share_frames, share_page, shared_access, unshare
from gnomon.mmu.sharers import give_up, leave, set_sharer, spte_rmap
from gnomon.mmu.slot import backing, backing_fault, index_of_frame, mark_dirty
from gnomon.mmu.tlb import TLB_READ, tlb_host
from gnomon.mmu.translate import mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import zap_region
from gnomon.sync.spinlock import spin_lock, spin_unlock

PAIR_AT = DATA_AT + 16
FLAG_AT = DATA_AT + 24
FRAMES = "every guest frame lies behind a page, and every page has one"
LOST = "nothing lost"


@kernel
def modelled_are_equal(m, pfn, other):
    """frames_are_equal() of the one word of a page that the model has."""
    return int(read_once(m, pfn << PAGE_WORDS_SHIFT) == read_once(m, other << PAGE_WORDS_SHIFT))


@kernel
def share_two(m, vm, t, other):
    """The host shares the frame of page 0 with page `other`, if they hold the same."""
    write_once(m, PAIR_AT + 1, other)
    return share_frames(m, vm, t, PAIR_AT, 1)


@kernel
def guest_load(m, v, gpa):
    """A load of the guest, from the TLB lookup on. Returns what it finds."""
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    host = tlb_host(m, v, gpa, TLB_READ, regime)
    while host < 0:
        mmu_translate(m, v, gpa, TLB_READ)
        host = tlb_host(m, v, gpa, TLB_READ, regime)
    found = load64(m, host)
    guest_exit(m, v)
    return found


@kernel
def store_and_tell(m, vm, t, gpa, value):
    """A store of a device, and a word about it for a vCPU when it is done."""
    store64(m, host_store_begin(m, vm, t, gpa), value)
    host_store_end(m, vm, t, gpa, 8)
    return store_release(m, FLAG_AT, value)


@kernel
def load_zero(m, v, gpa):
    """A load: it finds zero."""
    expect(guest_load(m, v, gpa) == 0)
    return 0


@kernel
def load_when_told(m, v, gpa):
    """A load: it finds the value whose word was there before."""
    told = load_acquire(m, FLAG_AT)
    found = guest_load(m, v, gpa)
    expect(told == 0 or found == told)
    return 0


@kernel
def own_it(m, vm, t, index):
    """Somebody un-shares page `index` and stores nothing to it: it becomes a guest table, say."""
    spin_lock(m, vm + VM.mmu_lock)
    own_page(m, vm, t, index)
    return spin_unlock(m, vm + VM.mmu_lock)


@kernel
def copy_logged(m, t, vm):
    """A round of pre-copy as of whoever moves whole pages: none is moved, taken or shared while it looks at them (VM.mover)."""
    spin_lock(m, vm + VM.mover)
    copy_round(m, t, vm)
    return spin_unlock(m, vm + VM.mover)


@kernel
def pages_hold(m, vm, first, second):
    """1 if pages 0 and 1 hold these values."""
    return int(page_word(m, vm, 0) == first and page_word(m, vm, 1) == second)


@kernel
def region_holds(m, vm):
    """1 if pages 0, 1 and 2 hold what was stored to them last."""
    return int(pages_hold(m, vm, 1, 5) and page_word(m, vm, 2) == 0)


@kernel
def frames_match(m, vm):
    """1 if the guest frames are those behind pages, each named after one of them."""
    for index in range(read_once(m, vm + VM.pages)):
        pfn = backing(m, vm, index)
        if pfn and backing(m, vm, index_of_frame(m, pfn)) != pfn:
            return 0
    for pfn in range(read_once(m, FRAMES_AT + POOL.static), read_once(m, FRAMES_AT + POOL.total)):
        if frame_tag(read_once(m, FRAME_WORDS_AT + pfn)) == FRAME_GUEST and backing(m, vm, index_of_frame(m, pfn)) != pfn:
            return 0
    return int(read_once(m, FRAMES_AT + POOL.double_free) == 0)


def machine(mutant: Mutant | None, vcpus: int = 1, shared: bool = True) -> Stage:
    """Pages 0 and 1 have frames, or one; page 2 is mapped, so that the root and a table exist."""
    replace = {frames_are_equal: modelled_are_equal, frame_is_zero: modelled_is_zero}
    stage = Stage(mutant, vcpus=vcpus, pages=4, constants=TRIES, replace=replace, handshake=True)
    for index in range(2):
        stage.scenario.run(backing_fault, stage.vm, stage.slot, index)
    for number in range(vcpus):
        stage.touch(number, 2)
    stage.scenario.label(FLAG_AT, "told")
    stage.scenario.label(PAIR_AT, "pair", words=2)
    if shared:
        stage.scenario.run(share_two, stage.vm, stage.slot, 1)
    return stage


def ended(stage: Stage, first: int, second: int) -> Scenario:
    """Pages 0 and 1 hold these values at the end, and no frame is lost or gone."""
    stage.scenario.at_end(CONTENT, pages_hold, stage.vm, first, second)
    stage.scenario.at_end(FRAMES, frames_match, stage.vm)
    frames_are_safe(stage.scenario)
    return stage.scenario


def store(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant, shared=False)
    stage.scenario.thread("vcpu 0", stage.store(0, 1, 0), call(load_zero, stage.vcpus[0], 4096), stage.store(0, 0, 1))
    stage.scenario.thread("sharer", call(share_two, stage.vm, stage.slot, 1))
    return ended(stage, 1, 0)


def fault(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant, vcpus=2)
    stage.log()
    stage.scenario.thread("vcpu 0", call(guest_load, stage.vcpus[0], 0), stage.store(0, 0, 1))
    stage.scenario.thread("vcpu 1", call(load_zero, stage.vcpus[1], 4096), stage.store(1, 1, 2))
    stage.scenario.at_end(CONTENT, pages_hold, stage.vm, 1, 2)
    return stage.finish()


def region(mutant: Mutant | None) -> Scenario:
    """Page 0 is one of a region that is mapped large, page 2 is in another."""
    stage = prepared(mutant, pages=4, handshake=True, replace={frames_are_equal: modelled_are_equal})
    stage.scenario.run(backing_fault, stage.vm, stage.slot, 2)
    stage.scenario.label(PAIR_AT, "pair", words=2)
    stage.scenario.thread("vcpu 0", stage.store(0, 1, 5), stage.store(0, 0, 1))
    stage.scenario.thread("sharer", call(share_two, stage.vm, stage.slot, 2))
    stage.scenario.at_end(CONTENT, region_holds, stage.vm)
    frames_are_safe(stage.scenario)
    return stage.scenario


def reader(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.scenario.thread("vcpu 0", call(guest_load, stage.vcpus[0], 0), call(load_when_told, stage.vcpus[0], 0))
    stage.scenario.thread("device", call(store_and_tell, stage.vm, stage.slot, 0, 1))
    return ended(stage, 1, 0)


def last_sharer(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 1, 2), stage.store(0, 1, 3))
    stage.scenario.thread("migration", stage.round())
    return stage.finish()


def copied(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.log()
    stage.scenario.run(mark_dirty, stage.vm, 0, 1)
    stage.scenario.thread("vcpu 0", call(own_it, stage.vm, 0, 1), stage.store(0, 0, 1))
    stage.scenario.thread("migration", call(copy_logged, stage.slot, stage.vm))
    return stage.finish()


def changed(how: int):
    """The host changes the frame of page 0 while page 1 leaves it."""

    def build(mutant: Mutant | None) -> Scenario:
        stage = machine(mutant)
        stage.scenario.thread("vcpu 0", stage.store(0, 1, 2))
        stage.scenario.thread("host", call(change_frames, stage.vm, stage.slot, 0, 1, how))
        return ended(stage, 0, 2)

    return build


SKIP_FLUSH = Mutant("flushes no TLB (I-3)", design="flush=skipped", property=SAFETY)
NO_SEQUENCE = Mutant("maps what it looked up before the frames changed (I-13)", {is_fault_stale: progress_alone}, property=SAFETY)
FREES = Mutant("frees a frame that another page lies behind (D2)", {give_up: free_at_once}, property=FRAMES)
KEEPS = Mutant("leaves a frame to others that are not there (D2)", {give_up: keep_always}, property=FRAMES)
register(
    Entry(
        "share/store",
        "two pages come to share a frame, and a store to one of them is neither lost nor seen in the other (I-13)",
        store,
        {
            "compare-first": Mutant("compares while the guest may store (J2)", {share_page: compare_first}, property=CONTENT),
            "compare-one": Mutant("compares with a page that may be stored to (J2)", {share_page: compare_one}, property=CONTENT),
            "no-sequence": NO_SEQUENCE,
            "skip-flush": SKIP_FLUSH,
            "keeps": KEEPS,
        },
    )
)
register(
    Entry(
        "share/fault",
        "a store to a shared page gets a frame of its own first: by the slow fault, never by the fast one",
        fault,
        {
            "all-access": Mutant("lets a fast fault give W in a shared page (J1)", {shared_access: all_access}, property="expectation"),
            "by-name": Mutant("looks for an spte in the rmap of another page (D3)", {spte_rmap: rmap_by_name}),
            "in-place": Mutant("lets the first who stores have the frame (J1)", {unshare: unshare_in_place}, property="expectation"),
        },
    )
)
register(
    Entry(
        "share/region",
        "a page of a megapage comes to share a frame: no large spte maps it, before it has its own again (D4)",
        region,
        {
            "uncounted": Mutant("maps a region large that has a shared page (D4)", {set_sharer: set_sharer_uncounted}, property=CONTENT),
            "keeps-large": Mutant("leaves the large spte where it was (J2)", {zap_region: zap_no_region}, property=CONTENT),
        },
    )
)
register(
    Entry(
        "share/reader",
        "who loads from a page after a store to it retired reads what was stored, not the frame that it shared (J4)",
        reader,
        {
            "stores-in-place": Mutant("a device stores to the frame of two pages (J1)", {own_page: own_whatever}, property=CONTENT),
            "unzapped": Mutant("leaves the page mapped where it was (J4)", {unshare: unshare_unzapped}, property="expectation"),
            "skip-flush": Mutant("flushes no TLB (J4)", design="flush=skipped", property="expectation"),
            "no-sequence": Mutant("maps what it looked up before (J4, I-13)", {is_fault_stale: progress_alone}, property="expectation"),
        },
    )
)
register(
    Entry(
        "share/last-sharer",
        "the frame that one page is left behind is that page's again, for the log as well (D1)",
        last_sharer,
        {"unnamed": Mutant("leaves the frame the name of a page that has gone (D1)", {leave: leave_unnamed}, property=LOST)},
    )
)
register(
    Entry(
        "share/copied",
        "a page that is un-shared during its copy is copied again, though nothing was stored to it (J5)",
        copied,
        {"unlogged": Mutant("does not log what is un-shared (J5)", {unshare: unshare_unlogged}, property=LOST)},
    )
)
register(
    Entry(
        "share/move",
        "a page that moves takes its own share with it, whoever else leaves the frame meanwhile",
        changed(MOVE),
        {
            "frees": FREES,
            "keeps": KEEPS,
            "looks-early": Mutant("looks before the lock whether the frame is shared (D2)", {move_page: move_early}, property=FRAMES),
        },
    )
)
register(
    Entry(
        "share/take-back",
        "a frame is taken back when the last page gives it up",
        changed(TAKE_ZERO),
        {"frees": FREES, "keeps": KEEPS},
    )
)
