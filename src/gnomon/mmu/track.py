"""track: stores to a guest page that is shadowed as a page table. Counterpart in Linux: kvm_mmu_track_write.

The page's sptes lack W and MMU_W, so every store to it comes here; it is done under mmu_lock and then the sptes made from the
overwritten entries are zapped. The architecture lets other harts keep what they cached until their own SFENCE.VMA, so the flush
is left to that (Z3).

Guarantees K1  no spte made from an entry outlives a store to it (until SFENCE.VMA: no translation either)
           K2  after FLOOD_LIMIT stores with no fault through it, a shadow page is zapped: the guest uses the memory as data now
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.mmu.host_page import host_wait, is_invalidating
from gnomon.mmu.region import sharer_after
from gnomon.mmu.shadow_page import ROLE_DIRECT, SP, hash_head
from gnomon.mmu.slot import backing, index_of_frame, mark_dirty, slot_index
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import commit_zap, prepare_zap, zap_spte
from gnomon.sync.spinlock import spin_lock, spin_unlock

FLOOD_LIMIT = 32
PTE_SHIFT = 3


@kernel
def tracked_begin(m, v):
    """Leave guest mode and take mmu_lock for a store to VCPU.fault_gpa. Returns the byte offset of its target in the arena.

    Returns -1, in guest mode and without the lock, if the host is changing the page's frame, has taken or shared it: try again."""
    guest_exit(m, v)
    vm = read_once(m, v + VCPU.vm)
    gpa = read_once(m, v + VCPU.fault_gpa)
    index = slot_index(m, vm, gpa)
    spin_lock(m, vm + VM.mmu_lock)
    pfn = backing(m, vm, index)
    if pfn == 0 or is_invalidating(m, vm, index) or sharer_after(m, vm, index):
        spin_unlock(m, vm + VM.mmu_lock)
        host_wait(m, vm)
        guest_enter(m, v)
        return -1
    write_once(m, v + VCPU.tracked_writes, read_once(m, v + VCPU.tracked_writes) + 1)
    return (pfn << 12) + (gpa & 4095)


@kernel
def tracked_end(m, v, at, size):
    """The store of `size` bytes at byte offset `at` is done: zap what was made from the old bytes, unlock, re-enter guest mode."""
    vm = read_once(m, v + VCPU.vm)
    index = index_of_frame(m, at >> 12)
    mark_dirty(m, vm, v, index)
    zap_entries(m, vm, read_once(m, v + VCPU.thread), index, at & 4095, size)
    spin_unlock(m, vm + VM.mmu_lock)
    return guest_enter(m, v)


@kernel
def zap_entries(m, vm, t, index, offset, size):
    """Zap the sptes made from bytes offset … offset + size - 1 of guest table page `index`, in every shadow page of it."""
    gfn = index + read_once(m, vm + VM.base_gfn)
    first = offset >> PTE_SHIFT
    last = (offset + size - 1) >> PTE_SHIFT
    zapped = 0
    sp = read_once(m, hash_head(m, vm, gfn))
    while sp:
        following = read_once(m, sp + SP.hash_next)
        if read_once(m, sp + SP.gfn) == gfn and read_once(m, sp + SP.role) & ROLE_DIRECT == 0:
            writes = read_once(m, sp + SP.writes) + 1
            write_once(m, sp + SP.writes, writes)
            if writes > FLOOD_LIMIT:
                fetch_add(m, vm + VM.flooded, 1)
                zapped = prepare_zap(m, vm, t, sp, zapped)
            else:
                table = read_once(m, sp + SP.table)
                for entry in range(first, last + 1):
                    if read_once(m, table + entry):
                        zap_spte(m, vm, t, table + entry)
        sp = following
    commit_zap(m, vm, t, zapped)
    return 0


@kernel
def zap_guest_table(m, vm, t, index):
    """The host replaced the whole of page `index` behind the guest's back: forget every shadow of it. Under mmu_lock."""
    if read_once(m, read_once(m, vm + VM.tracked) + index) == 0:
        return 0
    gfn = index + read_once(m, vm + VM.base_gfn)
    zapped = 0
    sp = read_once(m, hash_head(m, vm, gfn))
    while sp:
        following = read_once(m, sp + SP.hash_next)
        if read_once(m, sp + SP.gfn) == gfn and read_once(m, sp + SP.role) & ROLE_DIRECT == 0:
            zapped = prepare_zap(m, vm, t, sp, zapped)
        sp = following
    return commit_zap(m, vm, t, zapped)
