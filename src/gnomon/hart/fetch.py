"""fetch: the bits of the instruction at pc, when the loop cannot just read them: a new page, or an instruction across two.

Guarantees F1  what is returned was read through exec translations that were all valid in one span of guest mode
           F2  HART.fetch_page and HART.fetch_addend describe pc's page on return of bits
Context    guest mode; may leave and enter it again, so the caller's own idea of the page is void
"""

from __future__ import annotations

from gnomon.hart.exits import EXIT_NOMEM, RETRY
from gnomon.hart.state import HART
from gnomon.hart.trap import translation_failed
from gnomon.lang import kernel
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import fetch32, load16
from gnomon.mmu.tlb import PAGE_MASK, TLB_EXEC, tlb_host
from gnomon.mmu.translate import XL_NOMEM, XL_OK, mmu_translate
from gnomon.mmu.vcpu import VCPU


@kernel
def fetch_slow(m, v, pc):
    """The bits at `pc`, or a negative status: nothing was fetched, or the guest trapped and HART.pc says where it is now."""
    regime = read_once(m, v + VCPU.fetch_regime)
    at = tlb_host(m, v, pc, TLB_EXEC, regime)
    if at < 0:
        return fetch_missed(m, v, pc)
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
        return fetch_missed(m, v, beyond)
    return low | (load16(m, at) << 16)


@kernel
def fetch_missed(m, v, va):
    """Look `va` up for fetching. Returns RETRY when it may hit now, TRAPPED, or -EXIT_NOMEM: always negative, as bits never are."""
    status = mmu_translate(m, v, va, TLB_EXEC)
    if status == XL_OK:
        return RETRY
    if status == XL_NOMEM:
        return -EXIT_NOMEM
    return translation_failed(m, v, va, TLB_EXEC, status)
