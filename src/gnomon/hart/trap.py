"""trap: entering and leaving trap handlers of M- and S-mode.

Guarantees T1  every change of privilege or of what MPRV means is told to the MMU before the next access (set_context)
           T2  a synchronous trap leaves xepc at the instruction itself, which does not retire
Context    the hart's own thread; HART.pc is the instruction that traps, or the next one for an interrupt
"""

from __future__ import annotations

from gnomon.hart.exits import EVENTS, TRAPPED
from gnomon.hart.state import HART, NO_RESERVATION, PRIV_M, PRIV_S, PRIV_U, set_context
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once

CAUSE_FETCH_ACCESS, CAUSE_ILLEGAL, CAUSE_BREAKPOINT = 1, 2, 3
CAUSE_LOAD_MISALIGNED, CAUSE_LOAD_ACCESS, CAUSE_STORE_MISALIGNED, CAUSE_STORE_ACCESS = 4, 5, 6, 7
CAUSE_ECALL_U, CAUSE_ECALL_S, CAUSE_ECALL_M = 8, 9, 11
CAUSE_FETCH_PAGE, CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE = 12, 13, 15
INTERRUPT = -(1 << 63)
"""Bit 63 of a cause."""

SIE, MIE, SPIE, MPIE, SPP, MPP, MPRV = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 3 << 11, 1 << 17


@kernel
def take_exception(m, v, cause, tval):
    """The instruction at HART.pc traps. Returns TRAPPED."""
    if read_once(m, v + HART.priv) <= PRIV_S and (read_once(m, v + HART.medeleg) >> cause) & 1:
        return enter_supervisor(m, v, cause, tval)
    return enter_machine(m, v, cause, tval)


@kernel
def handler(tvec, cause):
    """Where a trap goes: the base, or for an interrupt in vectored mode four bytes a cause behind it."""
    if cause < 0 and tvec & 1:
        return (tvec & -4) + 4 * (cause & 63)
    return tvec & -4


@kernel
def enter_machine(m, v, cause, tval):
    """Trap into M-mode. Returns TRAPPED."""
    status = read_once(m, v + HART.mstatus)
    write_once(m, v + HART.mepc, read_once(m, v + HART.pc))
    write_once(m, v + HART.mcause, cause)
    write_once(m, v + HART.mtval, tval)
    pie = (status & MIE) << 4
    status = (status & ~(MIE | MPIE | MPP)) | pie | (read_once(m, v + HART.priv) << 11)
    write_once(m, v + HART.mstatus, status)
    write_once(m, v + HART.priv, PRIV_M)
    write_once(m, v + HART.pc, handler(read_once(m, v + HART.mtvec), cause))
    set_context(m, v)
    return TRAPPED


@kernel
def enter_supervisor(m, v, cause, tval):
    """Trap into S-mode. Returns TRAPPED."""
    status = read_once(m, v + HART.mstatus)
    write_once(m, v + HART.sepc, read_once(m, v + HART.pc))
    write_once(m, v + HART.scause, cause)
    write_once(m, v + HART.stval, tval)
    pie = (status & SIE) << 4
    status = (status & ~(SIE | SPIE | SPP)) | pie | (read_once(m, v + HART.priv) << 8)
    write_once(m, v + HART.mstatus, status)
    write_once(m, v + HART.priv, PRIV_S)
    write_once(m, v + HART.pc, handler(read_once(m, v + HART.stvec), cause))
    set_context(m, v)
    return TRAPPED


@kernel
def mret(m, v):
    """Return from a trap of M-mode to HART.next_pc = mepc. Returns EVENTS."""
    status = read_once(m, v + HART.mstatus)
    priv = (status >> 11) & 3
    status = (status & ~(MIE | MPP)) | ((status & MPIE) >> 4) | MPIE
    if priv != PRIV_M:
        status &= ~MPRV
    return leave_trap(m, v, status, priv, read_once(m, v + HART.mepc))


@kernel
def sret(m, v):
    """Return from a trap of S-mode to HART.next_pc = sepc. Returns EVENTS."""
    status = read_once(m, v + HART.mstatus)
    priv = PRIV_S if status & SPP else PRIV_U
    status = (status & ~(SIE | SPP | MPRV)) | ((status & SPIE) >> 4) | SPIE
    return leave_trap(m, v, status, priv, read_once(m, v + HART.sepc))


@kernel
def leave_trap(m, v, status, priv, pc):
    """What mret and sret share; the reservation is dropped, so that an interrupted LR/SC pair cannot succeed for another thread."""
    write_once(m, v + HART.mstatus, status)
    write_once(m, v + HART.priv, priv)
    write_once(m, v + HART.next_pc, pc)
    write_once(m, v + HART.reservation_at, NO_RESERVATION)
    set_context(m, v)
    return EVENTS


@kernel(entry=True)
def mmio_fault(m, v):
    """After EXIT_MMIO: no device is there. The access traps as an access fault."""
    cause = CAUSE_STORE_ACCESS if read_once(m, v + HART.mmio_is_write) else CAUSE_LOAD_ACCESS
    return take_exception(m, v, cause, read_once(m, v + HART.mmio_va))
