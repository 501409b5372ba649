"""fence: SFENCE.VMA, of this hart and of others. Counterpart in Linux: kvm_mmu_sync_roots, kvm_mmu_invlpg.

What the guest wrote to tracked tables is in the sptes at once (K1); what it wrote to unsync tables gets there now, and the TLB forgets.

Guarantees U5  after the fence every translation of this hart follows from what the guest's tables held when the fence began, or later:
               the roots in use are synced, the other cached ones are dropped and synced when they are loaded again
           U6  a table that is linked while it is unsync is synced first: a root with no marks needs no look below
Context    mmu_sfence: guest mode on call and return, which it may leave in between
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, rmb, write_once
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, child_page, make_role, sp_find
from gnomon.mmu.sync_page import sync_entry, sync_for_use
from gnomon.mmu.tlb import TLB_READ, tlb_flush_all, tlb_flush_page
from gnomon.mmu.vcpu import REQ_FLUSH, REQ_ROOTS, ROOT_SLOTS, VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import leaf_of, regime_slot
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def mmu_sfence(m, v, va, by_address):
    """SFENCE.VMA on this hart, whole or by address.

    By address the TLB drops one page, unless a superpage mapping was zapped since: that may sit in many entries."""
    vm = read_once(m, v + VCPU.vm)
    rmb()  # pairs with the wmb of try_to_unsync: the load of W, ours or that of a hart whose store we have seen, came before (I-14)
    if read_once(m, vm + VM.unsync_pages) and is_unsync(m, v, va, by_address):
        guest_exit(m, v)
        spin_lock(m, vm + VM.mmu_lock)
        if by_address:
            sync_address(m, vm, v, va)
        else:
            sync_roots(m, vm, v)
        spin_unlock(m, vm + VM.mmu_lock)
        guest_enter(m, v)
    big_zaps = load_acquire(m, vm + VM.big_zaps)
    if by_address and big_zaps == read_once(m, v + VCPU.seen_big_zaps):
        return tlb_flush_page(m, v, va)
    write_once(m, v + VCPU.seen_big_zaps, big_zaps)
    return tlb_flush_all(m, v)


@kernel
def is_unsync(m, v, va, by_address):
    """1 if a cached root of this hart has an unsync table below, or maps `va` through one. In guest mode, with no lock."""
    for slot in range(1, ROOT_SLOTS):
        root = read_once(m, v + VCPU.root + slot)
        if root:
            if by_address:
                at = leaf_of(m, root, va, TLB_READ)
                if at and load_acquire(m, child_page(m, at) + SP.unsync):
                    return 1
            elif load_acquire(m, child_page(m, root) + SP.unsync_children):
                return 1
    return 0


@kernel
def sync_roots(m, vm, v):
    """Sync the roots in use of this hart, drop the other cached ones that have unsync tables. Under mmu_lock, outside guest mode."""
    t = read_once(m, v + VCPU.thread)
    data = regime_slot(read_once(m, v + VCPU.data_regime))
    fetch = regime_slot(read_once(m, v + VCPU.fetch_regime))
    for slot in range(1, ROOT_SLOTS):
        sp = cached_root(m, vm, v, slot)
        if sp:
            if slot == data or slot == fetch:
                sync_for_use(m, vm, t, sp)
            elif read_once(m, sp + SP.unsync_children):
                write_once(m, v + VCPU.root + slot, 0)
    return 0


@kernel
def sync_address(m, vm, v, va):
    """Sync the spte of `va` below every cached root of this hart; its table stays unsync. Under mmu_lock, outside guest mode."""
    t = read_once(m, v + VCPU.thread)
    for slot in range(1, ROOT_SLOTS):
        sp = cached_root(m, vm, v, slot)
        if sp:
            at = leaf_of(m, read_once(m, sp + SP.table), va, TLB_READ)
            if at:
                page = child_page(m, at)
                if read_once(m, page + SP.unsync):
                    sync_entry(m, vm, t, page, at - read_once(m, page + SP.table))
    return 0


@kernel
def cached_root(m, vm, v, slot):
    """Shadow page of the cached root `slot`; 0 if none is loaded, or it was zapped: then REQ_ROOTS is pending and loads it anew."""
    if read_once(m, v + VCPU.root + slot) == 0:
        return 0
    return sp_find(m, vm, read_once(m, v + VCPU.root_satp + slot), make_role(ROOT_LEVEL, 0, 0))


@kernel
def fence_requests(m, vm):
    """The requests that make a vCPU do what SFENCE.VMA does: roots are loaded anew, and so synced, if any table is unsync."""
    if read_once(m, vm + VM.unsync_pages):
        return REQ_FLUSH | REQ_ROOTS
    return REQ_FLUSH
