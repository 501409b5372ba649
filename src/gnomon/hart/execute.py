"""execute: run a hart for some time. What the loop over instructions does not look at is looked at here, between chunks.

Requests of others, interrupts, the clock, the budget: nothing waits longer than CHUNK instructions, a microsecond or so.

Guarantees R4  a request of the MMU is served before the next chunk; any other than REQ_EVENT ends the run with the request still set
           R5  interrupts are delivered at the first boundary at which they are pending and enabled
           R6  instret counts exactly the instructions that retired
Context    the hart's own thread, outside guest mode, no lock
"""

from __future__ import annotations

from gnomon.hart.chunk import run_chunk
from gnomon.hart.exits import DONE, EXIT_BUDGET, EXIT_REQUEST, MISS, RETRY
from gnomon.hart.interrupt import deliver_interrupt, update_timer
from gnomon.hart.miss import resolve_miss
from gnomon.hart.state import HART, forget_fetches
from gnomon.lang import kernel
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import fetch_and, read_once, write_once
from gnomon.mmu.vcpu import REQ_EVENT, REQ_MMU, VCPU, guest_enter, guest_exit

CHUNK = 256


@kernel(entry=True)
def hart_run(m, v, budget):
    """Run the hart for about `budget` instructions. Returns an EXIT code; the hart is outside guest mode, its state in HART."""
    guest_enter(m, v)
    forget_fetches(m, v)
    update_timer(m, v)
    left_to_run = budget
    status = DONE
    while status <= 0:
        status = between_chunks(m, v)
        if status == DONE:
            if left_to_run <= 0:
                status = EXIT_BUDGET
            else:
                before = read_once(m, v + HART.instret)
                status = run_chunk(m, v, left_to_run if left_to_run < CHUNK else CHUNK)
                ran = wrap(read_once(m, v + HART.instret) - before)
                if ran < 0 or ran > CHUNK:
                    ran = 1  # the guest wrote minstret
                if status == MISS:
                    status = resolve_miss(m, v)
                if ran == 0 and status != RETRY:
                    ran = 1  # a trap; but what is only tried again is free, so that a budget of 1 makes progress
                left_to_run -= ran
    guest_exit(m, v)
    return status


@kernel
def between_chunks(m, v):
    """Serve requests, the clock and interrupts. Returns DONE to go on, or EXIT_REQUEST."""
    pending = read_once(m, v + VCPU.requests)
    if pending:
        if pending & ~(REQ_MMU | REQ_EVENT):
            return EXIT_REQUEST
        if pending & REQ_EVENT:
            fetch_and(m, v + VCPU.requests, ~REQ_EVENT)
        if pending & REQ_MMU:
            guest_exit(m, v)
            guest_enter(m, v)
    chunks = read_once(m, v + HART.timer_chunks) - 1
    write_once(m, v + HART.timer_chunks, chunks)
    if chunks <= 0:
        update_timer(m, v)
    deliver_interrupt(m, v)
    return DONE
