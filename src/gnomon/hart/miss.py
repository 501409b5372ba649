"""miss: what follows when an instruction lacked a translation: get it, or what the access becomes without one.

The only place where the hart asks the MMU for a translation, and so the only one that leaves guest mode in the middle of a run.
The instruction is then executed again, unless it ends here: as a trap, as an access to a device, or as a store to a page that is
shadowed as a page table, which is done under mmu_lock.

Guarantees N1  a fault traps before a byte is written, also of a store across two pages
           N2  EXIT_NOMEM leaves everything as it was: the same instruction asks again
Context    guest mode on call and return; HART.pc, next_pc and word are the instruction's
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.access import access_address, access_size, is_load, is_unsigned, put_bytes
from gnomon.hart.amo import atomic_size, modify
from gnomon.hart.exits import DONE, EXIT_MMIO, EXIT_NOMEM, RETRY, retire
from gnomon.hart.state import HART
from gnomon.hart.trap import (
    CAUSE_FETCH_ACCESS,
    CAUSE_FETCH_PAGE,
    CAUSE_LOAD_ACCESS,
    CAUSE_LOAD_PAGE,
    CAUSE_STORE_ACCESS,
    CAUSE_STORE_PAGE,
    take_exception,
)
from gnomon.lang import kernel
from gnomon.lang.arith import shr, wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_MMIO, XL_NOMEM, XL_OK, XL_PAGE_FAULT, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU


@kernel
def resolve_miss(m, v):
    """Serve the MISS in HART.miss_*. Returns a status <= 0 to go on at HART.pc, EXIT_MMIO or EXIT_NOMEM."""
    va = read_once(m, v + HART.miss_va)
    access = read_once(m, v + HART.miss_access)
    status = mmu_translate(m, v, va, access)
    if status == XL_OK:
        return RETRY
    if status == XL_TRACKED:
        return store_tracked(m, v, va)
    if status == XL_MMIO and access != TLB_EXEC:
        word = read_once(m, v + HART.word)
        if word & 255 < OP.SLOW and access_address(m, v, word) & (access_size(word & 255) - 1) == 0:
            return mmio_exit(m, v, va, word)
    return translation_failed(m, v, va, access, status)


@kernel
def translation_failed(m, v, va, access, status):
    """What an access to `va` becomes that mmu_translate refused with `status`: a trap of the guest (TRAPPED), or EXIT_NOMEM.

    A device that is fetched from, or accessed misaligned or by the A extension, is an access fault."""
    if status == XL_NOMEM:
        return EXIT_NOMEM
    page = status == XL_PAGE_FAULT
    if access == TLB_EXEC:
        return take_exception(m, v, CAUSE_FETCH_PAGE if page else CAUSE_FETCH_ACCESS, va)
    if access == TLB_READ:
        return take_exception(m, v, CAUSE_LOAD_PAGE if page else CAUSE_LOAD_ACCESS, va)
    return take_exception(m, v, CAUSE_STORE_PAGE if page else CAUSE_STORE_ACCESS, va)


@kernel
def mmio_exit(m, v, va, word):
    """Describe the aligned load or store of a device register and leave."""
    op = word & 255
    size = access_size(op)
    value = read_once(m, v + HART.x + ((word >> 24) & 31))
    if size < 8:
        value &= (1 << (size * 8)) - 1
    write_once(m, v + HART.mmio_gpa, read_once(m, v + VCPU.fault_gpa))
    write_once(m, v + HART.mmio_va, va)
    write_once(m, v + HART.mmio_size, size)
    write_once(m, v + HART.mmio_is_write, 1 - is_load(op))
    write_once(m, v + HART.mmio_value, value)
    write_once(m, v + HART.mmio_rd, HART.x + ((word >> 8) & 255))
    write_once(m, v + HART.mmio_signed, 1 - is_unsigned(op))
    return EXIT_MMIO


@kernel
def store_tracked(m, v, va):
    """A store, SC or AMO to a guest page table: VCPU.fault_gpa is where mmu_translate saw it. Returns DONE, or RETRY."""
    word = read_once(m, v + HART.word)
    op = word & 255
    if op < OP.SLOW:
        start = access_address(m, v, word)
        size = access_size(op)
        if (start & 4095) + size > 4096:
            return store_split(m, v, start, size)
    at = tracked_begin(m, v)
    if at < 0:
        return RETRY
    if op < OP.SLOW:
        size = access_size(op)
        put_bytes(m, at, read_once(m, v + HART.x + ((word >> 24) & 31)), size)
    else:
        size = atomic_size(op)
        modify(m, v, at, size, word)
    tracked_end(m, v, at, size)
    return retire(m, v)


@kernel
def store_split(m, v, va, size):
    """A misaligned store across two pages at least one of which is a guest page table. Returns a status as resolve_miss does.

    RETRY and EXIT_NOMEM may leave one part written: the instruction is executed again and writes the same."""
    value = read_once(m, v + HART.x + ((read_once(m, v + HART.word) >> 24) & 31))
    room = 4096 - (va & 4095)
    beyond = wrap(va + room)
    for page in range(2):  # faults first (N1)
        part = beyond if page else va
        status = mmu_translate(m, v, part, TLB_WRITE)
        if status != XL_OK and status != XL_TRACKED:
            return translation_failed(m, v, part, TLB_WRITE, status)
    status = store_part(m, v, va, value, room)
    if status == DONE:
        status = store_part(m, v, beyond, shr(value, room * 8), size - room)
    return retire(m, v) if status == DONE else status


@kernel
def store_part(m, v, va, value, count):
    """Store `count` bytes that lie in one page, tracked or not."""
    at = tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime))
    if at >= 0:
        put_bytes(m, at, value, count)
        return DONE
    status = mmu_translate(m, v, va, TLB_WRITE)
    if status == XL_OK:
        return RETRY
    if status != XL_TRACKED:
        return translation_failed(m, v, va, TLB_WRITE, status)
    at = tracked_begin(m, v)
    if at < 0:
        return RETRY
    put_bytes(m, at, value, count)
    tracked_end(m, v, at, count)
    return DONE
