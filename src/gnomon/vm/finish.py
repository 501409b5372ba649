"""finish: the ways in which a guest ends its machine: the SiFive test finisher, HTIF's tohost word, SBI's system reset.

DEV.ended holds exit code + 1 from the first of them on.
HTIF (Berkeley's riscv-tests): an odd tohost is exit code << 1 | 1; device 1, command 1 is putchar; device 0 with an even payload is a
system call block {number, three arguments}, of which write (64) and exit (93) are served.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shr
from gnomon.lang.atomics import cmpxchg, read_once
from gnomon.lang.guest_memory import store64
from gnomon.mmu.host_access import host_load, host_store_begin, host_store_end
from gnomon.mmu.slot import slot_index
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
def store_word(m, vm, t, gpa, value):
    """Store the double word `value` at the aligned RAM address `gpa`, if there is a frame to be had for it."""
    at = host_store_begin(m, vm, t, gpa)
    if at >= 0:
        store64(m, at, value)
        host_store_end(m, vm, t, gpa, 8)
    return 0


@kernel
def htif_syscall(m, vm, t, block):
    """Serve the system call described at guest physical address `block`."""
    if block & 31:
        return 0
    number = host_load(m, vm, block, 8)
    if number == SYSCALL_EXIT:
        end_machine(m, vm, host_load(m, vm, block + 8, 8))
    elif number == SYSCALL_WRITE:
        start = host_load(m, vm, block + 16, 8)
        length = host_load(m, vm, block + 24, 8)
        if length < 0 or length > MAX_WRITE:
            length = MAX_WRITE
        for n in range(length):
            if slot_index(m, vm, start + n) >= 0:
                console_put_waiting(m, vm, host_load(m, vm, start + n, 1))
        store_word(m, vm, t, block, length)
    return 0


@kernel
def htif_poll(m, vm, t):
    """Look at tohost, serve what it asks and answer in fromhost. Returns 1 if there was something."""
    offset = read_once(m, vm + DEV.htif_tohost)
    if offset < 0:
        return 0
    word = host_load(m, vm, RAM_BASE + offset, 8)
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
    store_word(m, vm, t, RAM_BASE + offset, 0)
    answer = read_once(m, vm + DEV.htif_fromhost)
    if answer >= 0:
        store_word(m, vm, t, RAM_BASE + answer, 1 if device == 0 else word)
    return 1
