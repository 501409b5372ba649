"""translate: what the hart calls when its TLB misses. Walk as hardware would; if that faults, leave guest mode and fix it.

Counterpart in Linux: kvm_mmu_page_fault. Statuses are in XL_*; RAM pages come back as XL_OK with the TLB filled.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.mmu.fast_fault import FAST_FIXED, FAST_NOT, fast_page_fault
from gnomon.mmu.guest_walk import (
    GUEST_ACCESS_FAULT,
    GUEST_MMIO,
    GUEST_NO_MEMORY,
    GUEST_OK,
    GUEST_PAGE_FAULT,
    GUEST_RETRY,
    GUEST_TRACKED,
    guest_fault,
)
from gnomon.mmu.host_page import host_forget, host_lookup, host_wait
from gnomon.mmu.rmap import rmap_top_up
from gnomon.mmu.slot import slot_index
from gnomon.mmu.slow_fault import direct_fault
from gnomon.mmu.throttle import must_stall, throttle
from gnomon.mmu.tlb import TLB_EXEC
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import hardware_walk, is_canonical, regime_slot
from gnomon.mmu.zap import make_pages_available
from gnomon.sync.spinlock import spin_lock, spin_unlock

XL_OK = 0
XL_MMIO = 1
XL_PAGE_FAULT = 2
XL_ACCESS_FAULT = 3
XL_TRACKED = 4
XL_NOMEM = 5
TRANSLATE_TRIES = 64
"""Faults fixed in vain before the hart is let go to look at its requests."""


@kernel
def bump(m, at):
    """Count in a word that only this thread writes."""
    return write_once(m, at, read_once(m, at) + 1)


@kernel
def slow_page_fault(m, v, va, access, regime):
    """Fill the shadow tables for `va` under mmu_lock. Outside guest mode. Returns GUEST_*."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    bump(m, v + VCPU.slow_faults)
    result = GUEST_NO_MEMORY
    found = 1
    if regime_slot(regime) == 0:  # else the guest's tables, read under mmu_lock, say which page it is
        found = host_lookup(m, vm, v, t, slot_index(m, vm, va))
    if found and rmap_top_up(m, v, t) == 0:
        throttle(m, vm, t)
        spin_lock(m, vm + VM.mmu_lock)
        make_pages_available(m, vm, t)
        while must_stall(m, vm):  # what was just recycled is charged until its memory is free
            spin_unlock(m, vm + VM.mmu_lock)
            throttle(m, vm, t)
            spin_lock(m, vm + VM.mmu_lock)
            make_pages_available(m, vm, t)
        if regime_slot(regime):
            result = guest_fault(m, vm, v, va, access, regime)
        else:
            result = direct_fault(m, vm, v, t, va, access)
        spin_unlock(m, vm + VM.mmu_lock)
    host_forget(m, v)
    if result == GUEST_NO_MEMORY:
        fetch_add(m, vm + VM.failed_allocations, 1)
        bump(m, v + VCPU.out_of_memory)
    elif result == GUEST_RETRY:
        host_wait(m, vm)
    return result


@kernel
def page_fault(m, v, va, access, regime):
    """The hardware walk faulted: fix it, or say why not. Outside guest mode. Returns GUEST_*."""
    if regime_slot(regime) == 0:
        write_once(m, v + VCPU.fault_gpa, va)
        if slot_index(m, read_once(m, v + VCPU.vm), va) < 0:
            return GUEST_MMIO
    elif is_canonical(va) == 0:
        return GUEST_PAGE_FAULT
    fast = fast_page_fault(m, v, va, access, regime)
    if fast == FAST_NOT:
        return slow_page_fault(m, v, va, access, regime)
    if fast == FAST_FIXED:
        bump(m, v + VCPU.fast_faults)
    else:
        bump(m, v + VCPU.spurious_faults)
    return GUEST_OK


@kernel
def mmu_translate(m, v, va, access):
    """Make the TLB hit for `access` to `va`, or say why it cannot. In guest mode on call and on return; may leave it in between.

    Returns XL_OK; XL_MMIO (VCPU.fault_gpa is no RAM); XL_PAGE_FAULT or XL_ACCESS_FAULT (the guest's own); XL_TRACKED (a store to a
    guest table: tracked_begin); XL_NOMEM (the pool is exhausted: nothing has changed, try again later)."""
    regime = read_once(m, v + VCPU.data_regime)
    if access == TLB_EXEC:
        regime = read_once(m, v + VCPU.fetch_regime)
    for _ in range(TRANSLATE_TRIES):
        if hardware_walk(m, v, va, access, regime) == 0:
            return XL_OK
        guest_exit(m, v)
        bump(m, v + VCPU.exits)
        result = page_fault(m, v, va, access, regime)
        guest_enter(m, v)
        if result == GUEST_MMIO:
            bump(m, v + VCPU.mmio)
            return XL_MMIO
        if result == GUEST_PAGE_FAULT:
            bump(m, v + VCPU.guest_faults)
            return XL_PAGE_FAULT
        if result == GUEST_ACCESS_FAULT:
            return XL_ACCESS_FAULT
        if result == GUEST_TRACKED:
            return XL_TRACKED
        if result == GUEST_NO_MEMORY:
            return XL_NOMEM
    return XL_OK  # others undo it faster than we do it: let the hart look at its requests, and call again
