"""csr: the Zicsr instructions; which registers exist, who may use them, what reading gives. Writing is csr_write.py.

Absent (illegal): pmp registers from the 17th entry on, mseccfg, the H, N, F and V extensions' registers. The debug triggers, the
hardware performance counters and mcountinhibit exist, read 0 and ignore writes. PMP registers keep what is written, without effect.
"""

from __future__ import annotations

from gnomon.hart import csr_number as CSR
from gnomon.hart import opcode as OP
from gnomon.hart.csr_write import csr_write
from gnomon.hart.exits import DONE
from gnomon.hart.interrupt import mtime, pending_interrupts, update_timer
from gnomon.hart.state import HART, MISA, PRIV_M, PRIV_S, PRIV_U
from gnomon.hart.status import SSTATUS_MASK, TVM, UXL_SXL
from gnomon.hart.trap import CAUSE_ILLEGAL, take_exception
from gnomon.lang import kernel
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.vcpu import VCPU

ABSENT, ZERO, COMPUTED = 0, -1, -2


@kernel
def csr_access(m, v, word, raw):
    """Execute csrrw, csrrs, csrrc or an immediate form. Returns DONE, EVENTS or TRAPPED."""
    op = word & 255
    csr = (word >> 32) & 0xFFF
    rs1 = (word >> 16) & 31
    operand = rs1
    if op < OP.CSRRWI:
        operand = read_once(m, v + HART.x + rs1)
    else:
        op -= OP.CSRRWI - OP.CSRRW
    writes = op == OP.CSRRW or rs1 != 0
    place = csr_place(csr)
    if place == ABSENT or csr_denied(m, v, csr, writes):
        return take_exception(m, v, CAUSE_ILLEGAL, raw)
    found = csr_read(m, v, csr, place)
    status = DONE
    if writes:
        if op == OP.CSRRW:
            status = csr_write(m, v, csr, operand, operand, ~operand)
        elif op == OP.CSRRS:
            status = csr_write(m, v, csr, found | operand, operand, 0)
        else:
            status = csr_write(m, v, csr, found & ~operand, 0, operand)
    write_once(m, v + HART.x + ((word >> 8) & 255), found)
    return status


@kernel
def csr_denied(m, v, csr, writes):
    """1 if this privilege may not access the CSR so: level, read-only, TVM, and the counter-enable registers."""
    priv = read_once(m, v + HART.priv)
    if priv < (csr >> 8) & 3 or (writes and csr >> 10 == 3):
        return 1
    if priv == PRIV_M:
        return 0
    if csr >= CSR.CYCLE and csr <= CSR.HPMCOUNTER31:
        bit = 1 << (csr & 31)
        if read_once(m, v + HART.mcounteren) & bit == 0:
            return 1
        return 1 if priv == PRIV_U and read_once(m, v + HART.scounteren) & bit == 0 else 0
    if csr == CSR.SATP:
        return 1 if priv == PRIV_S and read_once(m, v + HART.mstatus) & TVM else 0
    if csr == CSR.STIMECMP:
        return 0 if read_once(m, v + HART.menvcfg) < 0 and read_once(m, v + HART.mcounteren) & 2 else 1
    return 0


@kernel
def csr_place(csr):
    """The word of HART that is the CSR, COMPUTED, ZERO, or ABSENT."""
    level = (csr >> 8) & 3
    if level == 1:
        return csr_place_supervisor(csr)
    if level == 0:
        return counter_place(csr)
    if level == 2:
        return ABSENT
    if csr >= CSR.MCYCLE and csr <= CSR.MHPMCOUNTER31:
        return ABSENT if csr == CSR.MCYCLE + 1 else counter_place(CSR.CYCLE | (csr & 31))
    if csr >= CSR.PMPADDR0 and csr <= CSR.PMPADDR15:
        return HART.pmpaddr + (csr & 15)
    if csr == CSR.PMPCFG0 or csr == CSR.PMPCFG2:
        return HART.pmpcfg + (csr & 3)
    if csr == CSR.MCOUNTINHIBIT or (csr >= CSR.MHPMEVENT3 and csr <= CSR.MHPMEVENT31) or (csr >= CSR.TSELECT and csr <= CSR.TDATA3):
        return ZERO
    if csr == CSR.MHARTID:
        return COMPUTED
    if csr >= CSR.MVENDORID and csr <= CSR.MCONFIGPTR:
        return ZERO
    return csr_place_machine(csr)


@kernel
def counter_place(csr):
    """Unprivileged counters."""
    if csr >= CSR.CYCLE and csr <= CSR.INSTRET:
        return COMPUTED
    return ZERO if csr >= CSR.HPMCOUNTER3 and csr <= CSR.HPMCOUNTER31 else ABSENT


@kernel
def csr_place_supervisor(csr):
    """csr_place for S-mode's."""
    if csr == CSR.SSTATUS or csr == CSR.SIE or csr == CSR.SIP:
        return COMPUTED
    if csr == CSR.STVEC:
        return HART.stvec
    if csr == CSR.SCOUNTEREN:
        return HART.scounteren
    if csr == CSR.SENVCFG:
        return HART.senvcfg
    if csr == CSR.SSCRATCH:
        return HART.sscratch
    if csr == CSR.SEPC:
        return HART.sepc
    if csr == CSR.SCAUSE:
        return HART.scause
    if csr == CSR.STVAL:
        return HART.stval
    if csr == CSR.STIMECMP:
        return HART.stimecmp
    return HART.satp if csr == CSR.SATP else ABSENT


@kernel
def csr_place_machine(csr):
    """csr_place for what is left of M-mode's."""
    if csr == CSR.MSTATUS or csr == CSR.MISA or csr == CSR.MIP:
        return COMPUTED
    if csr == CSR.MEDELEG:
        return HART.medeleg
    if csr == CSR.MIDELEG:
        return HART.mideleg
    if csr == CSR.MIE:
        return HART.mie
    if csr == CSR.MTVEC:
        return HART.mtvec
    if csr == CSR.MCOUNTEREN:
        return HART.mcounteren
    if csr == CSR.MENVCFG:
        return HART.menvcfg
    if csr == CSR.MSCRATCH:
        return HART.mscratch
    if csr == CSR.MEPC:
        return HART.mepc
    if csr == CSR.MCAUSE:
        return HART.mcause
    return HART.mtval if csr == CSR.MTVAL else ABSENT


@kernel
def csr_read(m, v, csr, place):
    """What the CSR reads as."""
    if place > 0:
        return read_once(m, v + place)
    if place == ZERO:
        return 0
    if csr == CSR.SSTATUS:
        return (read_once(m, v + HART.mstatus) | UXL_SXL) & SSTATUS_MASK
    if csr == CSR.MSTATUS:
        return read_once(m, v + HART.mstatus) | UXL_SXL
    if csr == CSR.SIE:
        return read_once(m, v + HART.mie) & read_once(m, v + HART.mideleg)
    if csr == CSR.TIME:
        return mtime(m, v)
    if csr == CSR.CYCLE or csr == CSR.MCYCLE:
        return wrap(read_once(m, v + HART.instret) + read_once(m, v + HART.cycle_offset))
    if csr == CSR.INSTRET or csr == CSR.MINSTRET:
        return read_once(m, v + HART.instret)
    if csr == CSR.MISA:
        return MISA
    if csr == CSR.MHARTID:
        return read_once(m, v + VCPU.hart_id)
    update_timer(m, v)
    pending = pending_interrupts(m, v)
    return pending & read_once(m, v + HART.mideleg) if csr == CSR.SIP else pending
