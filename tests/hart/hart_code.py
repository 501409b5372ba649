"""Encoders of instructions, and random programs that stay inside their memory."""

from __future__ import annotations

import random

from gnomon.hart import opcode as OP
from gnomon.hart.decode import decode


def r_type(major, f3, f7, rd, rs1, rs2):
    return major | rd << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | f7 << 25


def i_type(major, f3, rd, rs1, imm):
    return major | rd << 7 | f3 << 12 | rs1 << 15 | (imm & 0xFFF) << 20


def s_type(f3, rs1, rs2, imm):
    return 0x23 | (imm & 31) << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | (imm >> 5 & 127) << 25


def b_type(f3, rs1, rs2, offset):
    high = (offset >> 12 & 1) << 31 | (offset >> 5 & 63) << 25
    return 0x63 | (offset >> 11 & 1) << 7 | (offset >> 1 & 15) << 8 | f3 << 12 | rs1 << 15 | rs2 << 20 | high


def jal(rd, offset):
    return 0x6F | rd << 7 | offset & 0xFF000 | (offset >> 11 & 1) << 20 | (offset >> 1 & 0x3FF) << 21 | (offset >> 20 & 1) << 31


def addi(rd, rs1, imm):
    return i_type(0x13, 0, rd, rs1, imm)


def load(size, rd, rs1, imm=0):
    return i_type(0x03, {1: 0, 2: 1, 4: 2, 8: 3}[size], rd, rs1, imm)


def store(size, rs1, rs2, imm=0):
    return s_type({1: 0, 2: 1, 4: 2, 8: 3}[size], rs1, rs2, imm)


def csrrw(rd, csr, rs1):
    return i_type(0x73, 1, rd, rs1, csr)


def csrrs(rd, csr, rs1=0):
    return i_type(0x73, 2, rd, rs1, csr)


def csrrc(rd, csr, rs1):
    return i_type(0x73, 3, rd, rs1, csr)


def amo(function, size, rd, rs1, rs2=0):
    return r_type(0x2F, 3 if size == 8 else 2, function << 2, rd, rs1, rs2)


LR, SC, AMOADD, AMOSWAP = 2, 3, 0, 1
ECALL, EBREAK, MRET, SRET, WFI, NOP, FENCE_I = 0x73, 0x100073, 0x30200073, 0x10200073, 0x10500073, 0x13, 0x100F
SPIN = jal(0, 0)

BASES = (2, 8, 9)  # hold addresses of data, never written
_OPS = [(0x33, f3, f7) for f7 in (0, 1) for f3 in range(8)] + [(0x33, 0, 0x20), (0x33, 5, 0x20)]
_OPS += [(0x3B, f3, 0) for f3 in (0, 1, 5)] + [(0x3B, 0, 0x20), (0x3B, 5, 0x20)] + [(0x3B, f3, 1) for f3 in (0, 4, 5, 6, 7)]
_AMOS = (0, 1, 4, 8, 12, 16, 20, 24, 28)
_EDGES = (0, 1, -1, 1 << 63, (1 << 63) - 1, 1 << 31, -(1 << 31), (1 << 31) - 1, 0xFFFFFFFF)


def _compressed(r: random.Random) -> int:
    """Any 16-bit instruction that computes, or accesses memory through a base register."""
    while True:
        c = r.getrandbits(16)
        word = decode(c)
        op, rd, rs1 = word & 255, word >> 8 & 255, word >> 16 & 255
        if c & 3 == 3 or op == 0 or rd in BASES or OP.BEQ <= op <= OP.JALR or op >= OP.SLOW:
            continue
        if op in (OP.LW, OP.LD, OP.SW, OP.SD) and rs1 not in BASES:
            continue
        return c


def random_program(r: random.Random, count: int) -> list[int]:
    """About `count` instructions that end behind the last one, whatever the registers hold, given BASES in the middle of data."""
    code: list[int] = []
    free = [n for n in range(32) if n not in BASES]
    while len(code) < count:
        rd, rs1, rs2, base = r.choice(free), r.randrange(32), r.randrange(32), r.choice(BASES)
        kind = r.randrange(20)
        if kind < 5:
            major, f3, f7 = r.choice(_OPS)
            code.append(r_type(major, f3, f7, rd, rs1, rs2))
        elif kind < 8:
            f3, imm = r.randrange(8), r.getrandbits(12)
            imm = imm & 63 if f3 == 1 else imm & 0x43F if f3 == 5 else imm
            code.append(i_type(0x13, f3, rd, rs1, imm))
        elif kind < 9:
            f3 = r.choice((0, 1, 5))
            imm = r.getrandbits(12) & (0xFFF, 31, 0, 0, 0, 0x41F)[f3]
            code.append(i_type(0x1B, f3, rd, rs1, imm))
        elif kind < 10:
            code.append(r.choice((0x37, 0x17)) | rd << 7 | r.getrandbits(20) << 12)
        elif kind < 12:
            code.append(i_type(0x03, r.randrange(7), rd, base, r.getrandbits(12)))
        elif kind < 14:
            code.append(s_type(r.randrange(4), base, rs2, r.getrandbits(12)))
        elif kind < 15:
            code.append(amo(r.choice(_AMOS), r.choice((4, 8)), rd, base, rs2) | r.getrandbits(2) << 25)
        elif kind < 16:
            code.append(b_type(r.choice((0, 1, 4, 5, 6, 7)), rs1, rs2, r.choice((4, 8, 12))))
            code += [addi(r.choice(free), r.randrange(32), r.getrandbits(12)) for _ in range(2)]
        elif kind < 17:
            code += [jal(rd, 8), addi(r.choice(free), rs1, 1)]
        elif kind < 18:
            code.append(r.choice((0x0FF0000F, 0x0000100F, 0x8330000F)))
        else:
            code.append(_compressed(r))
    return code


def random_registers(r: random.Random, data: int) -> list[int]:
    values = [0] + [r.choice(_EDGES) if r.random() < 0.3 else r.getrandbits(64) for _ in range(31)]
    values[2], values[8], values[9] = data + 0x1800, data + 0x1000, data + 0x2000 - 8
    return [value & (1 << 64) - 1 for value in values]
