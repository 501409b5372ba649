"""What the tests of vm share: tiny guests made of a few instructions, ELFs made and damaged, machines that are always stopped."""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager

import numpy as np

from gnomon.guests import path
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.machine import Machine

MIB = 1 << 20
LONG = 240.0
"""Seconds that nothing here takes, however busy the machine is: who waits as long has met a fault."""

UART, CLINT, FINISHER = 0x1000_0000, 0x200_0000, 0x10_0000
ZERO, RA, T0, T1, T2, S0, A0, A1, A2 = 0, 1, 5, 6, 7, 8, 10, 11, 12


def lui(rd, value):
    return (value & 0xFFFFF000) | rd << 7 | 0x37


def addi(rd, rs, value):
    return (value & 0xFFF) << 20 | rs << 15 | rd << 7 | 0x13


def load(rd, rs, offset, width):
    return (offset & 0xFFF) << 20 | rs << 15 | {1: 4, 2: 5, 4: 2, 8: 3}[width] << 12 | rd << 7 | 0x03


def store(source, rs, offset, width):
    low, high = offset & 31, (offset >> 5) & 127
    return high << 25 | source << 20 | rs << 15 | {1: 0, 2: 1, 4: 2, 8: 3}[width] << 12 | low << 7 | 0x23


def branch(kind, a, b, offset):
    bits = (offset >> 12 & 1) << 31 | (offset >> 5 & 63) << 25 | (offset >> 1 & 15) << 8 | (offset >> 11 & 1) << 7
    return bits | b << 20 | a << 15 | {"eq": 0, "ne": 1, "lt": 4}[kind] << 12 | 0x63


def slli(rd, rs, count):
    return count << 20 | rs << 15 | 1 << 12 | rd << 7 | 0x13


LOOP = 0x6F  # jal x0, 0
WFI = 0x10500073


def constant(rd, value):
    """lui + addi for a 32-bit value that is positive as such."""
    upper = (value + 0x800) & 0xFFFFF000
    return [lui(rd, upper), slli(rd, rd, 32), 0x02005013 | rd << 15 | rd << 7, addi(rd, rd, value - upper)]  # srli 32: no sign


def finish(code=0):
    """End the machine with `code`."""
    return [*constant(T0, FINISHER), *constant(T1, code << 16 | 0x3333 if code else 0x5555), store(T1, T0, 0, 4), LOOP]


def elf(code, *, at=RAM_BASE, entry=None, machine=243, kind=2, klass=2, order=1, memsz=None, filesz=None, symbols=None) -> bytes:
    """An ELF64 of one segment. `code` is bytes or instruction words; `symbols` a dict of name to address."""
    body = code if isinstance(code, bytes) else b"".join(struct.pack("<I", word & 0xFFFFFFFF) for word in code)
    offset = 0x1000
    sections, names = b"", b"\0.symtab\0.strtab\0.shstrtab\0"
    shoff = shnum = shstr = 0
    tail = b""
    if symbols:
        strings, table = b"\0", struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
        for name, value in symbols.items():
            table += struct.pack("<IBBHQQ", len(strings), 0x10, 0, 0xFFF1, value, 8)
            strings += name.encode() + b"\0"
        start = offset + len(body) + (-len(body)) % 8
        places = [start, start + len(table), start + len(table) + len(strings)]
        tail = b"\0" * ((-len(body)) % 8) + table + strings + names
        shoff, shnum, shstr = offset + len(body) + len(tail), 4, 3
        header = struct.Struct("<IIQQQQIIQQ")
        sections = header.pack(*[0] * 10)
        sections += header.pack(1, 2, 0, 0, places[0], len(table), 2, 1, 8, 24)
        sections += header.pack(9, 3, 0, 0, places[1], len(strings), 0, 0, 1, 0)
        sections += header.pack(17, 3, 0, 0, places[2], len(names), 0, 0, 1, 0)
    ident = b"\x7fELF" + bytes([klass, order, 1]) + b"\0" * 9
    ident += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry or at, 64, shoff, 0, 64, 56, 1, 64, shnum, shstr)
    size = len(body)
    program = struct.pack("<IIQQQQQQ", 1, 7, offset, at, at, size if filesz is None else filesz, size if memsz is None else memsz, 0x1000)
    return (ident + program).ljust(offset, b"\0") + body + tail + sections


@contextmanager
def machine(guest=None, *, memory=8 * MIB, harts=1, bootargs="", **shape):
    """A machine with its console in `.console`, stopped at the end of the with, leaving no thread."""
    console = bytearray()
    made = Machine(memory, harts, console=console.extend, **shape)
    made.console = console
    try:
        if guest is not None:
            made.load(guest, bootargs=bootargs)
        yield made
    finally:
        made.stop()
    started = [*made._threads._threads, made._threads._console]
    assert not any(thread and thread.is_alive() for thread in started), "a thread is left"


def ram_of(made, indices):
    """What the pages at `indices` hold, a row each."""
    data, zero = np.zeros((len(indices), 4096), np.uint8), np.zeros(len(indices), np.uint8)
    made.read_pages(indices, data, zero)
    data[zero == 1] = 0
    return data


def take(made, log, copy):
    """Harvest the log and copy what was written, as a round of a migration does."""
    snapshot = log.harvest()
    copy[snapshot.gfns] = ram_of(made, snapshot.gfns)
    snapshot.commit()


def dirty_guest(running, **arguments):
    """Load the `dirty` guest with these boot arguments into a machine."""
    return running.load(path("dirty"), bootargs=" ".join(f"{k}={v}" for k, v in arguments.items()))


def until(condition, what="it"):
    """Wait for a condition."""
    limit = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < limit, f"{what} does not come"
        time.sleep(0.002)
