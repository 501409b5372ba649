"""fetch: the bits of the instruction at pc, when the loop cannot just read them: a new page, or an instruction across two.

Fetches have a small TLB of their own, filled from the exec tags of the vCPU's: that one is shared with loads and stores, so a page of
code and a page of data with the same index would throw each other out for ever.

Guarantees F1  what is returned was read through exec translations that were all valid in one span of guest mode
           F2  HART.fetch_page and HART.fetch_addend describe pc's page on return of bits
           F3  the fetch TLB is empty whenever anything may have been flushed: at the start of a run, after sfence.vma, when a root slot
               changed hands, and when VCPU.tlb_flushes moved (requests are served at guest entry, and chunks do not enter)
Context    guest mode, which it does not leave
"""

from __future__ import annotations

from gnomon.hart.exits import miss
from gnomon.hart.state import FETCH, HART, ITLB_ENTRIES, forget_fetches
from gnomon.lang import kernel
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import fetch32, load16
from gnomon.mmu.tlb import PAGE_MASK, TLB_EXEC, tlb_host
from gnomon.mmu.vcpu import VCPU


@kernel
def fetch_host(m, v, va):
    """Byte offset in the arena of the code at `va` if a TLB knows it, else -1."""
    tag = (va & PAGE_MASK) | read_once(m, v + VCPU.fetch_regime)
    entry = v + FETCH.itlb + ((va >> 12) & (ITLB_ENTRIES - 1)) * 2
    if read_once(m, entry) == tag:
        return va + read_once(m, entry + 1)
    at = tlb_host(m, v, va, TLB_EXEC, read_once(m, v + VCPU.fetch_regime))
    if at >= 0:
        write_once(m, entry, tag)
        write_once(m, entry + 1, at - va)
    return at


@kernel
def fetch_slow(m, v, pc):
    """The bits at `pc`, or MISS, which no bits are: they are not negative."""
    flushes = read_once(m, v + VCPU.tlb_flushes)
    if flushes != read_once(m, v + FETCH.flushes):
        write_once(m, v + FETCH.flushes, flushes)
        forget_fetches(m, v)
    at = fetch_host(m, v, pc)
    if at < 0:
        return miss(m, v, pc, TLB_EXEC)
    write_once(m, v + HART.fetch_page, pc & PAGE_MASK)
    write_once(m, v + HART.fetch_addend, at - pc)
    write_once(m, v + FETCH.valid, 1)
    if pc & 0xFFF != 0xFFE:
        return fetch32(m, at)
    low = load16(m, at)
    if low & 3 != 3:
        return low
    beyond = wrap(pc + 2)
    at = fetch_host(m, v, beyond)
    if at < 0:
        return miss(m, v, beyond, TLB_EXEC)
    return low | (load16(m, at) << 16)
