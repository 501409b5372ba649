"""system: what the loop does not do itself, one instruction at a time.

Memory accesses that missed the TLB or are misaligned, the A extension, CSRs, traps and returns from them, WFI, SFENCE.VMA.

Guarantees Y1  HART.pc and HART.instret move on if the instruction retires, and else not
Context    guest mode, which only SFENCE.VMA leaves in between, to sync guest tables
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.access import is_load, load_slow, store_slow
from gnomon.hart.amo import atomic
from gnomon.hart.csr import csr_access
from gnomon.hart.exits import DONE, EVENTS, EXIT_SBI, EXIT_WFI, MISS, TRAPPED, retire
from gnomon.hart.interrupt import pending_interrupts, update_timer
from gnomon.hart.state import HART, PRIV_M, PRIV_S, forget_fetches
from gnomon.hart.status import TSR, TVM, TW
from gnomon.hart.trap import CAUSE_BREAKPOINT, CAUSE_ECALL_U, CAUSE_ILLEGAL, mret, sret, take_exception
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.mmu.fence import mmu_sfence


@kernel
def execute_slow(m, v, word, raw):
    """Execute the instruction `raw`, decoded as `word`, at HART.pc with HART.next_pc and HART.instret set. Returns a status of exits.py."""
    op = word & 255
    status = DONE
    if op == OP.ILLEGAL:
        status = take_exception(m, v, CAUSE_ILLEGAL, raw if raw & 3 == 3 else raw & 0xFFFF)
    elif op < OP.SLOW and is_load(op):
        status = load_slow(m, v, word)
    elif op < OP.SLOW:
        status = store_slow(m, v, word)
    elif op <= OP.CSRRCI:
        status = csr_access(m, v, word, raw)
    elif op >= OP.LR_W:
        status = atomic(m, v, word)
    else:
        status = privileged(m, v, word, raw)
    if status != TRAPPED and status != MISS:
        retire(m, v)
    return status


@kernel
def privileged(m, v, word, raw):
    """ecall, ebreak, mret, sret, wfi, sfence.vma."""
    op = word & 255
    priv = read_once(m, v + HART.priv)
    status = read_once(m, v + HART.mstatus)
    if op == OP.ECALL:
        if priv == PRIV_S and read_once(m, v + HART.sbi):
            return EXIT_SBI
        return take_exception(m, v, CAUSE_ECALL_U + priv, 0)
    if op == OP.EBREAK:
        return take_exception(m, v, CAUSE_BREAKPOINT, read_once(m, v + HART.pc))
    if op == OP.MRET and priv == PRIV_M:
        return mret(m, v)
    if op == OP.SRET and (priv == PRIV_M or (priv == PRIV_S and status & TSR == 0)):
        return sret(m, v)
    if op == OP.WFI and (priv == PRIV_M or (priv == PRIV_S and status & TW == 0)):
        update_timer(m, v)
        return EVENTS if pending_interrupts(m, v) & read_once(m, v + HART.mie) else EXIT_WFI
    if op == OP.SFENCE_VMA and (priv == PRIV_M or (priv == PRIV_S and status & TVM == 0)):
        rs1 = (word >> 16) & 31
        mmu_sfence(m, v, read_once(m, v + HART.x + rs1), 1 if rs1 else 0)
        forget_fetches(m, v)
        return DONE
    return take_exception(m, v, CAUSE_ILLEGAL, raw)
