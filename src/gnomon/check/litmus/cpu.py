"""cpu: one kernel that runs the instructions of a litmus thread, checked and compiled alike.

A thread's code is INSTRUCTION_WORDS words an instruction at code_at(t): operation, register, word index, constant. Its registers
are words too. Code is never written and registers are touched by one thread only, so the explorer's scheduling points are
exactly the test's own accesses.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, mb, read_once, write_once, xchg

INSTRUCTION_WORDS = 4
CODE_AT, CODE_WORDS = 512, 256
REGISTERS_AT, REGISTERS = 128, 16
VARIABLES_AT, VARIABLE_STRIDE = 2560, 8
"""A variable a cache line, so that the host's own CPU reorders as it does in real programs."""
WORDS = 3072

END, SET, LOAD, STORE, STORE_CONSTANT, EXCHANGE, EXCHANGE_ADD, ADD_CONSTANT, FENCE, COPY = range(10)


@kernel
def run_thread(m, code, registers):
    """Run the instructions at `code` until END."""
    at = code
    while True:
        operation = read_once(m, at)
        register = registers + read_once(m, at + 1)
        word = read_once(m, at + 2)
        constant = read_once(m, at + 3)
        at += INSTRUCTION_WORDS
        if operation == END:
            return 0
        if operation == SET:
            write_once(m, register, constant)
        elif operation == LOAD:
            write_once(m, register, read_once(m, word))
        elif operation == STORE:
            write_once(m, word, read_once(m, register))
        elif operation == STORE_CONSTANT:
            write_once(m, word, constant)
        elif operation == EXCHANGE:
            write_once(m, register, xchg(m, word, read_once(m, register)))
        elif operation == EXCHANGE_ADD:
            write_once(m, register, fetch_add(m, word, read_once(m, register)))
        elif operation == ADD_CONSTANT:
            fetch_add(m, word, constant)
        elif operation == FENCE:
            mb()
        elif operation == COPY:
            write_once(m, register, read_once(m, registers + word))
