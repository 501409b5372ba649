"""access: loads and stores that the loop's TLB probe refused: a miss, or a misaligned address.

Guarantees A1  guest memory is touched only at offsets that a TLB hit gave in the same span of guest mode
           A2  a misaligned store probes all its pages before it writes a byte; others may see it half done, as RISC-V allows
Context    guest mode, which it does not leave: what is missing is said with MISS
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.exits import DONE, miss
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import sar, shl, shr, wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import load8, load16, load32, load64, store8, store16, store32, store64
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.vcpu import VCPU


@kernel
def is_load(op):
    """1 for the loads, which opcode.py numbers in two groups."""
    return 1 if op == OP.LD or op == OP.LW or (op >= OP.LB and op <= OP.LWU) else 0


@kernel
def is_unsigned(op):
    """1 for the loads that zero-extend."""
    return 1 if op == OP.LBU or op == OP.LHU or op == OP.LWU else 0


@kernel
def access_address(m, v, word):
    """Virtual address of a load or store."""
    return wrap(read_once(m, v + HART.x + ((word >> 16) & 31)) + (word >> 32))


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
    """A load by its decoded word. Returns DONE with rd written, or MISS."""
    op = word & 255
    va = access_address(m, v, word)
    size = access_size(op)
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_READ, regime)
    if at < 0:
        return miss(m, v, va, TLB_READ)
    room = 4096 - (va & 4095)
    value = 0
    if size <= room:
        value = get_bytes(m, at, size)
    else:
        beyond = wrap(va + room)
        second = tlb_host(m, v, beyond, TLB_READ, regime)
        if second < 0:
            return miss(m, v, beyond, TLB_READ)
        value = get_bytes(m, at, room) | shl(get_bytes(m, second, size - room), room * 8)
    if is_unsigned(op) == 0:
        value = sar(shl(value, 64 - size * 8), 64 - size * 8)
    write_once(m, v + HART.x + ((word >> 8) & 255), value)
    return DONE


@kernel
def store_slow(m, v, word):
    """A store by its decoded word. Returns DONE, or MISS and nothing is written."""
    va = access_address(m, v, word)
    value = read_once(m, v + HART.x + ((word >> 24) & 31))
    size = access_size(word & 255)
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        return miss(m, v, va, TLB_WRITE)
    room = 4096 - (va & 4095)
    if size > room:
        beyond = wrap(va + room)
        second = tlb_host(m, v, beyond, TLB_WRITE, regime)
        if second < 0:
            return miss(m, v, beyond, TLB_WRITE)
        put_bytes(m, second, shr(value, room * 8), size - room)
        size = room
    put_bytes(m, at, value, size)
    return DONE
