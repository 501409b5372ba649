"""host access: loads and stores of RAM by firmware and devices, which have no translation of their own.

Counterpart in Linux: kvm_read_guest, kvm_write_guest. Under mmu_lock, so neither a frame that is being replaced (I2 of host_page.py)
nor a guest table that is being read is ever written.

Context    outside guest mode, no lock held
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.lang.guest_memory import load8, load64
from gnomon.mmu.host_page import host_lock
from gnomon.mmu.share import own_page
from gnomon.mmu.slot import backing, mark_dirty, slot_index
from gnomon.mmu.track import zap_entries
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_unlock


@kernel
def host_load(m, vm, gpa, size):
    """`size` bytes, 1 or an aligned 8, at RAM address `gpa`, zero-extended. What was never touched or is no RAM reads as zero."""
    index = slot_index(m, vm, gpa)
    if index < 0:
        return 0
    host_lock(m, vm, index)
    pfn = backing(m, vm, index)
    at = (pfn << 12) + (gpa & 4095)
    value = 0
    if pfn and size == 8:
        value = load64(m, at)
    elif pfn:
        value = load8(m, at)
    spin_unlock(m, vm + VM.mmu_lock)
    return value


@kernel
def host_store_begin(m, vm, t, gpa):
    """Take mmu_lock for a store to RAM at `gpa`. Returns the byte offset of its target in the arena.

    Returns -1, and has not taken the lock, if that is no RAM or the pool is exhausted."""
    index = slot_index(m, vm, gpa)
    if index < 0:
        return -1
    host_lock(m, vm, index)
    pfn = own_page(m, vm, t, index)
    if pfn == 0:
        spin_unlock(m, vm + VM.mmu_lock)
        return -1
    return (pfn << 12) + (gpa & 4095)


@kernel
def host_store_end(m, vm, t, gpa, size):
    """The store of `size` bytes at `gpa`, in one page, is done: log it, zap what was made from the old bytes, unlock."""
    index = slot_index(m, vm, gpa)
    if read_once(m, read_once(m, vm + VM.tracked) + index):
        zap_entries(m, vm, t, index, gpa & 4095, size)
    mark_dirty(m, vm, 0, index)
    return spin_unlock(m, vm + VM.mmu_lock)
