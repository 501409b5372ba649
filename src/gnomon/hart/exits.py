"""exits: how hart_run ends, and how the owner of the hart finishes what it could not do inside.

    EXIT_BUDGET    the budget is used up                        EXIT_WFI      sleep with wfi_wait, then run on
    EXIT_MMIO      perform the access in HART.mmio_*, then      EXIT_REQUEST  a request that is not the MMU's is pending
                   mmio_complete or mmio_fault                  EXIT_NOMEM    the host's pool is empty: run again later
    EXIT_SBI       an ecall of S-mode: sbi_call

Kernels of the hart layer pass the same numbers up, or one of the negative ones, which never leave hart_run.

Guarantees X1  outside hart_run, HART.pc is the next instruction to execute and x and every CSR are as that instruction sees them;
               after EXIT_MMIO and EXIT_NOMEM it is the instruction that was not completed
Context    the hart's own thread, outside guest mode
"""

from __future__ import annotations

from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import sar, shl, shr, wrap
from gnomon.lang.atomics import read_once, write_once

EXIT_BUDGET, EXIT_MMIO, EXIT_SBI, EXIT_WFI, EXIT_REQUEST, EXIT_NOMEM = 1, 2, 3, 4, 5, 6

DONE = 0  # the instruction retires
TRAPPED = -1  # it does not: HART.pc is the trap handler
RETRY = -2  # it does not: execute it again
EVENTS = -3  # it retires, and may have made an interrupt deliverable
MISS = -4  # it does not: HART.miss_va and miss_access say which translation it needs, miss.py gets it


@kernel
def retire(m, v):
    """Count the instruction and go on at HART.next_pc."""
    write_once(m, v + HART.pc, read_once(m, v + HART.next_pc))
    write_once(m, v + HART.instret, wrap(read_once(m, v + HART.instret) + 1))
    return DONE


@kernel
def miss(m, v, va, access):
    """The instruction needs the translation of `va` for `access`. Returns MISS."""
    write_once(m, v + HART.miss_va, va)
    write_once(m, v + HART.miss_access, access)
    return MISS


@kernel(entry=True)
def mmio_complete(m, v, value):
    """After EXIT_MMIO: the access is done; `value` is what a load read (its low bytes count). The instruction retires."""
    if read_once(m, v + HART.mmio_is_write) == 0:
        unused = 64 - 8 * read_once(m, v + HART.mmio_size)
        loaded = shl(value, unused)
        if read_once(m, v + HART.mmio_signed):
            loaded = sar(loaded, unused)
        else:
            loaded = shr(loaded, unused)
        write_once(m, v + read_once(m, v + HART.mmio_rd), loaded)
    return retire(m, v)
