"""remote: what one hart asks of a set of others through SBI: interrupts, and forgetting translations.

A fence.i asked of others needs no work on their side: every hart reads the bits of an instruction anew for each execution.

Context    the calling hart's own thread, outside guest mode (two harts that fence each other both count as outside)
Guarantees O1  when remote_flush returns, no named hart is in a span of guest mode that began before it (V2): none uses an older translation
"""

from __future__ import annotations

from gnomon.hart.hsm import SBI_ERR_INVALID_PARAM, SBI_SUCCESS
from gnomon.hart.interrupt import SSIP, raise_interrupt
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import shr, ult
from gnomon.lang.atomics import mb, read_once
from gnomon.lang.guest_memory import load64
from gnomon.mmu.fence import fence_requests
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit, make_request, wait_for_exit
from gnomon.mmu.vm_words import VM

ALL_HARTS = -1


@kernel
def names_hart(mask, base, hart):
    """1 if the pair (mask, base) of an SBI call names `hart`; base ALL_HARTS names every one."""
    if base == ALL_HARTS:
        return 1
    return shr(mask, hart - base) & 1 if hart >= base and hart - base < 64 else 0


@kernel
def mask_fault(m, v, mask, base):
    """SBI_ERR_INVALID_PARAM if the pair names a hart that does not exist, else SBI_SUCCESS."""
    harts = read_once(m, read_once(m, v + VCPU.vm) + VM.harts)
    if base == ALL_HARTS or mask == 0:
        return SBI_SUCCESS
    if ult(base, harts) == 0:
        return SBI_ERR_INVALID_PARAM
    return SBI_ERR_INVALID_PARAM if harts - base < 64 and shr(mask, harts - base) else SBI_SUCCESS


@kernel
def remote_interrupt(m, v, mask, base):
    """Raise SSIP of the named harts."""
    vm = read_once(m, v + VCPU.vm)
    for hart in range(read_once(m, vm + VM.harts)):
        if names_hart(mask, base, hart):
            raise_interrupt(m, read_once(m, vm + VM.vcpus + hart), SSIP)
    return SBI_SUCCESS


@kernel
def remote_flush(m, v, mask, base):
    """Make the named harts forget their translations and wait until they have (O1)."""
    vm = read_once(m, v + VCPU.vm)
    harts = read_once(m, vm + VM.harts)
    mb()  # the caller's stores to its page tables, and those it has seen, come first
    bits = fence_requests(m, vm)
    for hart in range(harts):
        if names_hart(mask, base, hart):
            make_request(m, read_once(m, vm + VM.vcpus + hart), bits)
    for hart in range(harts):
        if names_hart(mask, base, hart):
            wait_for_exit(m, read_once(m, vm + VM.vcpus + hart), bits)
    return SBI_SUCCESS


@kernel
def legacy_mask(m, v, va):
    """The hart mask that a legacy call points to; all harts if there is none.

    Only the TLB is asked: the guest has just written the mask. If it is not there any more all harts are asked, which is harmless."""
    if va == 0 or va & 7:
        return -1
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        at = tlb_host(m, v, va, TLB_READ, regime)
    mask = load64(m, at) if at >= 0 else -1
    guest_exit(m, v)
    return mask


@kernel
def hart_named(m, v, hart):
    """The vCPU with hart id `hart`, 0 if there is none."""
    vm = read_once(m, v + VCPU.vm)
    return read_once(m, vm + VM.vcpus + hart) if ult(hart, read_once(m, vm + VM.harts)) else 0


@kernel
def argument(m, v, n):
    """Argument register a<n>."""
    return read_once(m, v + HART.x + 10 + n)
