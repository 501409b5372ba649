"""access: loads and stores that the loop's TLB probe refused: a miss, a misaligned address, a device, a tracked page.

Guarantees A1  guest memory is touched only at offsets that a TLB hit, or tracked_begin, gave in the same span of guest mode
           A2  a misaligned store probes all its pages before it writes a byte; it may be seen half done by others, as RISC-V allows
           A3  RETRY leaves the instruction to be executed again: every store here is idempotent
Context    guest mode; may leave and enter it. A device is only accessed with natural alignment, else it is an access fault
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.exits import DONE, EXIT_MMIO, RETRY, mmio_exit
from gnomon.hart.state import HART
from gnomon.hart.trap import translation_failed
from gnomon.lang import kernel
from gnomon.lang.arith import sar, shl, shr, wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import load8, load16, load32, load64, store8, store16, store32, store64
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_MMIO, XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU


@kernel
def access_size(op):
    """Bytes that a load or store moves."""
    if op == OP.LD or op == OP.SD:
        return 8
    if op == OP.LW or op == OP.LWU or op == OP.SW:
        return 4
    if op == OP.LH or op == OP.LHU or op == OP.SH:
        return 2
    return 1


@kernel
def get_bytes(m, at, count):
    """`count` bytes from byte offset `at`, zero-extended; one access when they are aligned."""
    if count == 8 and at & 7 == 0:
        return load64(m, at)
    if count == 4 and at & 3 == 0:
        return load32(m, at)
    if count == 2 and at & 1 == 0:
        return load16(m, at)
    value = 0
    for n in range(count):
        value |= shl(load8(m, at + n), n * 8)
    return value


@kernel
def put_bytes(m, at, value, count):
    """The low `count` bytes of `value` to byte offset `at`; one access when they are aligned."""
    if count == 8 and at & 7 == 0:
        return store64(m, at, value)
    if count == 4 and at & 3 == 0:
        return store32(m, at, value)
    if count == 2 and at & 1 == 0:
        return store16(m, at, value)
    for n in range(count):
        store8(m, at + n, shr(value, n * 8))
    return 0


@kernel
def load_slow(m, v, word):
    """A load by its decoded word. Returns DONE with rd written, or another status."""
    op = word & 255
    va = wrap(read_once(m, v + HART.x + ((word >> 16) & 31)) + (word >> 32))
    rd = HART.x + ((word >> 8) & 255)
    size = access_size(op)
    unsigned = op == OP.LBU or op == OP.LHU or op == OP.LWU
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_READ, regime)
    if at < 0:
        status = mmu_translate(m, v, va, TLB_READ)
        if status == XL_MMIO and va & (size - 1) == 0:
            write_once(m, v + HART.mmio_signed, 0 if unsigned else 1)
            return mmio_exit(m, v, read_once(m, v + VCPU.fault_gpa), va, size, rd)
        if status != XL_OK:
            return translation_failed(m, v, va, TLB_READ, status)
        at = tlb_host(m, v, va, TLB_READ, regime)
        if at < 0:
            return RETRY
    room = 4096 - (va & 4095)
    value = 0
    if size <= room:
        value = get_bytes(m, at, size)
    else:
        beyond = wrap(va + room)
        second = tlb_host(m, v, beyond, TLB_READ, regime)
        if second < 0:
            status = mmu_translate(m, v, beyond, TLB_READ)
            return RETRY if status == XL_OK else translation_failed(m, v, beyond, TLB_READ, status)
        value = get_bytes(m, at, room) | shl(get_bytes(m, second, size - room), room * 8)
    if not unsigned:
        value = sar(shl(value, 64 - size * 8), 64 - size * 8)
    write_once(m, v + rd, value)
    return DONE


@kernel
def store_slow(m, v, word):
    """A store by its decoded word. Returns DONE, or another status."""
    va = wrap(read_once(m, v + HART.x + ((word >> 16) & 31)) + (word >> 32))
    value = read_once(m, v + HART.x + ((word >> 24) & 31))
    size = access_size(word & 255)
    room = 4096 - (va & 4095)
    if size <= room:
        return store_part(m, v, va, value, size, va & (size - 1) == 0)
    beyond = wrap(va + room)
    status = may_store(m, v, va)
    if status == DONE:
        status = may_store(m, v, beyond)
    if status == DONE:
        status = store_part(m, v, va, value, room, 0)
    if status == DONE:
        status = store_part(m, v, beyond, shr(value, room * 8), size - room, 0)
    return status


@kernel
def may_store(m, v, va):
    """DONE if a store to the page of `va` would be performed, else the status it ends with."""
    if tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime)) >= 0:
        return DONE
    status = mmu_translate(m, v, va, TLB_WRITE)
    if status != XL_OK and status != XL_TRACKED:
        return translation_failed(m, v, va, TLB_WRITE, status)
    return DONE


@kernel
def store_part(m, v, va, value, count, to_device):
    """Store `count` bytes that lie in one page. `to_device`: an access of this kind may go to a device register."""
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        status = mmu_translate(m, v, va, TLB_WRITE)
        if status == XL_TRACKED:
            at = tracked_begin(m, v)
            if at < 0:
                return RETRY
            put_bytes(m, at, value, count)
            tracked_end(m, v, at, count)
            return DONE
        if status == XL_MMIO and to_device:
            mmio_exit(m, v, read_once(m, v + VCPU.fault_gpa), va, count, HART.scratch)
            write_once(m, v + HART.mmio_value, value & mask_of(count))
            write_once(m, v + HART.mmio_is_write, 1)
            return EXIT_MMIO
        if status != XL_OK:
            return translation_failed(m, v, va, TLB_WRITE, status)
        at = tlb_host(m, v, va, TLB_WRITE, regime)
        if at < 0:
            return RETRY
    put_bytes(m, at, value, count)
    return DONE


@kernel
def mask_of(count):
    """Ones in the low `count` bytes."""
    return -1 if count == 8 else (1 << (count * 8)) - 1
