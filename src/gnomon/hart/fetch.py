"""fetch: the bits of the instruction at pc, when the loop cannot just read them: a new page, or an instruction across two.

Guarantees F1  what is returned was read through exec translations that were all valid in one span of guest mode
           F2  HART.fetch_page and HART.fetch_addend describe pc's page on return of bits
Context    guest mode, which it does not leave
"""

from __future__ import annotations

from gnomon.hart.exits import miss
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import fetch32, load16
from gnomon.mmu.tlb import PAGE_MASK, TLB_EXEC, tlb_host
from gnomon.mmu.vcpu import VCPU


@kernel
def fetch_slow(m, v, pc):
    """The bits at `pc`, or MISS, which no bits are: they are not negative."""
    regime = read_once(m, v + VCPU.fetch_regime)
    at = tlb_host(m, v, pc, TLB_EXEC, regime)
    if at < 0:
        return miss(m, v, pc, TLB_EXEC)
    write_once(m, v + HART.fetch_page, pc & PAGE_MASK)
    write_once(m, v + HART.fetch_addend, at - pc)
    if pc & 0xFFF != 0xFFE:
        return fetch32(m, at)
    low = load16(m, at)
    if low & 3 != 3:
        return low
    beyond = wrap(pc + 2)
    at = tlb_host(m, v, beyond, TLB_EXEC, regime)
    if at < 0:
        return miss(m, v, beyond, TLB_EXEC)
    return low | (load16(m, at) << 16)
