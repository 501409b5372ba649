"""interrupt: mip, the timer comparators, delivery, and sleeping in WFI.

Owns       HART.mip (atomically, by any thread), HART.wake, HART.mtimecmp
Guarantees I1  a bit raised by raise_interrupt is seen by the hart at its next chunk boundary
           I2  wfi_wait does not sleep through raise_interrupt, set_mtimecmp or hart_wake: all of them count `wake` up after what
               they changed, and the sleeper read `wake` before it looked (futex_wait then refuses to sleep on the old count)
           I3  MTIP is time >= mtimecmp, and STIP is time >= stimecmp where menvcfg.STCE is set, as of the last look at the clock;
               the clock is looked at on entry, every TIMER_CHUNKS chunks, when mip is read, and around a sleep
Context    raise_interrupt, clear_interrupt, set_mtimecmp, hart_wake: any thread. The others: the hart's own
"""

from __future__ import annotations

from gnomon.hart.state import HART, NEVER, PRIV_M, PRIV_S
from gnomon.hart.trap import INTERRUPT, MIE, SIE, enter_machine, enter_supervisor
from gnomon.lang import kernel
from gnomon.lang.arith import ctz, udiv, ult, wrap
from gnomon.lang.atomics import fetch_add, fetch_and, fetch_or, load_acquire, mb, read_once, store_release, write_once
from gnomon.lang.host import futex_wait, futex_wake, monotonic_ns
from gnomon.mmu.vcpu import VCPU

SSIP, MSIP, STIP, MTIP, SEIP, MEIP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 9, 1 << 11
TICK_NS = 100
"""Nanoseconds a tick of `time`: 10 MHz."""
FARTHEST_TICKS = NEVER // (2 * TICK_NS)
"""A comparator beyond this is never reached: its nanoseconds would not fit."""
TIMER_CHUNKS = 8
"""Chunks between two looks at the clock: 2,048 instructions, some ten microseconds."""


@kernel(entry=True)
def raise_interrupt(m, v, bits):
    """Set bits of mip, from any thread, and wake the hart if it sleeps."""
    fetch_or(m, v + HART.mip, bits)
    return hart_wake(m, v)


@kernel(entry=True)
def clear_interrupt(m, v, bits):
    """Clear bits of mip, from any thread."""
    fetch_and(m, v + HART.mip, ~bits)
    return 0


@kernel(entry=True)
def hart_wake(m, v):
    """Make a hart that sleeps in WFI, or is stopped, look again. Called after whatever it is to see was written (I2)."""
    fetch_add(m, v + HART.wake, 1)  # full barrier, pairs with the load_acquire in wfi_wait(): forbids "old count, old state"
    futex_wake(m, v + HART.wake, 1)
    return 0


@kernel(entry=True)
def set_mtimecmp(m, v, value):
    """CLINT: set the M-mode timer comparator of a hart, from any thread."""
    store_release(m, v + HART.mtimecmp, value)
    return hart_wake(m, v)


@kernel(entry=True)
def mtime(m, v):
    """The time CSR: 10 MHz ticks since HART.time_offset_ns."""
    return udiv(wrap(monotonic_ns() - read_once(m, v + HART.time_offset_ns)), TICK_NS)


@kernel
def follow(m, at, bits, on):
    """Make `bits` of the word at `at` be `on`, with no atomic when they are."""
    found = read_once(m, at) & bits
    if on:
        if found == 0:
            fetch_or(m, at, bits)
    elif found:
        fetch_and(m, at, ~bits)
    return 0


@kernel
def update_timer(m, v):
    """Let MTIP and STIP follow the clock (I3)."""
    now = mtime(m, v)
    write_once(m, v + HART.timer_chunks, TIMER_CHUNKS)
    follow(m, v + HART.mip, MTIP, ult(now, read_once(m, v + HART.mtimecmp)) ^ 1)
    if read_once(m, v + HART.menvcfg) < 0:
        follow(m, v + HART.mip, STIP, ult(now, read_once(m, v + HART.stimecmp)) ^ 1)
    return 0


@kernel
def pending_interrupts(m, v):
    """mip as software sees it: what threads raised, or SEIP that M-mode wrote."""
    return load_acquire(m, v + HART.mip) | read_once(m, v + HART.seip)


@kernel
def deliver_interrupt(m, v):
    """Take the most important interrupt that is pending, enabled and not masked. Returns 1 if there was one: HART.pc is its handler."""
    pending = pending_interrupts(m, v) & read_once(m, v + HART.mie)
    if pending == 0:
        return 0
    priv = read_once(m, v + HART.priv)
    status = read_once(m, v + HART.mstatus)
    delegated = read_once(m, v + HART.mideleg)
    chosen = pending & ~delegated
    if chosen and (priv < PRIV_M or status & MIE):
        enter_machine(m, v, INTERRUPT | most_important(chosen), 0)
        return 1
    chosen = pending & delegated
    if chosen and (priv < PRIV_S or (priv == PRIV_S and status & SIE)):
        enter_supervisor(m, v, INTERRUPT | most_important(chosen), 0)
        return 1
    return 0


@kernel
def most_important(bits):
    """The interrupt number to take first: MEI, MSI, MTI, SEI, SSI, STI."""
    if bits & MEIP:
        return 11
    if bits & MSIP:
        return 3
    if bits & MTIP:
        return 7
    if bits & SEIP:
        return 9
    if bits & SSIP:
        return 1
    return ctz(bits)


@kernel(entry=True)
def wfi_wait(m, v, max_ns):
    """Sleep after EXIT_WFI until an enabled interrupt is pending, a request came, someone woke us, or `max_ns` are over.

    Returns 1 if an enabled interrupt is pending. The caller runs the hart again or calls once more; waking early is always right."""
    seen = load_acquire(m, v + HART.wake)  # before the look at mip and requests, see I2
    update_timer(m, v)
    if pending_interrupts(m, v) & read_once(m, v + HART.mie):
        return 1
    if read_once(m, v + VCPU.requests) != 0:
        return 0
    now = monotonic_ns()
    until = wrap(now + max_ns)
    enabled = read_once(m, v + HART.mie)
    if enabled & MTIP:
        until = earlier(m, v, until, read_once(m, v + HART.mtimecmp))
    if enabled & STIP and read_once(m, v + HART.menvcfg) < 0:
        until = earlier(m, v, until, read_once(m, v + HART.stimecmp))
    if until > now:
        futex_wait(m, v + HART.wake, seen, until - now)
    update_timer(m, v)
    mb()
    return 1 if pending_interrupts(m, v) & read_once(m, v + HART.mie) else 0


@kernel
def earlier(m, v, until, ticks):
    """The earlier of the host time `until` and the guest time `ticks`, as host time."""
    if ult(ticks, FARTHEST_TICKS) == 0:
        return until
    at = ticks * TICK_NS + read_once(m, v + HART.time_offset_ns)
    return at if at < until else until
