"""SBI: is each call answered as the specification says?"""

import threading
import time

import pytest
from hart_code import ECALL, NOP, SPIN, jal
from hart_rig import CODE, DATA, Bench, unsigned

from gnomon.hart import sbi
from gnomon.hart.execute import hart_run
from gnomon.hart.exits import EXIT_SBI
from gnomon.hart.hsm import hsm_park, hsm_wait
from gnomon.hart.interrupt import SSIP, STIP, mtime
from gnomon.mmu.vcpu import VCPU

OK, NOT_SUPPORTED, INVALID, ALREADY = 0, -2, -3, -6


@pytest.fixture
def bench():
    return Bench(pages=64, harts=2, sbi=1)


def call(bench, extension, function, *arguments):
    bench.place([ECALL, SPIN])
    for n in range(6):
        bench.set_x(10 + n, arguments[n] if n < len(arguments) else 0)
    bench.set_x(16, function)
    bench.set_x(17, extension)
    assert bench.step(10) == EXIT_SBI and bench.get("pc") == CODE + 4
    return sbi.sbi_call(bench.m, bench.v)


def answer(bench):
    return (bench.x(10) ^ 1 << 63) - (1 << 63), bench.x(11)


def test_what_is_the_base(bench):
    expected = {0: 2 << 24, 1: sbi.IMPLEMENTATION, 2: 1, 4: 0, 5: 0, 6: 0}
    for function, value in expected.items():
        assert call(bench, sbi.BASE, function) == sbi.SBI_DONE and answer(bench) == (OK, value)


@pytest.mark.parametrize("extension", [sbi.BASE, sbi.TIME, sbi.IPI, sbi.RFENCE, sbi.HSM, sbi.SRST, sbi.DBCN, 0, 8])
def test_are_they_there(bench, extension):
    assert call(bench, sbi.BASE, 3, extension) == sbi.SBI_DONE and answer(bench) == (OK, 1)


@pytest.mark.parametrize(("extension", "function"), [(0x504D55, 0), (0x53555350, 0), (sbi.TIME, 1), (sbi.RFENCE, 3), (sbi.HSM, 9), (9, 0)])
def test_are_others_not(bench, extension, function):
    assert call(bench, extension, function) == sbi.SBI_DONE and answer(bench)[0] == NOT_SUPPORTED


def test_does_the_timer_set_and_clear_stip(bench):
    call(bench, sbi.TIME, 0, mtime(bench.m, bench.v) - 1)
    assert bench.get("mip") & STIP
    call(bench, sbi.TIME, 0, -1)
    assert not bench.get("mip") & STIP


@pytest.mark.parametrize(("mask", "base", "error", "reached"), [
    (1, 0, OK, [1, 0]), (2, 0, OK, [0, 1]), (1, 1, OK, [0, 1]), (0, -1, OK, [1, 1]), (4, 0, INVALID, [0, 0]), (1, 2, INVALID, [0, 0]),
    (0, 0, OK, [0, 0]),
])  # fmt: skip
def test_whom_does_an_ipi_reach(bench, mask, base, error, reached):
    call(bench, sbi.IPI, 0, mask, base)
    assert answer(bench)[0] == error
    assert [int(bench.get("mip", hart) & SSIP != 0) for hart in (0, 1)] == reached


def test_does_a_remote_fence_wait_until_the_other_hart_forgot(bench):
    """The other hart runs in guest mode; when the call returns its TLB was flushed in between."""
    bench.write(DATA, (NOP).to_bytes(4, "little") + jal(0, -4).to_bytes(4, "little"))
    bench.set("pc", DATA, 1)
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            hart_run(bench.m, bench.vcpus[1], 1_000_000)

    other = threading.Thread(target=spin)
    other.start()
    try:
        while bench.get("instret", 1) == 0:
            time.sleep(0.001)
        for _ in range(20):
            call(bench, sbi.RFENCE, 1, 2, 0, 0, 4096)
            assert answer(bench)[0] == OK
    finally:
        stop.set()
        other.join()
    hart_run(bench.m, bench.vcpus[1], 1000)  # the last fence may have met it between two runs: then it flushes as the next begins
    assert bench.m.words[bench.vcpus[1] + VCPU.tlb_flushes] >= 1


def test_does_a_stopped_hart_start_where_it_is_told(bench):
    hsm_park(bench.m, bench.vcpus[1])
    assert call(bench, sbi.HSM, 2, 1) == sbi.SBI_DONE and answer(bench) == (OK, 1)
    assert hsm_wait(bench.m, bench.vcpus[1], 1000) == 0
    started = []
    waiter = threading.Thread(target=lambda: started.append(hsm_wait(bench.m, bench.vcpus[1], 600_000_000_000)))
    waiter.start()
    time.sleep(0.01)
    call(bench, sbi.HSM, 0, 1, DATA, 0x1234)
    assert answer(bench)[0] == OK
    waiter.join(240)
    assert started == [1]
    assert (bench.get("pc", 1), bench.x(10, 1), bench.x(11, 1), bench.get("satp", 1)) == (DATA, 1, 0x1234, 0)
    call(bench, sbi.HSM, 0, 1, DATA, 0)
    assert answer(bench)[0] == ALREADY
    call(bench, sbi.HSM, 0, 7, DATA, 0)
    assert answer(bench)[0] == INVALID


def test_is_a_stop_a_suspend_and_a_reset_handed_on(bench):
    assert call(bench, sbi.HSM, 3, 0) == sbi.SBI_WFI and answer(bench)[0] == OK
    assert call(bench, sbi.SRST, 0, 1, 1) == sbi.SBI_SHUTDOWN
    assert (bench.get("sbi_value"), bench.get("sbi_count")) == (1, 1)
    assert call(bench, sbi.SRST, 0, 9) == sbi.SBI_DONE and answer(bench)[0] == INVALID
    assert call(bench, 8, 0) == sbi.SBI_SHUTDOWN
    assert call(bench, sbi.HSM, 1) == sbi.SBI_STOPPED and bench.get("hsm") == 1


def test_is_the_console_handed_on(bench):
    assert call(bench, 1, 0, ord("A")) == sbi.SBI_PUTCHAR and bench.get("sbi_value") == ord("A") and bench.x(10) == 0
    assert call(bench, sbi.DBCN, 2, ord("B")) == sbi.SBI_PUTCHAR and bench.get("sbi_value") == ord("B") and answer(bench) == (OK, 0)
    assert call(bench, sbi.DBCN, 0, 5, DATA) == sbi.SBI_WRITE and (bench.get("sbi_count"), bench.get("sbi_value")) == (5, DATA)
    assert call(bench, sbi.DBCN, 1, 6, DATA) == sbi.SBI_READ
    assert call(bench, sbi.DBCN, 0, 5, DATA, 1) == sbi.SBI_DONE and answer(bench)[0] == INVALID
    assert call(bench, 2, 0) == sbi.SBI_GETCHAR
    sbi.sbi_answer_legacy(bench.m, bench.v, -1)
    assert bench.x(10) == unsigned(-1)
