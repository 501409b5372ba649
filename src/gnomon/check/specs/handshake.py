"""Specification of the request handshake: guest-mode spans of a vCPU and flushes of its TLB exclude each other.

Owns       VCPU.mode   a gate: 0 outside, 1 in guest mode, 2 while its TLB is being flushed
Says       request_all() waits until the vCPU is outside, and leaves it with an empty TLB (and no roots, if asked); every span is before
           or after. The shipped layer is lazier (the TLB is emptied at the next entry), and nobody can tell: nobody looks in between
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, read_once, store_release, write_once
from gnomon.mmu.tlb import tlb_flush_all
from gnomon.mmu.vcpu import REQ_ROOTS, ROOT_SLOTS, VCPU, guest_enter, guest_exit, request_all
from gnomon.mmu.vm_words import VM


@kernel
def gate_take(m, v, how):
    """Wait until the vCPU is outside and nobody flushes it, and close its gate."""
    while cmpxchg(m, v + VCPU.mode, 0, how) != 0:
        pass
    return 0


@kernel
def gate_give(m, v):
    """Open the gate."""
    return store_release(m, v + VCPU.mode, 0)


@kernel
def span_begin(m, v):
    """For guest_enter()."""
    return gate_take(m, v, 1)


@kernel
def span_end(m, v):
    """For guest_exit()."""
    return gate_give(m, v)


@kernel
def flush_all_vcpus(m, vm, bits):
    """For request_all()."""
    for i in range(read_once(m, vm + VM.harts)):
        v = read_once(m, vm + VM.vcpus + i)
        gate_take(m, v, 2)
        tlb_flush_all(m, v)
        if bits & REQ_ROOTS:
            for slot in range(ROOT_SLOTS):
                write_once(m, v + VCPU.root + slot, 0)
        gate_give(m, v)
    return 0


SPECIFIED_HANDSHAKE = {guest_enter: span_begin, guest_exit: span_end, request_all: flush_all_vcpus}
GATES = ((gate_take, gate_give),)
