"""Guest page tables that are stored to while they begin to be shadowed: I-3, I-15."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store, page_word
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.mmu.guest_walk import track_page
from gnomon.mmu.host_access import host_store_begin, host_store_end
from gnomon.mmu.rmap import PROTECT_TABLE, spte_protect
from gnomon.mmu.slot import backing, mark_dirty, slot_index
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end, zap_entries
from gnomon.mmu.translate import XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, flush_remote_tlbs, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock

SHADOW_AT = DATA_AT + 64
"""What a shadow of page 0, taken as a guest table, is made from."""


@kernel
def table_store(m, v, gpa, value):
    """A store of the guest to a page that may be tracked by now."""
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    while True:
        host = tlb_host(m, v, gpa, TLB_WRITE, regime)
        if host >= 0:
            store64(m, host, value)
            break
        if mmu_translate(m, v, gpa, TLB_WRITE) == XL_TRACKED:
            at = tracked_begin(m, v)
            store64(m, at, value)
            tracked_end(m, v, at, 8)
            break
    guest_exit(m, v)
    return 0


@kernel
def host_store(m, vm, t, value):
    """A device stores to page 0."""
    store64(m, host_store_begin(m, vm, t, 0), value)
    host_store_end(m, vm, t, 0, 8)
    return 0


@kernel
def shadow_table(m, v):
    """Begin to shadow page 0: track it, then read its entry, as guest_walk.py does."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    track_page(m, vm, read_once(m, v + VCPU.thread), 0)
    write_once(m, SHADOW_AT, page_word(m, vm, 0))
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def reread_entry(m, vm, t, index, offset, size):
    """In the place of zap_entries(): the shadow is made anew from what the entry is now."""
    return write_once(m, SHADOW_AT, page_word(m, vm, index))


@kernel
def shadow_is_true(m, vm):
    """1 if the shadow is made from what the guest's table holds."""
    return int(read_once(m, SHADOW_AT) == page_word(m, vm, 0))


@kernel
def begin_unlocked(m, vm, t, gpa):
    """Mutant of host_store_begin(): no mmu_lock."""
    return backing(m, vm, slot_index(m, vm, gpa)) << 12


@kernel
def end_unlocked(m, vm, t, gpa, size):
    """Mutant of host_store_end(): no mmu_lock, and no barrier between the store and the look at `tracked`."""
    index = slot_index(m, vm, gpa)
    if read_once(m, read_once(m, vm + VM.tracked) + index):
        spin_lock(m, vm + VM.mmu_lock)
        zap_entries(m, vm, t, index, gpa & 4095, size)
        spin_unlock(m, vm + VM.mmu_lock)
    return mark_dirty(m, vm, 0, index)


@kernel
def track_by_w(m, vm, t, index):
    """Mutant of track_page(): protects, and flushes only if an spte had W."""
    fetch_add(m, read_once(m, vm + VM.tracked) + index, 1)
    value = read_once(m, read_once(m, vm + VM.rmap) + index)
    had = 0
    if value:
        had = read_once(m, value >> 1) & WRITABLE
        spte_protect(m, vm, read_once(m, vm + VM.rmap) + index, value >> 1, PROTECT_TABLE, 0)
    if had:
        flush_remote_tlbs(m, vm)
    return 0


def guest_table(harvester: bool):
    def build(mutant: Mutant | None) -> Scenario:
        """vCPU 0 stores to a page that vCPU 1 begins to shadow as a page table."""
        stage = Stage(mutant, vcpus=2, replace={zap_entries: reread_entry})
        stage.touch(0, 0)
        stage.log()
        s = stage.scenario
        s.run(guest_store, stage.vcpus[0], 0, 1)
        s.thread("vcpu 0", call(table_store, stage.vcpus[0], 0, 2))
        s.thread("vcpu 1", call(shadow_table, stage.vcpus[1]))
        if harvester:
            s.thread("harvester", stage.round())
        s.label(SHADOW_AT, "shadow")
        s.at_end("the shadow is made from what the guest's table holds", shadow_is_true, stage.vm)
        return stage.finish()

    return build


def device(mutant: Mutant | None) -> Scenario:
    """A device stores to a page that vCPU 1 begins to shadow as a page table."""
    stage = Stage(mutant, vcpus=2, replace={zap_entries: reread_entry})
    stage.touch(0, 0)
    stage.log()
    s = stage.scenario
    s.thread("device", call(host_store, stage.vm, stage.slot, 2))
    s.thread("vcpu 1", call(shadow_table, stage.vcpus[1]))
    s.label(SHADOW_AT, "shadow")
    s.at_end("the shadow is made from what the guest's table holds", shadow_is_true, stage.vm)
    return stage.finish()


SHADOW = "the shadow is made from what the guest's table holds"
register(
    Entry(
        "mmu/track-table",
        "a store to a guest table that is being shadowed is seen by the shadow, or comes after it (I-15)",
        guest_table(False),
        {"untracked": Mutant("the table's page stays writable (I-15)", design="guest-tables=untracked", property=SHADOW)},
    )
)
register(
    Entry(
        "mmu/track-protected",
        "page-table protection flushes though the dirty log cleared W before it: a TLB may still have W (I-3)",
        guest_table(True),
        {"flush-if-w": Mutant("flushes only if the spte had W (I-3)", {track_page: track_by_w}, property=SHADOW)},
    )
)
register(
    Entry(
        "mmu/device-store",
        "a store by a device sees that the page is shadowed, or the shadow sees the store (I-15)",
        device,
        {
            "no-lock": Mutant(
                "neither mmu_lock nor a barrier between the store and the look (I-15)",
                {host_store_begin: begin_unlocked, host_store_end: end_unlocked},
                models=("tso",),
                property=SHADOW,
            )
        },
    )
)
