"""ring: a vCPU's dirty ring, its producer's side. Counterpart in Linux: kvm_dirty_ring_push() in virt/kvm/dirty_ring.c.

    entry    word 0: flags; word 1: page index. One slot a machine, so no slot number
    flags    0 ──push, its vCPU──▶ DIRTY ──collect, the reader──▶ COLLECTED ──reset (dirty_ring.py)──▶ 0

Owns       VCPU.ring_dirty, and an entry whose flags are 0
Guarantees Q1  the page is in the entry before DIRTY is (I-21), and the spte that became writable is in its rmap before that (I-7): who
               resets the entry finds the spte
           Q2  an entry is filled only after its reset: when none is free the push says so, and the page goes into the bitmap
           Q3  RING_RESERVED entries before the end the vCPU is asked to leave the guest and wait (KVM_EXIT_DIRTY_RING_FULL)
Context    the vCPU's own thread, outside guest mode: one producer
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_or, load_acquire, read_once, store_release, write_once
from gnomon.mmu.vcpu import REQ_RING, VCPU
from gnomon.mmu.vm_words import VM

RING_RESERVED = 64
"""KVM_DIRTY_RING_RSVD_ENTRIES: an instruction can dirty a few pages before its vCPU leaves."""
RING_ENTRY_WORDS = 2
RING_DIRTY = 1
RING_COLLECTED = 2


@kernel
def ring_entry(m, v, size, number):
    """Word of entry `number`, counted for ever, of a ring of `size` entries, a power of two."""
    return read_once(m, v + VCPU.ring) + (number & (size - 1)) * RING_ENTRY_WORDS


@kernel
def ring_room(m, v, size):
    """Entries that are free."""
    return size - (read_once(m, v + VCPU.ring_dirty) - load_acquire(m, v + VCPU.ring_reset))


@kernel
def ring_push(m, v, size, index):
    """Put page `index` into the ring. Returns 0 if there was no room."""
    room = ring_room(m, v, size)  # acquire, pairs with the release of ring_reset(): forbids filling an entry that is still read
    if room <= RING_RESERVED:
        fetch_or(m, v + VCPU.requests, REQ_RING)
    if room <= 0:
        return 0
    number = read_once(m, v + VCPU.ring_dirty)
    at = ring_entry(m, v, size, number)
    write_once(m, at + 1, index)
    store_release(m, at, RING_DIRTY)  # pairs with the acquire of ring_collect(): forbids an entry without its page, a page without its spte
    write_once(m, v + VCPU.ring_dirty, number + 1)
    return 1


@kernel
def ring_is_full(m, v):
    """1 while the vCPU should wait for its ring to be reset."""
    vm = read_once(m, v + VCPU.vm)
    size = read_once(m, vm + VM.ring_size)
    return int(size != 0 and read_once(m, vm + VM.logging) != 0 and ring_room(m, v, size) <= RING_RESERVED)
