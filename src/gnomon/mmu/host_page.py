"""host page: from a page of the guest to the frame behind it, while the host may be changing that.

Counterpart in Linux: kvm_faultin_pfn, mmu_invalidate_retry_gfn and is_page_fault_stale: slot.backing is here what the host's page
tables are there, backing_fault() is get_user_pages, and invalidate.py is the MMU notifier.

    bare regime    the page is known before mmu_lock: it is looked up, and got and cleared if it has no frame, outside the lock, and what
                   was found counts only if no invalidation ended since the look-up began and none of the page is in progress (I-13)
    Sv39           the guest's tables, read under mmu_lock, say which page it is: looked up under the lock, so "none in progress" is enough
    the host       firmware and devices: under mmu_lock as well, by host_lock()

Guarantees I1  no spte is installed for a frame whose invalidation began after the frame was looked up (I-13)
           I2  no store of the host, and none to a guest page table, goes to a frame that is being replaced
Context    host_lookup before mmu_lock; host_lock takes it; host_wait and host_forget without it; the rest under it
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.mmu.slot import backing_fault
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_pause, spin_unlock

HOST_RETRY = -1


@kernel
def host_lookup(m, vm, v, t, index):
    """Look the frame of page `index` up for a fault, before mmu_lock. Returns its pfn, 0 when the pool is exhausted."""
    # the sequence first, and acquire: forbids "sequence as it was after an invalidation, frame as it was before" (frames_changed)
    write_once(m, v + VCPU.fault_seq, load_acquire(m, vm + VM.invalidate_seq))
    pfn = backing_fault(m, vm, t, index)
    write_once(m, v + VCPU.fault_pfn, pfn)
    return pfn


@kernel
def host_forget(m, v):
    """The fault is over, and what was looked up for it."""
    return write_once(m, v + VCPU.fault_pfn, 0)


@kernel
def is_invalidating(m, vm, index):
    """1 while the host is changing the frame of page `index`. Under mmu_lock, so it stays so until that is released."""
    if read_once(m, vm + VM.invalidating) == 0 or index < read_once(m, vm + VM.invalidate_first):
        return 0
    return int(index < read_once(m, vm + VM.invalidate_end))


@kernel
def is_fault_stale(m, vm, v, index):
    """1 if what host_lookup() found for page `index` may not be mapped any more. Under mmu_lock."""
    if is_invalidating(m, vm, index):
        return 1
    return int(read_once(m, v + VCPU.fault_pfn) != 0 and read_once(m, v + VCPU.fault_seq) != read_once(m, vm + VM.invalidate_seq))


@kernel
def frames_changed(m, vm):
    """The frames of some pages are others by now: faults that looked theirs up before try again. Under mmu_lock."""
    # release, pairs with the acquire of host_lookup(): who sees the new sequence looks up the new frame
    return store_release(m, vm + VM.invalidate_seq, read_once(m, vm + VM.invalidate_seq) + 1)


@kernel
def host_wait(m, vm):
    """Wait outside mmu_lock until no invalidation is in progress: a fault that only tried again could keep the lock from who ends it."""
    turn = 0
    while read_once(m, vm + VM.invalidating):
        turn = spin_pause(turn)
    return 0


@kernel
def host_pfn(m, vm, v, t, index):
    """The frame of page `index` for this fault, under mmu_lock. Returns 0 when the pool is exhausted, HOST_RETRY if it is changing."""
    if is_fault_stale(m, vm, v, index):
        return HOST_RETRY
    pfn = read_once(m, v + VCPU.fault_pfn)
    if pfn:
        return pfn
    return backing_fault(m, vm, t, index)


@kernel
def host_lock(m, vm, index):
    """Take mmu_lock at a moment when nobody is changing the frame of page `index`. Outside guest mode."""
    spin_lock(m, vm + VM.mmu_lock)
    while is_invalidating(m, vm, index):
        spin_unlock(m, vm + VM.mmu_lock)
        host_wait(m, vm)
        spin_lock(m, vm + VM.mmu_lock)
    return 0
