"""amo: the A extension on real host atomics.

LR remembers where it read and what; SC is a compare-exchange of that value at that place. So an SC also succeeds when others changed the
word and changed it back between (ABA), which RISC-V's reservation would refuse; a guest lock or counter cannot tell the
difference, a guest that pairs LR/SC to detect any write can. An SC to another address or of another size than the LR fails.

Guarantees L1  every AMO and successful SC is one seq_cst read-modify-write of the host at the guest's datum
           L2  misaligned ones trap (causes 4 and 6), those to devices are access faults
Context    guest mode, which it does not leave: a missing translation is said with MISS
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.exits import DONE, miss
from gnomon.hart.state import HART, NO_RESERVATION
from gnomon.hart.trap import CAUSE_LOAD_MISALIGNED, CAUSE_STORE_MISALIGNED, take_exception
from gnomon.lang import kernel
from gnomon.lang.atomics import mb, read_once, rmb, write_once
from gnomon.lang.guest_memory import (
    amo_add32,
    amo_add64,
    amo_and32,
    amo_and64,
    amo_max32,
    amo_max64,
    amo_maxu32,
    amo_maxu64,
    amo_min32,
    amo_min64,
    amo_minu32,
    amo_minu64,
    amo_or32,
    amo_or64,
    amo_swap32,
    amo_swap64,
    amo_xor32,
    amo_xor64,
    cmpxchg_guest32,
    cmpxchg_guest64,
    load32s,
    load64,
)
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.vcpu import VCPU

assert OP.LR_D & OP.SC_D & OP.AMO_D & 1 and not (OP.LR_W | OP.SC_W | OP.AMO_W) & 1

AMO_ADD, AMO_SWAP, AMO_XOR, AMO_OR, AMO_AND, AMO_MIN, AMO_MAX, AMO_MINU, AMO_MAXU = 0, 1, 4, 8, 12, 16, 20, 24, 28


@kernel
def atomic_size(op):
    """Bytes of the datum: the D forms have odd numbers."""
    return 8 if op & 1 else 4


@kernel
def atomic(m, v, word):
    """LR, SC or an AMO by its decoded word. Returns DONE, or another status."""
    op = word & 255
    size = atomic_size(op)
    va = read_once(m, v + HART.x + ((word >> 16) & 31))
    if op == OP.LR_W or op == OP.LR_D:
        return load_reserved(m, v, va, size, word)
    if va & (size - 1):
        return take_exception(m, v, CAUSE_STORE_MISALIGNED, va)
    if op < OP.AMO_W and read_once(m, v + HART.reservation_at) == NO_RESERVATION:
        write_once(m, v + HART.x + ((word >> 8) & 255), 1)
        return DONE
    at = tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime))
    if at < 0:
        return miss(m, v, va, TLB_WRITE)
    return modify(m, v, at, size, word)


@kernel
def load_reserved(m, v, va, size, word):
    """LR."""
    if va & (size - 1):
        return take_exception(m, v, CAUSE_LOAD_MISALIGNED, va)
    at = tlb_host(m, v, va, TLB_READ, read_once(m, v + VCPU.data_regime))
    if at < 0:
        return miss(m, v, va, TLB_READ)
    if (word >> 32) & 1:  # rl: what came before is performed before the load, which needs more than a release
        mb()
    value = load64(m, at) if size == 8 else load32s(m, at)
    rmb()  # aq; the guest's fence after a relaxed LR costs no more
    write_once(m, v + HART.reservation_at, at)
    write_once(m, v + HART.reservation_size, size)
    write_once(m, v + HART.reservation_value, value)
    write_once(m, v + HART.x + ((word >> 8) & 255), value)
    return DONE


@kernel
def modify(m, v, at, size, word):
    """SC or an AMO at byte offset `at`, whose page may be written. Returns DONE."""
    rd = v + HART.x + ((word >> 8) & 255)
    value = read_once(m, v + HART.x + ((word >> 24) & 31))
    if word & 255 < OP.AMO_W:
        write_once(m, rd, store_conditional(m, v, at, size, value))
    elif size == 4:
        write_once(m, rd, amo32(m, at, (word >> 34) & 31, value))
    else:
        write_once(m, rd, amo64(m, at, (word >> 34) & 31, value))
    return DONE


@kernel
def store_conditional(m, v, at, size, value):
    """SC: 0 if stored. The reservation is gone either way."""
    reserved = read_once(m, v + HART.reservation_at) == at and read_once(m, v + HART.reservation_size) == size
    write_once(m, v + HART.reservation_at, NO_RESERVATION)
    if not reserved:
        return 1
    seen = read_once(m, v + HART.reservation_value)
    if size == 8:
        return 0 if cmpxchg_guest64(m, at, seen, value) == seen else 1
    return 0 if cmpxchg_guest32(m, at, seen, value) == seen else 1


@kernel
def amo32(m, at, function, value):
    """An AMO on a word; the old value, sign-extended."""
    if function == AMO_ADD:
        return amo_add32(m, at, value)
    if function == AMO_SWAP:
        return amo_swap32(m, at, value)
    if function == AMO_XOR:
        return amo_xor32(m, at, value)
    if function == AMO_OR:
        return amo_or32(m, at, value)
    if function == AMO_AND:
        return amo_and32(m, at, value)
    if function == AMO_MIN:
        return amo_min32(m, at, value)
    if function == AMO_MAX:
        return amo_max32(m, at, value)
    if function == AMO_MINU:
        return amo_minu32(m, at, value)
    return amo_maxu32(m, at, value)


@kernel
def amo64(m, at, function, value):
    """An AMO on a doubleword; the old value."""
    if function == AMO_ADD:
        return amo_add64(m, at, value)
    if function == AMO_SWAP:
        return amo_swap64(m, at, value)
    if function == AMO_XOR:
        return amo_xor64(m, at, value)
    if function == AMO_OR:
        return amo_or64(m, at, value)
    if function == AMO_AND:
        return amo_and64(m, at, value)
    if function == AMO_MIN:
        return amo_min64(m, at, value)
    if function == AMO_MAX:
        return amo_max64(m, at, value)
    if function == AMO_MINU:
        return amo_minu64(m, at, value)
    return amo_maxu64(m, at, value)
