"""The request handshake of mmu/vcpu.py: after a remote flush nobody uses what was cached before it (I-10, I-11)."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import POISON
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import load64
from gnomon.mmu.tlb import TLB_WRITE, tlb_fill, tlb_host
from gnomon.mmu.vcpu import REQ_MMU, VCPU, flush_remote_tlbs, guest_enter, guest_exit, handle_requests, make_request, wait_for_exit

PAGE_AT = 100 << 12


@kernel
def guest_span(m, v):
    """Guest mode, using the TLB as long as it hits: what it translates to is not freed."""
    guest_enter(m, v)
    host = tlb_host(m, v, 0, TLB_WRITE, 1)
    if host >= 0:
        expect(load64(m, host) != POISON)
    guest_exit(m, v)
    return 0


@kernel
def flush_and_free(m, vm):
    """The translation is gone from the tables: flush, then free what it pointed to."""
    flush_remote_tlbs(m, vm)
    write_once(m, PAGE_AT >> 3, POISON)
    return 0


@kernel
def enter_without_barrier(m, v):
    """Mutant of guest_enter(): the mode is a plain store, so the load of the requests may pass it."""
    while True:
        write_once(m, v + VCPU.mode, read_once(m, v + VCPU.mode) + 1)
        pending = read_once(m, v + VCPU.requests) & REQ_MMU
        if pending == 0:
            return 0
        guest_exit(m, v)
        handle_requests(m, v, pending)


@kernel
def enter_looking_first(m, v):
    """Mutant of guest_enter(): looks at the requests before it says that it is inside."""
    pending = read_once(m, v + VCPU.requests) & REQ_MMU
    if pending:
        handle_requests(m, v, pending)
    write_once(m, v + VCPU.mode, read_once(m, v + VCPU.mode) + 1)
    return 0


@kernel
def request_without_barrier(m, v, bits):
    """Mutant of make_request(): a plain store of the bit and no barrier."""
    write_once(m, v + VCPU.requests, read_once(m, v + VCPU.requests) | bits)
    return 0


@kernel
def no_wait(m, v, bits):
    """Mutant of wait_for_exit(): asks and goes on."""
    return 0


def handshake(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.run(tlb_fill, v, 0, TLB_WRITE, 1, PAGE_AT)
    s.thread("vcpu 0", call(guest_span, v), call(guest_span, v))
    s.thread("requester", call(flush_and_free, stage.vm))
    s.label(PAGE_AT >> 3, "page")
    return s


register(
    Entry(
        "mmu/handshake",
        "when flush_remote_tlbs() returns, no vCPU uses a translation cached before it (I-10, I-11, V1, V2)",
        handshake,
        {
            "no-entry-barrier": Mutant(
                "guest_enter() stores the mode without a barrier",
                {guest_enter: enter_without_barrier},
                models=("tso",),
                property="expectation",
            ),
            "looks-first": Mutant(
                "guest_enter() reads the requests before it sets the mode", {guest_enter: enter_looking_first}, property="expectation"
            ),
            "no-request-barrier": Mutant(
                "make_request() has no barrier", {make_request: request_without_barrier}, models=("tso",), property="expectation"
            ),
            "no-wait": Mutant("the requester does not wait for the span's end", {wait_for_exit: no_wait}, property="expectation"),
        },
    )
)
