"""Interrupts: are they delivered when pending and enabled, in order, and can WFI be slept through?"""

import threading
import time

import pytest
from hart_code import NOP, SPIN, WFI, addi, csrrs, csrrw, jal
from hart_rig import CODE, RAM, Bench

from gnomon.hart import csr_number as CSR
from gnomon.hart.exits import EXIT_BUDGET, EXIT_REQUEST, EXIT_WFI
from gnomon.hart.interrupt import (
    MEIP,
    MSIP,
    MTIP,
    SEIP,
    SSIP,
    STIP,
    clear_interrupt,
    hart_wake,
    mtime,
    raise_interrupt,
    set_mtimecmp,
    wfi_wait,
)
from gnomon.lang.atomics import fetch_or
from gnomon.mmu.vcpu import REQ_EVENT, REQ_FLUSH, REQ_PAUSE, VCPU

M_HANDLER, S_HANDLER = RAM + 0x3000, RAM + 0x4000
INTERRUPT = 1 << 63
LONG = 240.0
NEVER = 300_000_000_000
"""Nanoseconds of sleep for those who are to be woken, and seconds that waking takes less than, however busy the machine is."""
MIE, SIE = 8, 2


@pytest.fixture(scope="module")
def shared():
    return Bench(pages=16)


@pytest.fixture
def bench(shared):
    shared.reset(CODE)
    for handler in (M_HANDLER, S_HANDLER):
        shared.write(handler, SPIN.to_bytes(4, "little") * 16)
    shared.set("mtvec", M_HANDLER)
    shared.set("stvec", S_HANDLER)
    shared.m.words[shared.v + VCPU.requests] = 0
    shared.place([SPIN])
    return shared


def test_which_of_several_is_taken_first(bench):
    bench.set("mie", 0xAAA)
    bench.set("mstatus", MIE)
    raise_interrupt(bench.m, bench.v, MEIP | MSIP | SEIP | SSIP)
    taken = []
    for bit in (MEIP, MSIP, SEIP, SSIP):
        bench.set("pc", CODE)
        bench.set("mstatus", MIE)
        bench.step(1)
        taken.append(bench.get("mcause") - INTERRUPT)
        clear_interrupt(bench.m, bench.v, bit)
    assert taken == [11, 3, 9, 1]


@pytest.mark.parametrize("priv", [0, 1, 3])
@pytest.mark.parametrize("enabled", [False, True])
def test_who_takes_a_delegated_interrupt(bench, priv, enabled):
    bench.set("mideleg", SSIP)
    bench.set("mie", SSIP)
    bench.set("mstatus", SIE if enabled else 0)
    bench.set("priv", priv)
    raise_interrupt(bench.m, bench.v, SSIP)
    bench.step(1)
    taken = priv == 0 or (priv == 1 and enabled)
    assert bench.get("pc") == (S_HANDLER if taken else CODE)
    assert bench.get("scause") == (INTERRUPT | 1 if taken else 0)


def test_where_does_a_vectored_interrupt_go_and_an_exception_not(bench):
    bench.set("mtvec", M_HANDLER | 1)
    bench.set("mie", MSIP)
    bench.set("mstatus", MIE)
    raise_interrupt(bench.m, bench.v, MSIP)
    bench.step(1)
    assert bench.get("pc") == M_HANDLER + 4 * 3 and bench.get("mepc") == CODE
    bench.place([0])
    bench.step(1)
    assert bench.get("pc") == M_HANDLER


def test_is_an_interrupt_taken_right_after_it_is_unmasked(bench):
    bench.set("mie", MSIP)
    raise_interrupt(bench.m, bench.v, MSIP)
    bench.set_x(1, MIE)
    bench.place([csrrs(0, CSR.MSTATUS, 1), addi(5, 0, 1), SPIN])
    bench.set_x(5, 0)
    bench.step(100)
    assert bench.get("mepc") == CODE + 4 and bench.x(5) == 0


def test_does_the_timer_of_machine_mode_follow_mtimecmp(bench):
    bench.set("mie", MTIP)
    bench.set("mstatus", MIE)
    bench.step(5000)
    assert bench.get("pc") == CODE
    set_mtimecmp(bench.m, bench.v, mtime(bench.m, bench.v))
    bench.step(5000)
    assert bench.get("mcause") == INTERRUPT | 7
    set_mtimecmp(bench.m, bench.v, (1 << 63) - 1)
    bench.step(5000)
    assert bench.get("mip") & MTIP == 0


def test_does_stimecmp_drive_stip_only_where_it_is_enabled(bench):
    bench.set("stimecmp", 0)
    bench.step(5000)
    assert bench.get("mip") & STIP == 0
    bench.set("menvcfg", INTERRUPT)
    bench.step(5000)
    assert bench.get("mip") & STIP


def test_does_the_external_line_survive_software_writing_seip(bench):
    """mip.SEIP reads as the line or what M-mode wrote; writing changes the latter alone."""
    raise_interrupt(bench.m, bench.v, SEIP)
    bench.set_x(1, SEIP)
    bench.place([csrrw(0, CSR.MIP, 0), csrrs(2, CSR.MIP), SPIN])
    bench.step(2)
    assert bench.x(2) & SEIP
    clear_interrupt(bench.m, bench.v, SEIP)
    bench.place([csrrs(0, CSR.MIP, 1), csrrs(2, CSR.MIP), csrrw(0, CSR.MIP, 0), csrrs(3, CSR.MIP)])
    bench.step(4)
    assert bench.x(2) & SEIP and not bench.x(3) & SEIP


def test_does_time_advance_with_real_time(bench):
    began = time.monotonic_ns()
    bench.place([csrrs(1, CSR.TIME), SPIN])
    bench.step(1)
    time.sleep(0.02)
    bench.place([csrrs(2, CSR.TIME), SPIN])
    bench.step(1)
    assert 200_000 <= bench.x(2) - bench.x(1) <= (time.monotonic_ns() - began) // 100 + 1


def test_does_wfi_leave_and_go_on_behind_itself(bench):
    bench.place([WFI, SPIN])
    assert bench.step(100) == EXIT_WFI
    assert bench.get("pc") == CODE + 4 and bench.get("instret") == 1


def test_does_wfi_pass_when_something_is_pending_though_masked(bench):
    bench.set("mie", MSIP)
    raise_interrupt(bench.m, bench.v, MSIP)
    bench.place([WFI, SPIN])
    assert bench.step(100) == EXIT_BUDGET and bench.get("pc") == CODE + 4


def test_does_a_sleeper_wake_for_an_interrupt(bench):
    bench.set("mie", MSIP)
    for _ in range(50):
        clear_interrupt(bench.m, bench.v, MSIP)
        waker = threading.Thread(target=raise_interrupt, args=(bench.m, bench.v, MSIP))
        started = time.monotonic()
        waker.start()
        while not wfi_wait(bench.m, bench.v, NEVER):
            pass
        waker.join()
        assert time.monotonic() - started < LONG


def test_does_a_sleeper_wake_for_its_timer(bench):
    bench.set("mie", MTIP)
    started = time.monotonic()
    set_mtimecmp(bench.m, bench.v, mtime(bench.m, bench.v) + 300_000)  # 30 ms
    assert wfi_wait(bench.m, bench.v, NEVER) == 1
    assert 0.02 < time.monotonic() - started < LONG


def test_does_a_sleeper_wake_for_a_request(bench):
    def ask():
        fetch_or(bench.m, bench.v + VCPU.requests, REQ_PAUSE)
        hart_wake(bench.m, bench.v)

    waker = threading.Timer(0.02, ask)
    waker.start()
    started = time.monotonic()
    assert wfi_wait(bench.m, bench.v, NEVER) == 0
    waker.join()
    assert time.monotonic() - started < LONG


def test_which_requests_end_a_run(bench):
    for request, ends in ((REQ_EVENT, EXIT_BUDGET), (REQ_FLUSH, EXIT_BUDGET), (REQ_PAUSE, EXIT_REQUEST)):
        bench.m.words[bench.v + VCPU.requests] = request
        assert bench.step(1000) == ends
    assert bench.m.words[bench.v + VCPU.requests] == REQ_PAUSE
    assert bench.m.words[bench.v + VCPU.mode] & 1 == 0


def test_does_a_running_hart_see_an_interrupt_soon(bench):
    """Raised from another thread while the hart spins."""
    bench.place([addi(5, 5, 1), jal(0, -4)])
    bench.set("mie", MSIP)
    bench.set("mstatus", MIE)
    raiser = threading.Timer(0.01, raise_interrupt, (bench.m, bench.v, MSIP))
    raiser.start()
    while bench.get("mcause") == 0:
        bench.step(100_000)
    raiser.join()
    assert bench.get("mcause") == INTERRUPT | 3


def test_do_nops_cost_one_instruction_each(bench):
    bench.place([NOP] * 600 + [SPIN])
    assert bench.step(500) == EXIT_BUDGET
    assert bench.get("instret") == 500 and bench.get("pc") == CODE + 2000
