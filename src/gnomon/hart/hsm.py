"""hsm: harts that stop and are started by others (SBI's Hart State Management).

Owns       HART.hsm; HART.start_pc and HART.start_opaque belong to the hart that moved the state from STOPPED to PREPARING
Guarantees M1  of several harts that start one, one succeeds; its arguments are written before START_PENDING is seen
           M2  hsm_wait does not sleep through a start (as wfi_wait, I2)
Context    hsm_start: any hart, outside guest mode. hsm_park, hsm_stop, hsm_wait: the hart's own thread, outside guest mode
"""

from __future__ import annotations

from gnomon.hart.interrupt import hart_wake
from gnomon.hart.state import HART, HSM_START_PENDING, HSM_STARTED, HSM_STOPPED, NO_RESERVATION, PRIV_S, set_context
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release, write_once
from gnomon.lang.host import futex_wait
from gnomon.mmu.vcpu import VCPU

HSM_PREPARING = 16
"""A starter is writing the arguments; status says START_PENDING."""

SBI_SUCCESS, SBI_ERR_NOT_SUPPORTED, SBI_ERR_INVALID_PARAM, SBI_ERR_ALREADY_AVAILABLE = 0, -2, -3, -6


@kernel(entry=True)
def hsm_park(m, v):
    """Make a hart that was just reset wait for hart_start."""
    store_release(m, v + HART.hsm, HSM_STOPPED)
    return 0


@kernel
def hsm_start(m, target, pc, opaque):
    """Start the stopped hart `target` at `pc` with a1 = opaque. Returns an SBI error."""
    if cmpxchg(m, target + HART.hsm, HSM_STOPPED, HSM_PREPARING) != HSM_STOPPED:
        return SBI_ERR_ALREADY_AVAILABLE
    write_once(m, target + HART.start_pc, pc)
    write_once(m, target + HART.start_opaque, opaque)
    store_release(m, target + HART.hsm, HSM_START_PENDING)  # pairs with the load_acquire in hsm_wait(): forbids "pending, old arguments"
    hart_wake(m, target)
    return SBI_SUCCESS


@kernel
def hsm_status(m, target):
    """The state of a hart as SBI numbers it."""
    state = load_acquire(m, target + HART.hsm)
    return HSM_START_PENDING if state == HSM_PREPARING else state


@kernel(entry=True)
def hsm_wait(m, v, max_ns):
    """Sleep until another hart starts this one, at most `max_ns`. Returns 1 once it is started: its registers are set, run it."""
    seen = load_acquire(m, v + HART.wake)
    state = load_acquire(m, v + HART.hsm)
    if state == HSM_STARTED:
        return 1
    if state != HSM_START_PENDING:
        if read_once(m, v + VCPU.requests) == 0:
            futex_wait(m, v + HART.wake, seen, max_ns)
        if load_acquire(m, v + HART.hsm) != HSM_START_PENDING:
            return 0
    return hsm_begin(m, v)


@kernel
def hsm_begin(m, v):
    """The state in which SBI lets a started hart begin: S-mode, no translation, interrupts off, a0 = hart id, a1 = opaque. Returns 1."""
    write_once(m, v + HART.priv, PRIV_S)
    write_once(m, v + HART.mstatus, 0)
    write_once(m, v + HART.satp, 0)
    write_once(m, v + HART.mie, 0)
    write_once(m, v + HART.reservation_at, NO_RESERVATION)
    write_once(m, v + HART.pc, read_once(m, v + HART.start_pc))
    write_once(m, v + HART.x + 10, read_once(m, v + VCPU.hart_id))
    write_once(m, v + HART.x + 11, read_once(m, v + HART.start_opaque))
    set_context(m, v)
    store_release(m, v + HART.hsm, HSM_STARTED)
    return 1
