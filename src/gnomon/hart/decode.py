"""decode: from the bits of an instruction to its decoded word. A pure function of the bits.

Because it is pure, what it said once stays true whatever the guest writes to memory: the decode cache is only ever looked up
with the very bits that memory holds now, so fence.i has nothing to do and code that changes itself is right at once.

Guarantees D1  every encoding that RV64IMAC, Zicsr, Zifencei and the privileged instructions of M, S and U do not define is OP.ILLEGAL
           D2  instruction_length(raw) is 2 unless the two low bits are 11 (longer ones than 4 bytes are OP.ILLEGAL of 4)
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.decode_compressed import decode_compressed
from gnomon.hart.opcode import packed
from gnomon.lang import kernel
from gnomon.lang.arith import sext32


@kernel
def instruction_length(raw):
    """2 or 4, from the two low bits alone."""
    return 2 + (((raw & 3) + 1) >> 2) * 2


@kernel(entry=True)
def decode(raw):
    """The decoded word of the instruction in `raw` (32 bits, zero-extended; a compressed one is in the low 16)."""
    if raw & 3 != 3:
        return decode_compressed(raw & 0xFFFF)
    word = sext32(raw)
    rd = (raw >> 7) & 31
    f3 = (raw >> 12) & 7
    rs1 = (raw >> 15) & 31
    rs2 = (raw >> 20) & 31
    f7 = (raw >> 25) & 127
    imm = word >> 20
    major = raw & 127
    if major == 0x03:
        op = load_op(f3)
        return packed(op, rd, rs1, 0, imm) if op else 0
    if major == 0x13:
        return decode_op_imm(raw, rd, f3, rs1, imm)
    if major == 0x17:
        return packed(OP.AUIPC, rd, 0, 0, word & -4096)
    if major == 0x1B:
        return decode_op_imm_32(rd, f3, rs1, f7, imm)
    if major == 0x23:
        op = store_op(f3)
        return packed(op, 0, rs1, rs2, ((word >> 25) << 5) | rd) if op else 0
    if major == 0x33:
        op = op_op(f7, f3)
        return packed(op, rd, rs1, rs2, 0) if op else 0
    if major == 0x37:
        return packed(OP.LUI, rd, 0, 0, word & -4096)
    if major == 0x3B:
        op = op_op_32(f7, f3)
        return packed(op, rd, rs1, rs2, 0) if op else 0
    if major == 0x63:
        op = branch_op(f3)
        offset = ((word >> 31) << 12) | ((raw & 0x80) << 4) | ((f7 & 63) << 5) | (rd & 30)
        return packed(op, 0, rs1, rs2, offset) if op else 0
    if major == 0x67:
        return packed(OP.JALR, rd, rs1, 0, imm) if f3 == 0 else 0
    if major == 0x6F:
        offset = ((word >> 31) << 20) | (raw & 0xFF000) | ((raw >> 9) & 0x800) | ((raw >> 20) & 0x7FE)
        return packed(OP.JAL, rd, 0, 0, offset)
    if major == 0x0F:
        return decode_misc_mem(raw, f3)
    if major == 0x2F:
        op = amo_op(f7 >> 2, f3, rs2)
        return packed(op, rd, rs1, rs2, f7) if op else 0
    if major == 0x73:
        return decode_system(raw, rd, f3, rs1, rs2, f7)
    return 0


@kernel
def load_op(f3):
    """LOAD by funct3, 0 if there is none."""
    if f3 == 0:
        return OP.LB
    if f3 == 1:
        return OP.LH
    if f3 == 2:
        return OP.LW
    if f3 == 3:
        return OP.LD
    if f3 == 4:
        return OP.LBU
    if f3 == 5:
        return OP.LHU
    if f3 == 6:
        return OP.LWU
    return 0


@kernel
def store_op(f3):
    """STORE by funct3, 0 if there is none."""
    if f3 == 0:
        return OP.SB
    if f3 == 1:
        return OP.SH
    if f3 == 2:
        return OP.SW
    if f3 == 3:
        return OP.SD
    return 0


@kernel
def branch_op(f3):
    """BRANCH by funct3, 0 if there is none."""
    if f3 == 0:
        return OP.BEQ
    if f3 == 1:
        return OP.BNE
    if f3 == 4:
        return OP.BLT
    if f3 == 5:
        return OP.BGE
    if f3 == 6:
        return OP.BLTU
    if f3 == 7:
        return OP.BGEU
    return 0


@kernel
def decode_op_imm(raw, rd, f3, rs1, imm):
    """OP-IMM: shifts have six bits of amount and six of function."""
    amount = (raw >> 20) & 63
    f6 = raw >> 26
    op = 0
    if f3 == 0:
        op = OP.ADDI
    elif f3 == 1:
        op = OP.SLLI if f6 == 0 else 0
    elif f3 == 2:
        op = OP.SLTI
    elif f3 == 3:
        op = OP.SLTIU
    elif f3 == 4:
        op = OP.XORI
    elif f3 == 5:
        op = OP.SRLI if f6 == 0 else OP.SRAI if f6 == 0x10 else 0
    elif f3 == 6:
        op = OP.ORI
    else:
        op = OP.ANDI
    if op == 0:
        return 0
    return packed(op, rd, rs1, 0, amount if f3 == 1 or f3 == 5 else imm)


@kernel
def decode_op_imm_32(rd, f3, rs1, f7, imm):
    """OP-IMM-32: addiw and the word shifts."""
    if f3 == 0:
        return packed(OP.ADDIW, rd, rs1, 0, imm)
    op = 0
    if f3 == 1 and f7 == 0:
        op = OP.SLLIW
    elif f3 == 5 and f7 == 0:
        op = OP.SRLIW
    elif f3 == 5 and f7 == 0x20:
        op = OP.SRAIW
    return packed(op, rd, rs1, 0, imm & 31) if op else 0


@kernel
def op_op(f7, f3):
    """OP by funct7 and funct3, 0 if there is none."""
    key = (f7 << 3) | f3
    if f7 == 0:
        if f3 == 0:
            return OP.ADD
        if f3 == 1:
            return OP.SLL
        if f3 == 2:
            return OP.SLT
        if f3 == 3:
            return OP.SLTU
        if f3 == 4:
            return OP.XOR
        if f3 == 5:
            return OP.SRL
        if f3 == 6:
            return OP.OR
        return OP.AND
    if key == 0x100:
        return OP.SUB
    if key == 0x105:
        return OP.SRA
    if f7 != 1:
        return 0
    if f3 == 0:
        return OP.MUL
    if f3 == 1:
        return OP.MULH
    if f3 == 2:
        return OP.MULHSU
    if f3 == 3:
        return OP.MULHU
    if f3 == 4:
        return OP.DIV
    if f3 == 5:
        return OP.DIVU
    if f3 == 6:
        return OP.REM
    return OP.REMU


@kernel
def op_op_32(f7, f3):
    """OP-32 by funct7 and funct3, 0 if there is none."""
    key = (f7 << 3) | f3
    if key == 0:
        return OP.ADDW
    if key == 1:
        return OP.SLLW
    if key == 5:
        return OP.SRLW
    if key == 0x100:
        return OP.SUBW
    if key == 0x105:
        return OP.SRAW
    if key == 8:
        return OP.MULW
    if key == 12:
        return OP.DIVW
    if key == 13:
        return OP.DIVUW
    if key == 14:
        return OP.REMW
    if key == 15:
        return OP.REMUW
    return 0


@kernel
def decode_misc_mem(raw, f3):
    """FENCE by what it orders: only "earlier stores before later loads" needs more than acquire and release. FENCE.I is free."""
    if f3 == 1:
        return packed(OP.FENCE_I, 0, 0, 0, 0)
    if f3 != 0:
        return 0
    stores_before_loads = (raw >> 24) & (raw >> 21) & 1
    if stores_before_loads and raw >> 28 != 8:  # 8 is fence.tso
        return packed(OP.FENCE, 0, 0, 0, 0)
    return packed(OP.FENCE_TSO, 0, 0, 0, 0)


@kernel
def amo_op(f5, f3, rs2):
    """AMO by funct5 and width, 0 if there is none."""
    if f3 != 2 and f3 != 3:
        return 0
    wide = f3 & 1
    if f5 == 2:
        return OP.LR_W + wide if rs2 == 0 else 0
    if f5 == 3:
        return OP.SC_W + wide
    if f5 == 1 or (f5 & 3 == 0):
        return OP.AMO_W + wide
    return 0


@kernel
def decode_system(raw, rd, f3, rs1, rs2, f7):
    """SYSTEM: CSR accesses carry the CSR's number as immediate, the uimm forms their value in rs1."""
    if f3 != 0 and f3 != 4:
        op = OP.CSRRW + (f3 & 3) - 1
        if f3 & 4:
            op += OP.CSRRWI - OP.CSRRW
        return packed(op, rd, rs1, 0, raw >> 20)
    if f3 == 4 or rd != 0:
        return 0
    if f7 == 9:
        return packed(OP.SFENCE_VMA, 0, rs1, rs2, 0)
    if raw == 0x00000073:
        return packed(OP.ECALL, 0, 0, 0, 0)
    if raw == 0x00100073:
        return packed(OP.EBREAK, 0, 0, 0, 0)
    if raw == 0x30200073:
        return packed(OP.MRET, 0, 0, 0, 0)
    if raw == 0x10200073:
        return packed(OP.SRET, 0, 0, 0, 0)
    if raw == 0x10500073:
        return packed(OP.WFI, 0, 0, 0, 0)
    return 0
