"""Megapages: large sptes split for the dirty log under running vCPUs and a harvest, and collapsed again (L1 … L3, I-22, I-23, W2).

A region has two pages here and two frames in a row. The machine has two levels, so the large spte lies in the root, but for the
scenarios of reuse, which have three.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store, map_for_store, page_word
from gnomon.check.scenarios.megapages_mutants import (
    fill_giving_w,
    fill_losing_w,
    fill_without_rmap,
    may_be_large_always,
    settle_widening,
    split_linking_first,
    split_or_leave,
    walk_trusting_the_place,
    zap_no_region,
)
from gnomon.check.scenarios.reuse import LEVELS
from gnomon.check.scenarios.stage import frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.mmu.dirty import disable_dirty_log, enable_dirty_log
from gnomon.mmu.guest_walk import track_page
from gnomon.mmu.megapage import fill_table, settle_large, split_large, split_one
from gnomon.mmu.region import may_be_large
from gnomon.mmu.slot import backing
from gnomon.mmu.spte import LARGE, PRESENT, RIGHTS, WRITABLE
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.translate import XL_OK, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import hardware_walk, leaf_frame, leaf_of
from gnomon.mmu.zap import zap_region
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.sync.thread import thread_register

RUNS = {"gnomon.mem.pool.FRAMES_PER_RUN": 2, "gnomon.mem.pool.RUN_SHIFT": 1}
COUNTERS = ("large_sptes", "large_maps", "splits", "split_failures", "recoveries", "failed_allocations")


@kernel
def view_is_whole(m, v, pages):
    """0 if some page is not mapped, to its own frame and with all its rights, below the root of `v`. W may be gone for the log."""
    vm = read_once(m, v + VCPU.vm)
    for index in range(pages):
        at = leaf_of(m, read_once(m, v + VCPU.root), index << 12, TLB_READ)
        if at == 0:
            return 0
        spte = read_once(m, at)
        if spte & PRESENT == 0 or spte & RIGHTS != RIGHTS or leaf_frame(spte, index << 12) != backing(m, vm, index) << 12:
            return 0
    return 1


@kernel
def holds(m, vm, index, value):
    """1 if page `index` has what was stored to it last."""
    return page_word(m, vm, index) == value


@kernel
def large_has_w(m, v, pages):
    """0 if a large spte lacks W while nothing is logged."""
    if read_once(m, read_once(m, v + VCPU.vm) + VM.logging) == 0 and read_once(m, v + VCPU.root):
        for index in range(pages):
            at = leaf_of(m, read_once(m, v + VCPU.root), index << 12, TLB_READ)
            if at and read_once(m, at) & (PRESENT | LARGE | WRITABLE) == PRESENT | LARGE:
                return 0
    return 1


@kernel
def map_if_there_is_memory(m, v, gpa):
    """map_for_store() where memory may be short: the store then tries again."""
    return mmu_translate(m, v, gpa, TLB_WRITE)


@kernel
def store_unless_tracked(m, v, gpa, value):
    """guest_store() that does nothing when the page is a guest table."""
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    host = tlb_host(m, v, gpa, TLB_WRITE, regime)
    status = XL_OK
    while host < 0 and status == XL_OK:
        status = mmu_translate(m, v, gpa, TLB_WRITE)
        host = tlb_host(m, v, gpa, TLB_WRITE, regime)
    if status == XL_OK:
        store64(m, host, value)
    guest_exit(m, v)
    return 0


@kernel
def track_and_look(m, t, vm, index):
    """Page `index` becomes a guest table: what is read in it afterwards stays."""
    spin_lock(m, vm + VM.mmu_lock)
    track_page(m, vm, t, index)
    spin_unlock(m, vm + VM.mmu_lock)
    seen = page_word(m, vm, index)
    expect(page_word(m, vm, index) == seen)
    return 0


@kernel
def give_tables(m, vm):
    """n_max is raised."""
    return write_once(m, vm + VM.n_max, 32)


def prepared(
    mutant: Mutant | None,
    vcpus: int = 1,
    pages: int = 2,
    constants: dict | None = None,
    handshake: bool = False,
    replace: dict | None = None,
) -> Stage:
    """Page 0's region is mapped large, for every vCPU; nothing is logged."""
    constants = {**RUNS, **(constants or {})}
    stage = Stage(mutant, vcpus=vcpus, pages=pages, constants=constants, replace=replace, handshake=handshake, mega=True)
    for n in range(vcpus):
        stage.touch(n, 0)
    for field in COUNTERS:
        stage.scenario.only_bits(stage.vm + getattr(VM, field))
    stage.scenario.label(stage.word(stage.vm + VM.region_rmap), "region rmap", words=-(-pages // 2))
    return stage


def split(mutant: Mutant | None) -> Scenario:
    """The log is enabled, and a harvest runs already, while the guest stores."""
    stage = prepared(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    s.thread("enabler", call(enable_dirty_log, s.run(thread_register), stage.vm))
    s.thread("harvester", stage.round(), stage.round())
    s.always("the guest's view stays whole", view_is_whole, v, 2)
    s.at_end("the last store arrived", holds, stage.vm, 0, 2)
    return stage.finish()


def split_late(mutant: Mutant | None) -> Scenario:
    """The large spte could not be split when the log was enabled, and lacks W: two vCPUs' stores split it now."""
    stage = prepared(mutant, vcpus=2)
    s = stage.scenario
    s.store(stage.vm + VM.n_max, 1)
    stage.log()
    s.store(stage.vm + VM.n_max, 32)
    s.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    s.thread("vcpu 1", stage.store(1, 1, 3))
    s.thread("harvester", stage.round())
    s.always("the guest's view stays whole", view_is_whole, stage.vcpus[0], 2)
    s.at_end("the last store arrived", holds, stage.vm, 0, 2)
    return stage.finish()


def no_memory(mutant: Mutant | None) -> Scenario:
    """There is no table to split into when the log is enabled, and there is one later."""
    stage = prepared(mutant, replace={map_for_store: map_if_there_is_memory})
    s, v = stage.scenario, stage.vcpus[0]
    s.store(stage.vm + VM.n_max, 1)
    s.thread("vcpu 0", call(guest_store, v, 0, 1), call(guest_store, v, 0, 2))
    s.thread("enabler", call(enable_dirty_log, stage.slot, stage.vm), stage.round(), call(give_tables, stage.vm))
    s.always("the guest's view stays whole", view_is_whole, v, 2)
    s.at_end("the last store arrived", holds, stage.vm, 0, 2)
    return stage.finish()


def map_logged(mutant: Mutant | None) -> Scenario:
    """A region is touched first while the log is on."""
    stage = prepared(mutant, pages=4)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 2, 1), stage.store(0, 2, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


def track(mutant: Mutant | None) -> Scenario:
    """A page of a region that is mapped large becomes a guest table while the guest stores to it."""
    stage = prepared(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.thread("vcpu 0", call(store_unless_tracked, v, 0, 1), call(store_unless_tracked, v, 0, 2))
    s.thread("tracker", call(track_and_look, stage.slot, stage.vm, 0))
    frames_are_safe(s)
    return s


def collapse(mutant: Mutant | None) -> Scenario:
    """The log is disabled, which zaps the small sptes, and enabled again, while a harvest is under way and the guest stores."""
    stage = prepared(mutant, handshake=True)
    s = stage.scenario
    stage.log()
    t = s.run(thread_register)
    s.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    s.thread("switch", call(disable_dirty_log, t, stage.vm), call(enable_dirty_log, t, stage.vm))
    s.thread("harvester", stage.round())
    s.at_end("the last store arrived", holds, stage.vm, 0, 2)
    return stage.finish()


def reuse(mutant: Mutant | None) -> Scenario:
    """The table that the protector stands in is collapsed, and used again as one that holds a large spte in the very word."""
    stage = prepared(mutant, pages=8, constants=LEVELS)
    s, v = stage.scenario, stage.vcpus[0]
    stage.log()
    s.run(guest_store, v, 0, 1)
    s.thread("vcpu 0", call(disable_dirty_log, 0, stage.vm), stage.store(0, 4, 2), call(enable_dirty_log, 0, stage.vm))
    s.thread("harvester", stage.round())
    s.always("a large spte keeps W while nothing is logged", large_has_w, v, 8)
    return stage.finish()


BITS_FIRST = Mutant("sets the dirty bits before the large sptes are split (L1, I-23)", design="pages=bits-first", property="nothing lost")
WITHOUT_RMAP = Mutant("small sptes without rmap entries (I-22)", {fill_table: fill_without_rmap}, property="nothing lost")
register(
    Entry(
        "megapages/split",
        "large sptes are split for the log under a storing vCPU and a harvest: nothing is lost, and nothing forbidden meanwhile (L1, L2)",
        split,
        {
            "bits-first": BITS_FIRST,
            "link-first": Mutant(
                "links the table before it is filled (I-22)",
                {split_large: split_linking_first},
                property="the guest's view stays whole",
            ),
            "no-rmap": WITHOUT_RMAP,
            "loses-w": Mutant(
                "the small sptes lose W and MMU_W (I-22)", {fill_table: fill_losing_w}, property="the guest's view stays whole"
            ),
            "trusting-walk": Mutant(
                "the hardware walk sets D in a large spte that is a table by now (W2)", {hardware_walk: walk_trusting_the_place}
            ),
        },
    )
)
register(
    Entry(
        "megapages/split-late",
        "a large spte that is split by a fault, for want of memory before, gives no page W that the log does not see (I-23)",
        split_late,
        {
            "gives-w": Mutant("the small sptes get W", {fill_table: fill_giving_w}, property="nothing lost"),
            "widens": Mutant("a fault gives the large spte its W back (I-23)", {settle_large: settle_widening}, property="nothing lost"),
            "no-rmap": WITHOUT_RMAP,
        },
    )
)
register(
    Entry(
        "megapages/no-memory",
        "where there is no table to split into, a store waits for one and is logged",
        no_memory,
        {"keeps-w": Mutant("what cannot be split keeps W (L1)", {split_one: split_or_leave}, property="nothing lost")},
    )
)
register(
    Entry(
        "megapages/map-logged",
        "no large spte is made while the log is on (L1)",
        map_logged,
        {"large": Mutant("maps large all the same", {may_be_large: may_be_large_always}, property="nothing lost")},
    )
)
register(
    Entry(
        "megapages/track",
        "no store to a guest table goes through a large spte unseen (M1)",
        track,
        {
            "keeps-large": Mutant("the large spte stays", {zap_region: zap_no_region}, property="expectation"),
            "maps-large": Mutant("the next fault maps large again", {may_be_large: may_be_large_always}, property="expectation"),
        },
    )
)
register(
    Entry(
        "megapages/collapse",
        "tables collapsed under a harvest and a storing vCPU: nothing is lost once the log is on again",
        collapse,
        {"bits-first": BITS_FIRST},
    )
)
register(
    Entry(
        "megapages/reuse",
        "the 4 KiB protector, in a collapsed table that was used again, never takes W from a large spte (C11)",
        reuse,
        {
            "none": Mutant(
                "no guard: any present spte is protected",
                design="guard=none,encoding=levels",
                property="a large spte keeps W while nothing is logged",
            )
        },
    )
)
