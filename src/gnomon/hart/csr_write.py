"""csr_write: what a write does to each control and status register (WARL: an unsupported value becomes a supported one).

Owns       every CSR of HART
Guarantees C1  mip is changed bit by bit with atomics, from the bits to set and to clear: an interrupt raised meanwhile is not lost
           C2  a write that can make an interrupt deliverable returns EVENTS, so that it is taken before the next chunk
"""

from __future__ import annotations

from gnomon.hart import csr_number as CSR
from gnomon.hart.exits import DONE, EVENTS
from gnomon.hart.interrupt import SEIP, SSIP, STIP, follow, update_timer
from gnomon.hart.state import ALL_EXCEPTIONS, HART, MENVCFG_STCE, S_INTERRUPTS, set_context
from gnomon.hart.status import MSTATUS_WRITABLE, SSTATUS_WRITABLE, write_status
from gnomon.lang import kernel
from gnomon.lang.arith import shl, wrap
from gnomon.lang.atomics import fetch_and, fetch_or, read_once, write_once

M_INTERRUPTS = 0xAAA
SATP_PPN = (1 << 44) - 1
SV39 = 8
PMPADDR_MASK = (1 << 54) - 1
PMP_LOCK = 0x80


@kernel
def csr_write(m, v, csr, value, set_bits, clear_bits):
    """Write `value`, which the instruction means as setting and clearing those bits. Returns DONE or EVENTS."""
    level = (csr >> 8) & 3
    if level == 1:
        return csr_write_supervisor(m, v, csr, value, set_bits, clear_bits)
    if csr == CSR.MSTATUS:
        return write_status(m, v, value, MSTATUS_WRITABLE)
    if csr == CSR.MEPC:
        write_once(m, v + HART.mepc, value & -2)
    elif csr == CSR.MSCRATCH:
        write_once(m, v + HART.mscratch, value)
    elif csr == CSR.MIE:
        write_once(m, v + HART.mie, value & M_INTERRUPTS)
        return EVENTS
    elif csr == CSR.MIP:
        return write_mip(m, v, set_bits, clear_bits)
    elif csr == CSR.MTVEC:
        write_once(m, v + HART.mtvec, value & -3)
    elif csr == CSR.MCAUSE:
        write_once(m, v + HART.mcause, value)
    elif csr == CSR.MTVAL:
        write_once(m, v + HART.mtval, value)
    elif csr == CSR.MEDELEG:
        write_once(m, v + HART.medeleg, value & ALL_EXCEPTIONS)
    elif csr == CSR.MIDELEG:
        write_once(m, v + HART.mideleg, value & S_INTERRUPTS)
        return EVENTS
    elif csr == CSR.MCOUNTEREN:
        write_once(m, v + HART.mcounteren, value & 0xFFFFFFFF)
    elif csr == CSR.MENVCFG:
        write_once(m, v + HART.menvcfg, value & (MENVCFG_STCE | 1))
        clear_unowned_stip(m, v)
        return EVENTS
    elif csr == CSR.MCYCLE:
        write_once(m, v + HART.cycle_offset, wrap(value - read_once(m, v + HART.instret) - 1))  # it counts itself on retiring
    elif csr == CSR.MINSTRET:
        written = wrap(value - 1)
        moved = wrap(read_once(m, v + HART.instret) - written)
        write_once(m, v + HART.instret, written)
        write_once(m, v + HART.cycle_offset, wrap(read_once(m, v + HART.cycle_offset) + moved))
    elif csr >= CSR.PMPADDR0 and csr <= CSR.PMPADDR15:
        write_pmpaddr(m, v, csr & 15, value)
    elif csr == CSR.PMPCFG0 or csr == CSR.PMPCFG2:
        write_pmpcfg(m, v, csr & 3, value)
    return DONE


@kernel
def csr_write_supervisor(m, v, csr, value, set_bits, clear_bits):
    """csr_write for S-mode's."""
    if csr == CSR.SSTATUS:
        return write_status(m, v, value, SSTATUS_WRITABLE)
    if csr == CSR.SEPC:
        write_once(m, v + HART.sepc, value & -2)
    elif csr == CSR.SSCRATCH:
        write_once(m, v + HART.sscratch, value)
    elif csr == CSR.SATP:
        return write_satp(m, v, value)
    elif csr == CSR.SIE:
        delegated = read_once(m, v + HART.mideleg)
        write_once(m, v + HART.mie, (read_once(m, v + HART.mie) & ~delegated) | (value & delegated))
        return EVENTS
    elif csr == CSR.SIP:
        mine = SSIP & read_once(m, v + HART.mideleg)
        return write_pending(m, v, set_bits & mine, clear_bits & mine)
    elif csr == CSR.STVEC:
        write_once(m, v + HART.stvec, value & -3)
    elif csr == CSR.SCAUSE:
        write_once(m, v + HART.scause, value)
    elif csr == CSR.STVAL:
        write_once(m, v + HART.stval, value)
    elif csr == CSR.SCOUNTEREN:
        write_once(m, v + HART.scounteren, value & 0xFFFFFFFF)
    elif csr == CSR.SENVCFG:
        write_once(m, v + HART.senvcfg, value & 1)
    elif csr == CSR.STIMECMP:
        write_once(m, v + HART.stimecmp, value)
        update_timer(m, v)
        return EVENTS
    return DONE


@kernel
def write_satp(m, v, value):
    """satp: Bare or Sv39 without ASIDs; any other mode leaves the register as it was."""
    mode = (value >> 60) & 15
    if mode == SV39:
        write_once(m, v + HART.satp, shl(SV39, 60) | (value & SATP_PPN))
    elif mode == 0:
        write_once(m, v + HART.satp, 0)
    else:
        return DONE
    set_context(m, v)
    return DONE


@kernel
def write_mip(m, v, set_bits, clear_bits):
    """mip: SSIP and the software half of SEIP, and STIP unless stimecmp drives it. Returns EVENTS."""
    mine = SSIP | STIP
    if read_once(m, v + HART.menvcfg) < 0:
        mine = SSIP
    seip = read_once(m, v + HART.seip)
    write_once(m, v + HART.seip, (seip | (set_bits & SEIP)) & ~(clear_bits & SEIP))
    return write_pending(m, v, set_bits & mine, clear_bits & mine)


@kernel
def write_pending(m, v, set_bits, clear_bits):
    """Change bits of mip that software owns (C1). Returns EVENTS."""
    if set_bits:
        fetch_or(m, v + HART.mip, set_bits)
    if clear_bits:
        fetch_and(m, v + HART.mip, ~clear_bits)
    return EVENTS


@kernel
def clear_unowned_stip(m, v):
    """menvcfg.STCE changed hands of STIP: it follows stimecmp now, or starts as 0 for software."""
    follow(m, v + HART.mip, STIP, 0)
    return update_timer(m, v)


@kernel
def write_pmpaddr(m, v, entry, value):
    """pmpaddr: 54 bits, unless the entry is locked or bounds a locked TOR range above it."""
    if pmp_config(m, v, entry) & PMP_LOCK:
        return 0
    if entry < 15 and pmp_config(m, v, entry + 1) & (PMP_LOCK | 0x18) == PMP_LOCK | 8:
        return 0
    write_once(m, v + HART.pmpaddr + entry, value & PMPADDR_MASK)
    return 0


@kernel
def pmp_config(m, v, entry):
    """The configuration byte of a PMP entry."""
    return (read_once(m, v + HART.pmpcfg + ((entry >> 3) << 1)) >> ((entry & 7) * 8)) & 255


@kernel
def write_pmpcfg(m, v, which, value):
    """pmpcfg: each byte without its reserved bits and without "writable but not readable", unless it is locked."""
    config = 0
    for n in range(8):
        old = (read_once(m, v + HART.pmpcfg + which) >> (n * 8)) & 255
        new = (value >> (n * 8)) & 0x9F
        if new & 3 == 2:
            new &= ~2
        config |= shl(old if old & PMP_LOCK else new, n * 8)
    write_once(m, v + HART.pmpcfg + which, config)
    return 0
