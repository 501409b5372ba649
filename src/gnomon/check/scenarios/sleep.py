"""Harts that sleep on HART.wake: nobody sleeps through what he waits for. The time of their sleeps is never counted on."""

from __future__ import annotations

from gnomon.check.oracle import choose, expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.hart.hsm import HSM_PREPARING, SBI_ERR_ALREADY_AVAILABLE, SBI_SUCCESS, hsm_start, hsm_wait
from gnomon.hart.interrupt import SSIP, hart_wake, pending_interrupts, raise_interrupt, wfi_wait
from gnomon.hart.state import HART, HSM_START_PENDING, HSM_STOPPED, NEVER
from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, fetch_or, load_acquire, read_once, store_release, write_once
from gnomon.lang.host import futex_wait
from gnomon.mmu.vcpu import REQ_PAUSE, VCPU
from gnomon.mmu.vm_words import VM
from gnomon.vm.devices import DEV
from gnomon.vm.run import request_pause, ring_wait, throttle

SLEEP_NS = 1000
ANSWERS_AT = DATA_AT
START_PC = 4096


@kernel
def sleep_until_interrupt(m, v):
    """WFI until the interrupt is there."""
    while wfi_wait(m, v, SLEEP_NS) == 0:
        pass
    return 0


@kernel
def sleep_until_started(m, v):
    """A stopped hart, until it is started: with the arguments of one starter."""
    while hsm_wait(m, v, SLEEP_NS) == 0:
        pass
    opaque = read_once(m, v + HART.x + 11)
    expect(opaque != 0 and read_once(m, v + HART.pc) == START_PC + opaque)
    return 0


@kernel
def sleep_until_pause(m, vm, v):
    """Whatever a hart sleeps in, until a pause is asked for."""
    where = choose(4)
    while read_once(m, v + VCPU.requests) & REQ_PAUSE == 0:
        if where == 0:
            wfi_wait(m, v, SLEEP_NS)
        elif where == 1:
            hsm_wait(m, v, SLEEP_NS)
        elif where == 2:
            ring_wait(m, v)
        else:
            throttle(m, vm, v, SLEEP_NS)
    return 0


@kernel
def wake_then_raise(m, v, bits):
    """Mutant of raise_interrupt(): wakes before there is anything to see."""
    hart_wake(m, v)
    fetch_or(m, v + HART.mip, bits)
    return 0


@kernel
def look_then_count(m, v, max_ns):
    """Mutant of wfi_wait(): reads the count that it sleeps on after its look at what is pending."""
    if pending_interrupts(m, v) & read_once(m, v + HART.mie):
        return 1
    futex_wait(m, v + HART.wake, load_acquire(m, v + HART.wake), max_ns)
    return 1 if pending_interrupts(m, v) & read_once(m, v + HART.mie) else 0


@kernel
def count_without_waking(m, v):
    """Mutant of hart_wake(): no futex_wake()."""
    fetch_add(m, v + HART.wake, 1)
    return 0


@kernel
def wake_then_ask(m, vm):
    """Mutant of request_pause(): wakes before the request is there."""
    v = read_once(m, vm + VM.vcpus)
    hart_wake(m, v)
    fetch_or(m, v + VCPU.requests, REQ_PAUSE)
    return 0


@kernel
def throttle_by_late_count(m, vm, v, ran_ns):
    """Mutant of throttle(): reads the count that it sleeps on after its look at the requests."""
    if read_once(m, v + VCPU.requests) & REQ_PAUSE == 0:
        futex_wait(m, v + HART.wake, read_once(m, v + HART.wake), ran_ns)
    return 0


@kernel
def pending_first(m, target, pc, opaque):
    """Mutant of hsm_start(): START_PENDING before the arguments."""
    if read_once(m, target + HART.hsm) != HSM_STOPPED:
        return SBI_ERR_ALREADY_AVAILABLE
    store_release(m, target + HART.hsm, HSM_START_PENDING)
    write_once(m, target + HART.start_pc, pc)
    write_once(m, target + HART.start_opaque, opaque)
    hart_wake(m, target)
    return SBI_SUCCESS


@kernel
def start_in_two_steps(m, target, pc, opaque):
    """Mutant of hsm_start(): looks, then stores."""
    if read_once(m, target + HART.hsm) != HSM_STOPPED:
        return SBI_ERR_ALREADY_AVAILABLE
    write_once(m, target + HART.hsm, HSM_PREPARING)
    write_once(m, target + HART.start_pc, pc)
    write_once(m, target + HART.start_opaque, opaque)
    store_release(m, target + HART.hsm, HSM_START_PENDING)
    hart_wake(m, target)
    return SBI_SUCCESS


@kernel
def wake_then_start(m, target, pc, opaque):
    """Mutant of hsm_start(): wakes before the hart's state says anything new."""
    if read_once(m, target + HART.hsm) != HSM_STOPPED:
        return SBI_ERR_ALREADY_AVAILABLE
    write_once(m, target + HART.start_pc, pc)
    write_once(m, target + HART.start_opaque, opaque)
    hart_wake(m, target)
    store_release(m, target + HART.hsm, HSM_START_PENDING)
    return SBI_SUCCESS


@kernel
def one_started_it(m, answers):
    """1 if one of two starters succeeded and the other was told that the hart is not stopped."""
    return read_once(m, answers) + read_once(m, answers + 1) == SBI_SUCCESS + SBI_ERR_ALREADY_AVAILABLE


def sleeper(mutant: Mutant | None) -> Stage:
    stage = Stage(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.store(v + HART.mtimecmp, NEVER)
    for name in ("wake", "mip", "mie", "hsm", "pc", "start_pc", "start_opaque"):
        s.label(v + getattr(HART, name), f"vcpu 0.{name}")
    s.label(stage.vm + DEV.throttle, "throttle", quiet=True)
    return stage


def interrupt(mutant: Mutant | None) -> Scenario:
    stage = sleeper(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.store(v + HART.mie, SSIP)
    s.thread("hart", call(sleep_until_interrupt, v))
    s.thread("device", call(raise_interrupt, v, SSIP))
    return s


def start(starters: int):
    def build(mutant: Mutant | None) -> Scenario:
        stage = sleeper(mutant)
        s, v = stage.scenario, stage.vcpus[0]
        s.store(v + HART.hsm, HSM_STOPPED)
        s.thread("hart", call(sleep_until_started, v))
        for n in range(starters):
            s.thread(f"starter {n}", call(hsm_start, v, START_PC + n + 1, n + 1, into=ANSWERS_AT + n))
        s.label(ANSWERS_AT, "answer", words=2)
        if starters == 2:
            s.at_end("one starter succeeds", one_started_it, ANSWERS_AT)
        return s

    return build


def pause(mutant: Mutant | None) -> Scenario:
    stage = sleeper(mutant)
    s, v = stage.scenario, stage.vcpus[0]
    s.store(v + HART.hsm, HSM_STOPPED)
    s.store(stage.vm + VM.logging, 1)
    s.store(stage.vm + VM.ring_size, 1)
    s.store(v + VCPU.ring_dirty, 1)
    s.store(stage.vm + DEV.throttle, 50)
    s.only_bits(v + VCPU.ring_waits)
    s.thread("hart", call(sleep_until_pause, stage.vm, v))
    s.thread("owner", call(request_pause, stage.vm))
    return s


register(
    Entry(
        "hart/interrupt",
        "WFI does not sleep through an interrupt: what there is to see is written before the hart is woken (I-12)",
        interrupt,
        {
            "wakes-first": Mutant("wakes, then raises (I-12)", {raise_interrupt: wake_then_raise}, property="deadlock"),
            "looks-first": Mutant("reads the count it sleeps on after its look", {wfi_wait: look_then_count}, property="deadlock"),
            "no-wake": Mutant("counts up and wakes nobody", {hart_wake: count_without_waking}, property="deadlock"),
        },
    )
)
register(
    Entry(
        "hart/start",
        "a stopped hart does not sleep through its start, and begins with its starter's arguments (M1, M2)",
        start(1),
        {
            "pending-first": Mutant("START_PENDING before the arguments (I-12, M1)", {hsm_start: pending_first}, property="expectation"),
            "wakes-first": Mutant("wakes, then says that it is started (M2)", {hsm_start: wake_then_start}, property="deadlock"),
        },
    )
)
register(
    Entry(
        "hart/two-starters",
        "of two harts that start one, one succeeds, and the arguments are his (M1)",
        start(2),
        {"two-steps": Mutant("looks, then stores", {hsm_start: start_in_two_steps})},
    )
)
register(
    Entry(
        "hart/pause",
        "a pause ends every sleep of a hart at once: WFI, stopped, a full dirty ring, the throttle",
        pause,
        {
            "wakes-first": Mutant("wakes, then asks (I-12)", {request_pause: wake_then_ask}, property="deadlock"),
            "late-count": Mutant("the throttle reads the count after its look", {throttle: throttle_by_late_count}, property="deadlock"),
        },
    )
)
