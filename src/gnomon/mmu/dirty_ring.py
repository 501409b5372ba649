"""dirty ring: take the pages in the vCPUs' rings, their reader's side, and those that went to the bitmap beside them.

Counterpart in Linux: what user space does with the mapped rings, and KVM_RESET_DIRTY_RINGS (kvm_dirty_ring_reset), with the bitmap of
KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP for pages that no vCPU dirtied and for rings that overflow.

    collect    every entry that is DIRTY: its page into the snapshot, flags = COLLECTED
    reset      every entry that is COLLECTED: flags = 0, its page write-protected, runs of pages in one 64-page word at once
    flush, and only then may the pages be copied: a store after the copy faults and is in an entry again

Owns       VCPU.ring_fetch, VCPU.ring_reset, entries whose flags are not 0; VM.snapshot, as VM.harvester
Guarantees Q4  on return no store to a taken page can retire without faulting (H1 of dirty.py); a page taken is in the snapshot (H2)
Context    no lock held; vCPUs push throughout
Progress   wait-free in the rings: at most their size of entries is looked at
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, load_acquire, read_once, store_release, write_once
from gnomon.mmu.bitmap import add_taken, empty_snapshot
from gnomon.mmu.dirty import BUSY, end_harvest, harvest_lock, harvest_unlock, protect_dirty, protect_word
from gnomon.mmu.ring import RING_COLLECTED, RING_DIRTY, ring_entry
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM


@kernel
def ring_collect(m, vm, v, size):
    """Move the pages of the ring's DIRTY entries to the snapshot. Returns how many."""
    first = read_once(m, v + VCPU.ring_fetch)
    number = first
    while number - first < size:
        at = ring_entry(m, v, size, number)
        if load_acquire(m, at) != RING_DIRTY:  # pairs with the release of ring_push()
            break
        index = read_once(m, at + 1)
        add_taken(m, vm, index >> 6, 1 << (index & 63))
        store_release(m, at, RING_COLLECTED)  # pairs with the acquire of ring_reset()
        number += 1
    write_once(m, v + VCPU.ring_fetch, number)
    return number - first


@kernel
def reset_word(m, t, vm, w, bits):
    """Write-protect the pages `bits` of word `w` again."""
    if bits:
        fetch_add(m, vm + VM.protected, protect_word(m, t, vm, w, bits))
    return 0


@kernel
def ring_reset(m, t, vm, v, size):
    """Free the ring's COLLECTED entries and write-protect their pages; the flush is the caller's. Returns how many."""
    first = read_once(m, v + VCPU.ring_reset)
    number = first
    w = 0
    bits = 0
    while number - first < size:
        at = ring_entry(m, v, size, number)
        if load_acquire(m, at) != RING_COLLECTED:
            break
        index = read_once(m, at + 1)
        write_once(m, at, 0)
        number += 1
        store_release(m, v + VCPU.ring_reset, number)  # pairs with the acquire of ring_room(): forbids a push into an entry not yet read
        if index >> 6 != w:
            reset_word(m, t, vm, w, bits)
            w = index >> 6
            bits = 0
        bits |= 1 << (index & 63)
    reset_word(m, t, vm, w, bits)
    return number - first


@kernel
def collect_all(m, vm, size):
    """Collect the rings of every vCPU. Returns entries."""
    count = 0
    for i in range(read_once(m, vm + VM.harts)):
        count += ring_collect(m, vm, read_once(m, vm + VM.vcpus + i), size)
    return count


@kernel
def reset_all(m, t, vm, size):
    """Reset the rings of every vCPU. Returns entries."""
    count = 0
    for i in range(read_once(m, vm + VM.harts)):
        count += ring_reset(m, t, vm, read_once(m, vm + VM.vcpus + i), size)
    return count


@kernel(entry=True)
def harvest_rings(m, t, vm):
    """As harvest(), where the vCPUs have rings. Returns entries and bits taken, or BUSY while another harvest is not committed."""
    if cmpxchg(m, vm + VM.harvester, 0, 1) != 0:
        return BUSY
    size = read_once(m, vm + VM.ring_size)
    spilled = load_acquire(m, vm + VM.ring_spilled)  # pairs with the add of mark_dirty(): what is counted has its bit set
    count = collect_all(m, vm, size)
    harvest_lock(m, vm)
    reset_all(m, t, vm, size)
    if spilled != read_once(m, vm + VM.ring_seen):
        count += protect_dirty(m, t, vm)
        write_once(m, vm + VM.ring_seen, spilled)
    harvest_unlock(m, vm)
    return end_harvest(m, vm, count)


@kernel(entry=True)
def rings_on(m, t, vm, size):
    """Let the vCPUs push into their rings of `size` entries from the next enable_dirty_log() on. What was left in them is dropped.

    The counters of a ring go on: a vCPU that was about to push when the log was last switched off may do so at any time."""
    write_once(m, vm + VM.ring_size, size)
    collect_all(m, vm, size)
    reset_all(m, t, vm, size)
    empty_snapshot(m, vm, 0)
    return fetch_add(m, vm + VM.ring_spilled, 1)  # the first harvest looks at the bitmap


@kernel(entry=True)
def rings_off(m, vm):
    """Pages go to the bitmap alone. After disable_dirty_log()."""
    return write_once(m, vm + VM.ring_size, 0)
