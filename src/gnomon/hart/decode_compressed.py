"""decode_compressed: the RVC encodings of RV64C, each to the operation of the instruction it abbreviates.

Without F and D the floating-point loads and stores of the C extension are illegal. Hints decode to what they are written as.
"""

from __future__ import annotations

from gnomon.hart import opcode as OP
from gnomon.hart.opcode import packed
from gnomon.lang import kernel


@kernel
def decode_compressed(c):
    """The decoded word of the 16-bit instruction `c` (quadrants 0, 1 and 2)."""
    quadrant = c & 3
    f3 = (c >> 13) & 7
    if quadrant == 0:
        return decode_quadrant_0(c, f3)
    if quadrant == 1:
        return decode_quadrant_1(c, f3)
    return decode_quadrant_2(c, f3)


@kernel
def decode_quadrant_0(c, f3):
    """Loads and stores with a register base, and addi4spn."""
    low = 8 + ((c >> 2) & 7)
    base = 8 + ((c >> 7) & 7)
    word_offset = ((c >> 7) & 0x38) | ((c >> 4) & 4) | ((c << 1) & 0x40)
    double_offset = ((c >> 7) & 0x38) | ((c << 1) & 0xC0)
    if f3 == 0:
        wide = ((c >> 7) & 0x30) | ((c >> 1) & 0x3C0) | ((c >> 4) & 4) | ((c >> 2) & 8)
        return packed(OP.ADDI, low, 2, 0, wide) if wide else 0
    if f3 == 2:
        return packed(OP.LW, low, base, 0, word_offset)
    if f3 == 3:
        return packed(OP.LD, low, base, 0, double_offset)
    if f3 == 6:
        return packed(OP.SW, 0, base, low, word_offset)
    if f3 == 7:
        return packed(OP.SD, 0, base, low, double_offset)
    return 0


@kernel
def decode_quadrant_1(c, f3):
    """Arithmetic with small immediates, jumps and branches."""
    rd = (c >> 7) & 31
    imm = ((c >> 2) & 31) - ((c >> 7) & 32)
    near = 8 + ((c >> 7) & 7)
    if f3 == 0:
        return packed(OP.ADDI, rd, rd, 0, imm)
    if f3 == 1:
        return packed(OP.ADDIW, rd, rd, 0, imm) if rd else 0
    if f3 == 2:
        return packed(OP.ADDI, rd, 0, 0, imm)
    if f3 == 3:
        if rd == 2:
            wide = ((c >> 2) & 0x10) | ((c << 1) & 0x40) | ((c << 4) & 0x180) | ((c << 3) & 0x20) | (-((c >> 12) & 1) << 9)
            return packed(OP.ADDI, 2, 2, 0, wide) if wide else 0
        return packed(OP.LUI, rd, 0, 0, imm << 12) if imm else 0
    if f3 == 4:
        return decode_misc_alu(c, near, imm)
    if f3 == 5:
        return packed(OP.JAL, 0, 0, 0, jump_offset(c))
    offset = (-((c >> 12) & 1) << 8) | ((c << 1) & 0xC0) | ((c << 3) & 0x20) | ((c >> 7) & 0x18) | ((c >> 2) & 6)
    return packed(OP.BEQ if f3 == 6 else OP.BNE, 0, near, 0, offset)


@kernel
def jump_offset(c):
    """The offset of c.j: 12 bits, well shuffled."""
    low = ((c >> 2) & 0xE) | ((c << 3) & 0x20) | ((c >> 7) & 0x10) | ((c << 1) & 0x80)
    return low | ((c >> 1) & 0x300) | ((c << 2) & 0x400) | ((c >> 1) & 0x40) | (-((c >> 12) & 1) << 11)


@kernel
def decode_misc_alu(c, rd, imm):
    """Quadrant 1, funct3 4: shifts, andi, and the two-register operations."""
    kind = (c >> 10) & 3
    rs2 = 8 + ((c >> 2) & 7)
    if kind == 0:
        return packed(OP.SRLI, rd, rd, 0, imm & 63)
    if kind == 1:
        return packed(OP.SRAI, rd, rd, 0, imm & 63)
    if kind == 2:
        return packed(OP.ANDI, rd, rd, 0, imm)
    function = ((c >> 10) & 4) | ((c >> 5) & 3)
    op = 0
    if function == 0:
        op = OP.SUB
    elif function == 1:
        op = OP.XOR
    elif function == 2:
        op = OP.OR
    elif function == 3:
        op = OP.AND
    elif function == 4:
        op = OP.SUBW
    elif function == 5:
        op = OP.ADDW
    return packed(op, rd, rd, rs2, 0) if op else 0


@kernel
def decode_quadrant_2(c, f3):
    """slli, loads and stores on the stack, register moves and jumps."""
    rd = (c >> 7) & 31
    rs2 = (c >> 2) & 31
    if f3 == 0:
        return packed(OP.SLLI, rd, rd, 0, rs2 | ((c >> 7) & 32))
    if f3 == 2:
        return packed(OP.LW, rd, 2, 0, ((c >> 2) & 0x1C) | ((c >> 7) & 0x20) | ((c << 4) & 0xC0)) if rd else 0
    if f3 == 3:
        return packed(OP.LD, rd, 2, 0, ((c >> 2) & 0x18) | ((c >> 7) & 0x20) | ((c << 4) & 0x1C0)) if rd else 0
    if f3 == 6:
        return packed(OP.SW, 0, 2, rs2, ((c >> 7) & 0x3C) | ((c >> 1) & 0xC0))
    if f3 == 7:
        return packed(OP.SD, 0, 2, rs2, ((c >> 7) & 0x38) | ((c >> 1) & 0x1C0))
    if f3 != 4:
        return 0
    if c & 0x1000 == 0:
        if rs2:
            return packed(OP.ADD, rd, 0, rs2, 0)
        return packed(OP.JALR, 0, rd, 0, 0) if rd else 0
    if rs2:
        return packed(OP.ADD, rd, rd, rs2, 0)
    if rd:
        return packed(OP.JALR, 1, rd, 0, 0)
    return packed(OP.EBREAK, 0, 0, 0, 0)
