"""chunk: the loop over instructions.

An instruction costs one read of its bits, one look into the decode cache and one jump through a table. The cache is looked up by
pc, which is at hand before the bits are, but an entry counts only if its tag is the bits. Everything that can wait is looked at
between chunks (execute.py). What the loop does not do itself it hands to execute_slow, with pc and instret spilled.

The chain of operations must stay flat, with constants: LLVM makes it one jump table.

Guarantees R1  the loop's own copies are not older than what execute_slow did: regime is read again, page is dropped when FETCH.valid was
           R2  a decoded word is used only if its tag is the very bits read from memory for this execution
           R3  a chunk ends after as many attempts as it was given, so traps and retries cannot hold it open
Context    guest mode, which is not left: what needs the MMU's help ends the chunk with MISS
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.decode import decode, instruction_length
from gnomon.hart.divide import divided, divided_unsigned, remainder, remainder_unsigned
from gnomon.hart.exits import DONE, EVENTS, MISS
from gnomon.hart.fetch import fetch_slow
from gnomon.hart.state import DECODE_ENTRIES, FETCH, HART
from gnomon.hart.system import execute_slow
from gnomon.lang import kernel
from gnomon.lang.arith import mul, mulh, mulhsu, mulhu, sar, sext32, shl, shr, ult, wrap, zext32
from gnomon.lang.atomics import mb, read_once, rmb, wmb, write_once
from gnomon.lang.guest_memory import (
    fetch32,
    load8,
    load8s,
    load16,
    load16s,
    load32,
    load32s,
    load64,
    store8,
    store16,
    store32,
    store64,
)
from gnomon.mmu.tlb import PAGE_MASK, TLB_ADDEND, TLB_READ, TLB_WRITE, tlb_entry
from gnomon.mmu.vcpu import VCPU


@kernel
def run_chunk(m, v, chunk):
    """Execute at most `chunk` instructions. Returns an EXIT code, or a status <= 0 for "next chunk"."""
    regs = v + HART.x
    table = read_once(m, v + HART.decode)
    pc = read_once(m, v + HART.pc)
    retired = read_once(m, v + HART.instret) + chunk
    regime = read_once(m, v + VCPU.data_regime)
    left = chunk
    page = wrap(pc + 8192)  # no page that pc is in: look it up
    addend = 0
    while left > 0:
        raw = 0
        if ult(pc - page, 4094):
            raw = fetch32(m, pc + addend)
        else:
            write_once(m, v + HART.pc, pc)
            raw = fetch_slow(m, v, pc)
            if raw < 0:
                write_once(m, v + HART.instret, retired - left)
                return MISS
            page = read_once(m, v + HART.fetch_page)
            addend = read_once(m, v + HART.fetch_addend)
        slot = table + (pc & (2 * DECODE_ENTRIES - 2))
        word = read_once(m, slot + 1)
        if read_once(m, slot) != raw:
            word = decode(raw)
            write_once(m, slot, raw)
            write_once(m, slot + 1, word)
        left -= 1
        op = word & 255
        rd = regs + ((word >> 8) & 255)
        a = read_once(m, regs + ((word >> 16) & 255))
        b = read_once(m, regs + ((word >> 24) & 255))
        imm = word >> 32
        slow = 0
        if op == OP.ADDI:
            write_once(m, rd, a + imm)
        elif op == OP.ADD:
            write_once(m, rd, a + b)
        elif op == OP.LD:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime and va & 7 == 0:
                write_once(m, rd, load64(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LW:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime and va & 3 == 0:
                write_once(m, rd, load32s(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LWU:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime and va & 3 == 0:
                write_once(m, rd, load32(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LH:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime and va & 1 == 0:
                write_once(m, rd, load16s(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LHU:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime and va & 1 == 0:
                write_once(m, rd, load16(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LB:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime:
                write_once(m, rd, load8s(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.LBU:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_READ) == (va & PAGE_MASK) | regime:
                write_once(m, rd, load8(m, va + read_once(m, tlb + TLB_ADDEND)))
            else:
                slow = 1
        elif op == OP.SD:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_WRITE) == (va & PAGE_MASK) | regime and va & 7 == 0:
                store64(m, va + read_once(m, tlb + TLB_ADDEND), b)
            else:
                slow = 1
        elif op == OP.SW:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_WRITE) == (va & PAGE_MASK) | regime and va & 3 == 0:
                store32(m, va + read_once(m, tlb + TLB_ADDEND), b)
            else:
                slow = 1
        elif op == OP.SH:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_WRITE) == (va & PAGE_MASK) | regime and va & 1 == 0:
                store16(m, va + read_once(m, tlb + TLB_ADDEND), b)
            else:
                slow = 1
        elif op == OP.SB:
            va = wrap(a + imm)
            tlb = tlb_entry(m, v, va)
            if read_once(m, tlb + TLB_WRITE) == (va & PAGE_MASK) | regime:
                store8(m, va + read_once(m, tlb + TLB_ADDEND), b)
            else:
                slow = 1
        elif op == OP.BEQ:
            if a == b:
                pc = wrap(pc + imm)
                continue
        elif op == OP.BNE:
            if a != b:
                pc = wrap(pc + imm)
                continue
        elif op == OP.BLT:
            if a < b:
                pc = wrap(pc + imm)
                continue
        elif op == OP.BGE:
            if a >= b:
                pc = wrap(pc + imm)
                continue
        elif op == OP.BLTU:
            if ult(a, b):
                pc = wrap(pc + imm)
                continue
        elif op == OP.BGEU:
            if ult(a, b) == 0:
                pc = wrap(pc + imm)
                continue
        elif op == OP.JAL:
            write_once(m, rd, pc + instruction_length(raw))
            pc = wrap(pc + imm)
            continue
        elif op == OP.JALR:
            write_once(m, rd, pc + instruction_length(raw))
            pc = wrap(a + imm) & -2
            continue
        elif op == OP.LUI:
            write_once(m, rd, imm)
        elif op == OP.AUIPC:
            write_once(m, rd, pc + imm)
        elif op == OP.SLTI:
            write_once(m, rd, 1 if a < imm else 0)
        elif op == OP.SLTIU:
            write_once(m, rd, ult(a, imm))
        elif op == OP.XORI:
            write_once(m, rd, a ^ imm)
        elif op == OP.ORI:
            write_once(m, rd, a | imm)
        elif op == OP.ANDI:
            write_once(m, rd, a & imm)
        elif op == OP.SLLI:
            write_once(m, rd, shl(a, imm))
        elif op == OP.SRLI:
            write_once(m, rd, shr(a, imm))
        elif op == OP.SRAI:
            write_once(m, rd, sar(a, imm))
        elif op == OP.ADDIW:
            write_once(m, rd, sext32(a + imm))
        elif op == OP.SLLIW:
            write_once(m, rd, sext32(shl(a, imm)))
        elif op == OP.SRLIW:
            write_once(m, rd, sext32(shr(zext32(a), imm)))
        elif op == OP.SRAIW:
            write_once(m, rd, sar(sext32(a), imm))
        elif op == OP.SUB:
            write_once(m, rd, a - b)
        elif op == OP.SLL:
            write_once(m, rd, shl(a, b))
        elif op == OP.SLT:
            write_once(m, rd, 1 if a < b else 0)
        elif op == OP.SLTU:
            write_once(m, rd, ult(a, b))
        elif op == OP.XOR:
            write_once(m, rd, a ^ b)
        elif op == OP.SRL:
            write_once(m, rd, shr(a, b))
        elif op == OP.SRA:
            write_once(m, rd, sar(a, b))
        elif op == OP.OR:
            write_once(m, rd, a | b)
        elif op == OP.AND:
            write_once(m, rd, a & b)
        elif op == OP.ADDW:
            write_once(m, rd, sext32(a + b))
        elif op == OP.SUBW:
            write_once(m, rd, sext32(a - b))
        elif op == OP.SLLW:
            write_once(m, rd, sext32(shl(a, b & 31)))
        elif op == OP.SRLW:
            write_once(m, rd, sext32(shr(zext32(a), b & 31)))
        elif op == OP.SRAW:
            write_once(m, rd, sar(sext32(a), b & 31))
        elif op == OP.MUL:
            write_once(m, rd, mul(a, b))
        elif op == OP.MULH:
            write_once(m, rd, mulh(a, b))
        elif op == OP.MULHSU:
            write_once(m, rd, mulhsu(a, b))
        elif op == OP.MULHU:
            write_once(m, rd, mulhu(a, b))
        elif op == OP.MULW:
            write_once(m, rd, sext32(mul(a, b)))
        elif op == OP.DIV:
            write_once(m, rd, divided(a, b))
        elif op == OP.DIVU:
            write_once(m, rd, divided_unsigned(a, b))
        elif op == OP.REM:
            write_once(m, rd, remainder(a, b))
        elif op == OP.REMU:
            write_once(m, rd, remainder_unsigned(a, b))
        elif op == OP.DIVW:
            write_once(m, rd, sext32(divided(sext32(a), sext32(b))))
        elif op == OP.DIVUW:
            write_once(m, rd, sext32(divided_unsigned(zext32(a), zext32(b))))
        elif op == OP.REMW:
            write_once(m, rd, sext32(remainder(sext32(a), sext32(b))))
        elif op == OP.REMUW:
            write_once(m, rd, sext32(remainder_unsigned(zext32(a), zext32(b))))
        elif op == OP.FENCE:
            mb()  # earlier stores before later loads
        elif op == OP.FENCE_TSO:
            rmb()
            wmb()  # both together order everything but store before load
        elif op == OP.FENCE_I:
            pass  # the bits are read anew for every execution: nothing to forget
        else:
            slow = 1
        if slow == 0:
            pc = wrap(pc + instruction_length(raw))
            continue
        write_once(m, v + HART.pc, pc)
        write_once(m, v + HART.word, word)
        write_once(m, v + HART.next_pc, pc + instruction_length(raw))
        write_once(m, v + HART.instret, retired - left - 1)
        status = execute_slow(m, v, word, raw)
        if status > 0 or status == EVENTS or status == MISS:
            return status
        pc = read_once(m, v + HART.pc)
        retired = read_once(m, v + HART.instret) + left
        regime = read_once(m, v + VCPU.data_regime)
        if read_once(m, v + FETCH.valid) == 0:
            page = wrap(pc + 8192)
    write_once(m, v + HART.pc, pc)
    write_once(m, v + HART.instret, retired)
    return DONE
