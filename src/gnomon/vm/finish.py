"""finish: the ways in which a guest ends its machine: the SiFive test finisher, HTIF's tohost word, SBI's system reset.

DEV.ended holds exit code + 1 from the first of them on.
HTIF (Berkeley's riscv-tests): an odd tohost is exit code << 1 | 1; device 1, command 1 is putchar; device 0 with an even payload is a
system call block {number, three arguments}, of which write (64) and exit (93) are served.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shr
from gnomon.lang.atomics import cmpxchg, read_once
from gnomon.lang.guest_memory import load8, load64, store64
from gnomon.mmu.slot import backing, slot_index
from gnomon.mmu.track import host_stored
from gnomon.vm.console import console_put_waiting
from gnomon.vm.devices import DEV, RAM_BASE

FINISHER_PASS, FINISHER_FAIL, FINISHER_RESET = 0x5555, 0x3333, 0x7777
SYSCALL_WRITE, SYSCALL_EXIT = 64, 93
PAYLOAD_MASK = (1 << 48) - 1
MAX_WRITE = 4096


@kernel
def end_machine(m, vm, code):
    """The guest ends with exit code `code`; the first to say so counts."""
    return cmpxchg(m, vm + DEV.ended, 0, (code & 0xFFFF) + 1)


@kernel
def finisher_write(m, vm, value):
    """A store to the test finisher: 0x5555 passes, code << 16 | 0x3333 fails with that code, 0x7777 asks for a reset (ends with 0)."""
    command = value & 0xFFFF
    if command == FINISHER_FAIL:
        code = (value >> 16) & 0xFFFF
        end_machine(m, vm, code if code else 1)
    elif command == FINISHER_PASS or command == FINISHER_RESET:
        end_machine(m, vm, 0)
    return 1


@kernel
def ram_byte(m, vm, gpa):
    """Byte offset in the arena of guest physical address `gpa`, -1 if it is no RAM or was never touched."""
    index = slot_index(m, vm, gpa)
    if index < 0:
        return -1
    pfn = backing(m, vm, index)
    if pfn == 0:
        return -1
    return (pfn << 12) + (gpa & 4095)


@kernel
def htif_syscall(m, vm, t, block):
    """Serve the system call described at guest physical address `block`."""
    at = ram_byte(m, vm, block)
    if at < 0 or block & 31:
        return 0
    number = load64(m, at)
    if number == SYSCALL_EXIT:
        end_machine(m, vm, load64(m, at + 8))
    elif number == SYSCALL_WRITE:
        start = load64(m, at + 16)
        length = load64(m, at + 24)
        if length < 0 or length > MAX_WRITE:
            length = MAX_WRITE
        for n in range(length):
            character = ram_byte(m, vm, start + n)
            if character >= 0:
                console_put_waiting(m, vm, load8(m, character))
        store64(m, at, length)
        host_stored(m, vm, t, block, 8)
    return 0


@kernel
def htif_poll(m, vm, t):
    """Look at tohost, serve what it asks and answer in fromhost. Returns 1 if there was something."""
    offset = read_once(m, vm + DEV.htif_tohost)
    tohost = ram_byte(m, vm, RAM_BASE + offset)
    if offset < 0 or tohost < 0:
        return 0
    word = load64(m, tohost)
    if word == 0:
        return 0
    device = shr(word, 56)
    payload = word & PAYLOAD_MASK
    if device == 0 and payload & 1:
        end_machine(m, vm, payload >> 1)
        return 1
    if device == 1 and shr(word, 48) & 255 == 1:
        console_put_waiting(m, vm, payload)
    elif device == 0:
        htif_syscall(m, vm, t, payload)
    store64(m, tohost, 0)
    host_stored(m, vm, t, RAM_BASE + offset, 8)
    answer = read_once(m, vm + DEV.htif_fromhost)
    fromhost = ram_byte(m, vm, RAM_BASE + answer)
    if answer >= 0 and fromhost >= 0:
        store64(m, fromhost, 1 if device == 0 else word)
        host_stored(m, vm, t, RAM_BASE + answer, 8)
    return 1
