"""console: two rings of characters between the guest and the machine's console thread, a word a character.

Owns       DEV.output (many harts put, one thread takes), DEV.input (one thread puts, many harts take)
Guarantees C1  a character is in the ring before the head that counts it is seen, and out of it before the tail is (release / acquire)
           C2  nothing is dropped: a put into a full ring says so and the hart tries again
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.lang.host import futex_wait
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.vm.devices import DEV, INPUT_CHARS, OUTPUT_CHARS

ROOM_WAIT_NS = 500_000


@kernel
def console_put(m, vm, character):
    """Append to the output. Returns 1, or 0 if the ring is full."""
    spin_lock(m, vm + DEV.uart_lock)
    head = read_once(m, vm + DEV.output_head)
    space = int(head - load_acquire(m, vm + DEV.output_tail) < OUTPUT_CHARS)  # pairs with the store_release of console_take
    if space:
        write_once(m, vm + DEV.output + (head & (OUTPUT_CHARS - 1)), character & 255)
        store_release(m, vm + DEV.output_head, head + 1)
    spin_unlock(m, vm + DEV.uart_lock)
    return space


@kernel
def console_put_waiting(m, vm, character):
    """Append to the output, waiting for room while the console thread drains it: it does so also while the harts are paused."""
    while console_put(m, vm, character) == 0:
        tail = vm + DEV.output_tail
        futex_wait(m, tail, read_once(m, tail), ROOM_WAIT_NS)
    return 0


@kernel(entry=True)
def console_take(m, vm):
    """The next character of the output, -1 if there is none. The console thread only."""
    tail = read_once(m, vm + DEV.output_tail)
    if tail == load_acquire(m, vm + DEV.output_head):  # pairs with the store_release of console_put
        return -1
    character = read_once(m, vm + DEV.output + (tail & (OUTPUT_CHARS - 1)))
    store_release(m, vm + DEV.output_tail, tail + 1)
    return character


@kernel(entry=True)
def console_send(m, vm, character):
    """Append to the input. Returns 1, or 0 if the ring is full. The console thread only."""
    head = read_once(m, vm + DEV.input_head)
    if head - load_acquire(m, vm + DEV.input_tail) >= INPUT_CHARS:
        return 0
    write_once(m, vm + DEV.input + (head & (INPUT_CHARS - 1)), character & 255)
    store_release(m, vm + DEV.input_head, head + 1)
    return 1


@kernel
def console_has_input(m, vm):
    """1 if a character waits."""
    return int(load_acquire(m, vm + DEV.input_head) != read_once(m, vm + DEV.input_tail))


@kernel
def console_get(m, vm):
    """The next character of the input, -1 if there is none."""
    spin_lock(m, vm + DEV.uart_lock)
    tail = read_once(m, vm + DEV.input_tail)
    character = -1
    if tail != load_acquire(m, vm + DEV.input_head):
        character = read_once(m, vm + DEV.input + (tail & (INPUT_CHARS - 1)))
        store_release(m, vm + DEV.input_tail, tail + 1)
    spin_unlock(m, vm + DEV.uart_lock)
    return character
