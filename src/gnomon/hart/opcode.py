"""opcode: the operations that instructions decode to, and the word that holds a decoded instruction.

    bits  0…7   operation      8…15  word of rd from x0 (32 = scratch, for x0)      16…23 rs1      24…31 rs2      32…63 immediate, signed

Used as `from gnomon.hart import opcode as OP`: OP.ADD is a constant. Plain ints of a module and not a record,
because Numba rebuilds a whole record at each use of one of its fields.

Operations below SLOW are done inside the loop of chunk.py; the others in kernels of their own. ILLEGAL is 0, and the
all-zero instruction is illegal, so a zeroed decode cache is a right one.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shl

ILLEGAL = 0

ADDI, ADD, LD, SD, LW, SW = 1, 2, 3, 4, 5, 6
BEQ, BNE, BLT, BGE, BLTU, BGEU = 7, 8, 9, 10, 11, 12
JAL, JALR, LUI, AUIPC = 13, 14, 15, 16
LB, LH, LBU, LHU, LWU, SB, SH = 17, 18, 19, 20, 21, 22, 23
SLTI, SLTIU, XORI, ORI, ANDI, SLLI, SRLI, SRAI = 24, 25, 26, 27, 28, 29, 30, 31
ADDIW, SLLIW, SRLIW, SRAIW = 32, 33, 34, 35
SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND = 36, 37, 38, 39, 40, 41, 42, 43, 44
ADDW, SUBW, SLLW, SRLW, SRAW = 45, 46, 47, 48, 49
MUL, MULH, MULHSU, MULHU, MULW = 50, 51, 52, 53, 54
DIV, DIVU, REM, REMU, DIVW, DIVUW, REMW, REMUW = 55, 56, 57, 58, 59, 60, 61, 62
FENCE, FENCE_TSO, FENCE_I = 63, 64, 65

SLOW = 66
CSRRW, CSRRS, CSRRC, CSRRWI, CSRRSI, CSRRCI = 66, 67, 68, 69, 70, 71
ECALL, EBREAK, MRET, SRET, WFI, SFENCE_VMA = 72, 73, 74, 75, 76, 77
LR_W, LR_D, SC_W, SC_D, AMO_W, AMO_D = 78, 79, 80, 81, 82, 83

OPS = {name: value for name, value in list(globals().items()) if name.isupper() and name != "SLOW"}
"""Number of each operation by name, for tests and for printing."""

RD_SCRATCH = 32


@kernel
def packed(op, rd, rs1, rs2, imm):
    """The decoded word of an instruction."""
    target = rd
    if rd == 0:
        target = RD_SCRATCH
    return op | (target << 8) | (rs1 << 16) | (rs2 << 24) | shl(imm, 32)
