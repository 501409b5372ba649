"""Decode: is every encoding the instruction that binutils says it is, and every other one illegal?"""

import random
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.hart import opcode as OP
from gnomon.hart.decode import decode
from gnomon.lang import twin

OBJDUMP = shutil.which("riscv64-linux-gnu-objdump")
needs_objdump = pytest.mark.skipif(OBJDUMP is None, reason="no riscv64-linux-gnu-objdump")
NAMES = {number: name for name, number in OP.OPS.items()}


def fields(word):
    rd = word >> 8 & 255
    return NAMES[word & 255], 0 if rd == OP.RD_SCRATCH else rd, word >> 16 & 255, word >> 24 & 255, word >> 32


def disassembled(path, codes, size):
    path.write_bytes(b"".join(c.to_bytes(size, "little") for c in codes))
    command = [OBJDUMP, "-D", "-z", "-b", "binary", "-m", "riscv:rv64", "-M", "no-aliases,numeric", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) >= 3 and parts[0].strip().endswith(":"):
            found[int(parts[0].strip()[:-1], 16) // size] = (parts[2].strip(), parts[3].split("#")[0] if len(parts) > 3 else "")
    return [found.get(n, ("missing", "")) for n in range(len(codes))]


def registers(operands):
    """Operands as ints: registers x<n> first to last, then everything else."""
    regs = [int(n) for n in re.findall(r"\bx(\d+)\b", operands)]
    rest = [int(n, 0) for n in re.findall(r"(?<![\w])-?(?:0x[0-9a-f]+|\d+)(?!\w)", re.sub(r"\bx\d+\b", "", operands))]
    return regs, rest


def expanded(mnemonic, operands, at):
    """What a c.* instruction of objdump abbreviates, as fields() has it; None if RV64IMAC has no such instruction."""
    name = mnemonic[2:].upper()
    regs, rest = registers(operands)
    last = rest[0] if rest else 0
    match name:
        case "NOP":
            return ("ADDI", 0, 0, 0, last)
        case "ADDI" | "ADDIW" | "SLLI" | "SRLI" | "SRAI" | "ANDI":
            return (name, regs[0], regs[0], 0, last)
        case "SLLI64" | "SRLI64" | "SRAI64":
            return (name[:4], regs[0], regs[0], 0, 0)
        case "ADDI16SP" if last == 0:
            return None  # reserved, though binutils names it
        case "ADDI16SP" | "ADDI4SPN":
            return ("ADDI", regs[0], 2, 0, last)
        case "LI":
            return ("ADDI", regs[0], 0, 0, last)
        case "LUI":
            return ("LUI", regs[0], 0, 0, (last << 12 ^ 1 << 31) - (1 << 31))
        case "MV":
            return ("ADD", regs[0], 0, regs[1], 0)
        case "ADD" | "SUB" | "XOR" | "OR" | "AND" | "ADDW" | "SUBW":
            return (name, regs[0], regs[0], regs[1], 0)
        case "LW" | "LD" | "LWSP" | "LDSP":
            return (name[:2], regs[0], regs[1], 0, last)
        case "SW" | "SD" | "SWSP" | "SDSP":
            return (name[:2], 0, regs[1], regs[0], last)
        case "J":
            return ("JAL", 0, 0, 0, last - at)
        case "JR" | "JALR":
            return ("JALR", int(name == "JALR"), regs[0], 0, 0)
        case "BEQZ" | "BNEZ":
            return (name[:3], 0, regs[0], 0, last - at)
        case "EBREAK":
            return ("EBREAK", 0, 0, 0, 0)
    return None


@needs_objdump
def test_is_every_compressed_encoding_what_binutils_says(tmp_path):
    codes = [c for c in range(1 << 16) if c & 3 != 3]
    wrong = []
    for n, (c, (mnemonic, operands)) in enumerate(zip(codes, disassembled(tmp_path / "c", codes, 2), strict=True)):
        expected = expanded(mnemonic, operands, 2 * n) if mnemonic.startswith("c.") else None
        found = fields(decode(c))
        if found != (expected or ("ILLEGAL", 0, 0, 0, 0)):
            wrong.append((hex(c), mnemonic, operands, found))
    assert not wrong[:10]


def normal_words(count):
    r = random.Random(1)
    majors = [0x03, 0x13, 0x17, 0x1B, 0x23, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x0F, 0x2F, 0x73]
    for _ in range(count):
        word = r.getrandbits(25) << 7 | r.choice(majors)
        if r.random() < 0.5:  # few of all funct7 are defined
            word = word & 0x01FFFFFF | r.choice((0, 1, 0x20)) << 25
        yield word
    yield from (0x73, 0x100073, 0x30200073, 0x10200073, 0x10500073, 0x12000073, 0x12B50073, 0x30200173, 0x7B200073)


def operation(mnemonic):
    """Name of the operation that a mnemonic of RV64IMAC + Zicsr + Zifencei + privileged is, else ILLEGAL."""
    if re.fullmatch(r"(lr|sc)\.[wd](\.\w+)?", mnemonic):
        return mnemonic[:4].replace(".", "_").upper()
    if re.fullmatch(r"amo(add|swap|xor|or|and|min|max|minu|maxu)\.[wd](\.\w+)?", mnemonic):
        return "AMO_" + mnemonic.split(".")[1].upper()
    name = mnemonic.replace(".", "_").upper()
    return name if name in OP.OPS and "." not in mnemonic.replace("sfence.vma", "") else "ILLEGAL"


@needs_objdump
def test_is_every_normal_encoding_what_binutils_says(tmp_path):
    codes = list(normal_words(60000))
    wrong = []
    for n, (c, (mnemonic, operands)) in enumerate(zip(codes, disassembled(tmp_path / "n", codes, 4), strict=True)):
        name, rd, rs1, rs2, imm = fields(decode(c))
        expected = operation(mnemonic)
        regs, rest = registers(operands)
        ok = name == expected
        if c & 127 == 0x0F:  # the unused fields of FENCE and FENCE.I are ignored, as the specification asks
            ok = name in ("FENCE", "FENCE_TSO") if c >> 12 & 7 == 0 else name == ("FENCE_I" if c >> 12 & 7 == 1 else "ILLEGAL")
        elif ok and name != "ILLEGAL":
            major = c & 127
            if major in (0x33, 0x3B):
                ok = [rd, rs1, rs2] == regs
            elif major in (0x13, 0x1B, 0x03, 0x67):
                ok = [rd, rs1] == regs and [imm] == rest
            elif major == 0x23:
                ok = [rs2, rs1] == regs and [imm] == rest
            elif major == 0x63:
                ok = [rs1, rs2] == regs and [imm + 4 * n] == [((rest[0] ^ 1 << 63) - (1 << 63))]
            elif major == 0x6F:
                ok = [rd] == regs and imm + 4 * n == (rest[0] ^ 1 << 63) - (1 << 63)
            elif major in (0x17, 0x37):
                ok = [rd] == regs and (imm >> 12) & 0xFFFFF == rest[0]
            elif major == 0x2F:
                ok = [rd] == regs[:1] and rs1 == regs[-1] and (name.startswith("LR") or rs2 == regs[1]) and imm == c >> 25
            elif name.startswith("CSR"):
                ok = rd == regs[0] and imm & 0xFFF == c >> 20 and rs1 == (c >> 15 & 31)
        if not ok:
            wrong.append((hex(c), mnemonic, operands, (name, rd, rs1, rs2, imm)))
    assert not wrong[:10]


def test_are_longer_encodings_illegal():
    assert decode(0x1F) == decode(0x3F) == decode(0xFFFFFFFF) == decode(0) == OP.ILLEGAL


@given(st.integers(0, (1 << 32) - 1))
def test_does_the_twin_decode_alike(raw):
    assert twin(decode)(raw) == decode(raw)
