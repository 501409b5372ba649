"""Frames that go from page to page: a fast fault logs the right one (I-6), and a new one is seen when it is complete (I-16)."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.check.scenarios.reuse import zap_table
from gnomon.check.scenarios.zapping import LOST
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release
from gnomon.mem.pool import FRAME_GUEST, PAGE_WORDS_SHIFT, frame_owner, frame_set_word, frame_word
from gnomon.mmu.fast_fault import FAST_FIXED, FAST_NOT, FAST_SPURIOUS, fast_page_fault
from gnomon.mmu.invalidate import TAKE_ANY, change_frames
from gnomon.mmu.slot import INDEX_BITS, back_page, backing, mark_dirty, slot_index
from gnomon.mmu.slow_fault import direct_fault
from gnomon.mmu.spte import PRESENT, WRITABLE, is_fast_writable
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE
from gnomon.mmu.vcpu import REQ_ROOTS, VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import is_allowed, leaf_of, regime_slot
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def take_back(m, v, sp, index):
    """The recycler zaps the table `sp`, then the host takes the frame of page `index`."""
    vm = read_once(m, v + VCPU.vm)
    zap_table(m, v, sp)
    return change_frames(m, vm, read_once(m, v + VCPU.thread), index, index + 1, TAKE_ANY)


@kernel
def map_to_read(m, v, gpa):
    """A slow fault of page `gpa` for a load: mapped, and while dirty pages are logged without W."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    direct_fault(m, vm, v, read_once(m, v + VCPU.thread), gpa, TLB_READ)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def look_at_backing(m, vm):
    """Somebody without mmu_lock looks at page 0: its frame is a guest frame of that page and holds what the guest wrote, or zero."""
    pfn = backing(m, vm, 0)
    if pfn:
        expect(frame_word(m, pfn) == frame_owner(FRAME_GUEST, ((vm >> PAGE_WORDS_SHIFT) << INDEX_BITS) | 0))
        seen = read_once(m, pfn << PAGE_WORDS_SHIFT)
        expect(seen == 0 or seen == 1)
    return 0


@kernel
def publish_early(m, vm, index, pfn):
    """Mutant of back_page(): the backing word before the frame word."""
    store_release(m, read_once(m, vm + VM.backing) + index, pfn)
    frame_set_word(m, pfn, frame_owner(FRAME_GUEST, ((vm >> PAGE_WORDS_SHIFT) << INDEX_BITS) | index))
    return pfn


@kernel
def fault_by_address(m, v, va, access, regime):
    """Mutant of fast_page_fault(): the page that becomes dirty is the one that the guest asked for, not the one behind the spte."""
    if access != TLB_WRITE:
        return FAST_NOT
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    result = FAST_NOT
    rcu_read_lock(m, t)
    root = read_once(m, v + VCPU.root + regime_slot(regime))
    if root and load_acquire(m, v + VCPU.requests) & REQ_ROOTS == 0:
        at = leaf_of(m, root, va, access)
        if at:
            spte = load_acquire(m, at)
            if spte & PRESENT and is_allowed(spte, access, regime):
                result = FAST_SPURIOUS
            elif is_fast_writable(spte) and cmpxchg(m, at, spte, spte | WRITABLE) == spte:
                mark_dirty(m, vm, v, slot_index(m, vm, va))
                result = FAST_FIXED
    rcu_read_unlock(m, t)
    return result


def moved_frame(mutant: Mutant | None) -> Scenario:
    """The frame of page 0 becomes the frame of page 2, at the same place of the same table, under a fast fault of page 0."""
    stage = Stage(mutant, vcpus=2, pages=4)
    stage.touch(0, 0)
    stage.log()
    s, v = stage.scenario, stage.vcpus[1]
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread(
        "vcpu 1",
        call(take_back, v, stage.owner_of_table(0), 0),
        call(map_to_read, v, 2 << 12),
        call(guest_store, v, 2 << 12, 2),
    )
    return stage.finish()


def first_touch(mutant: Mutant | None) -> Scenario:
    """Page 0 gets its frame, which was another page's before, while somebody looks."""
    stage = Stage(mutant, vcpus=1, pages=4)
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 2, TLB_WRITE)
    s.run(guest_store, v, 2 << 12, 7)
    s.run(take_back, v, stage.owner_of_table(2), 2)
    stage.log()
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread("reader", call(look_at_backing, stage.vm))
    return stage.finish()


register(
    Entry(
        "mmu/moved-frame",
        "a fast fault logs the page behind the spte it changed, whichever that is by now (I-6)",
        moved_frame,
        {"by-address": Mutant("logs the page that the guest asked for (I-6)", {fast_page_fault: fault_by_address}, property=LOST)},
    )
)
register(
    Entry(
        "mmu/first-touch",
        "a page's frame is visible only when it is zero and says whose it is (I-16)",
        first_touch,
        {"early": Mutant("visible before it says whose it is (I-16)", {back_page: publish_early}, property="expectation")},
    )
)
