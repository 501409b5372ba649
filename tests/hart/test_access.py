"""Accesses: are misaligned and page-crossing ones right, devices described, and atomics atomic between real threads?"""

import random
import threading

import pytest
from hart_code import AMOADD, AMOSWAP, LR, SC, SPIN, addi, amo, b_type, load, store
from hart_rig import CODE, DATA, RAM, UART, Bench

from gnomon.hart.execute import hart_run
from gnomon.hart.exits import EXIT_BUDGET, EXIT_MMIO, mmio_complete


@pytest.fixture(scope="module")
def bench():
    return Bench(pages=64)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_does_a_misaligned_access_move_the_same_bytes(bench, size):
    """Inside a page and across two, signed and unsigned, and no byte beside it."""
    r = random.Random(size)
    for offset in [*range(16), *range(0x1000 - 8, 0x1000 + 1)]:
        data = bytearray(r.randbytes(0x1010))
        value = r.getrandbits(64)
        bench.reset(CODE)
        bench.write(DATA, bytes(data))
        bench.set_x(1, DATA + offset)
        bench.set_x(2, value)
        unsigned = load(size, 4, 1) | (0x4000 if size < 8 else 0)
        bench.place([load(size, 3, 1), unsigned, store(size, 1, 2), SPIN])
        bench.step(3)
        found = bytes(data[offset : offset + size])
        assert bench.x(3) == int.from_bytes(found, "little", signed=True) & (1 << 64) - 1
        assert bench.x(4) == int.from_bytes(found, "little")
        data[offset : offset + size] = value.to_bytes(8, "little")[:size]
        assert bench.read(DATA, 0x1010) == data


def test_does_a_store_that_runs_off_the_end_of_ram_write_nothing(bench):
    end = RAM + 64 * 4096
    bench.reset(CODE)
    bench.set("mtvec", DATA)
    bench.write(end - 8, bytes(8))
    bench.set_x(1, end - 4)
    bench.set_x(2, -1)
    bench.place([store(8, 1, 2)])
    bench.step(1)
    assert (bench.get("mcause"), bench.get("mtval")) == (7, end)
    assert bench.read(end - 8, 8) == bytes(8)


@pytest.mark.parametrize(("instruction", "value", "expected"), [
    (load(1, 3, 1), 0x180, (1 << 64) - 128), (load(1, 3, 1) | 0x4000, 0x180, 128), (load(4, 3, 1), 1 << 31, (1 << 64) - (1 << 31)),
    (load(8, 3, 1), -1, (1 << 64) - 1),
])  # fmt: skip
def test_does_a_load_from_a_device_end_in_its_register(bench, instruction, value, expected):
    bench.reset(CODE)
    bench.set_x(1, UART)
    bench.place([instruction, SPIN])
    assert bench.step(10) == EXIT_MMIO
    assert (bench.get("mmio_gpa"), bench.get("mmio_is_write"), bench.get("pc")) == (UART, 0, CODE)
    mmio_complete(bench.m, bench.v, value)
    assert bench.x(3) == expected and bench.get("pc") == CODE + 4 and bench.get("instret") == 1


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_is_a_store_to_a_device_described(bench, size):
    bench.reset(CODE)
    bench.set_x(1, UART)
    bench.set_x(2, 0x1122334455667788)
    bench.place([store(size, 1, 2), SPIN])
    assert bench.step(10) == EXIT_MMIO
    wanted = 0x1122334455667788 & (1 << 8 * size) - 1
    assert (bench.get("mmio_size"), bench.get("mmio_is_write"), bench.get("mmio_value")) == (size, 1, wanted)


def test_do_a_page_of_code_and_one_of_data_with_the_same_tlb_index_both_progress():
    """256 pages apart: the shared TLB holds one of them at a time."""
    bench = Bench(pages=600)
    bench.set_x(1, CODE + 256 * 4096)
    bench.place([addi(2, 2, 1), store(8, 1, 2), load(8, 3, 1), b_type(1, 0, 1, -12)])
    for _ in range(40):
        assert bench.step(1) == EXIT_BUDGET
    assert bench.x(2) == 10 and bench.x(3) == 10


@pytest.mark.parametrize(("steps", "stored"), [
    ([amo(LR, 8, 3, 1), amo(SC, 8, 4, 1, 2)], True),
    ([amo(SC, 8, 4, 1, 2)], False),
    ([amo(LR, 8, 3, 1), amo(SC, 4, 4, 1, 2)], False),
    ([amo(LR, 8, 3, 1), amo(SC, 8, 4, 5, 2)], False),
    ([amo(LR, 8, 3, 1), amo(SC, 8, 6, 1, 2), amo(SC, 8, 4, 1, 2)], False),
    ([amo(LR, 8, 3, 1), amo(AMOSWAP, 8, 6, 1, 7), amo(SC, 8, 4, 1, 2)], False),
])  # fmt: skip
def test_when_does_sc_store(bench, steps, stored):
    bench.reset(CODE)
    bench.write(DATA, bytes(16))
    bench.set_x(1, DATA)
    bench.set_x(5, DATA + 8)
    bench.set_x(2, 7)
    bench.set_x(7, 9)
    bench.place([*steps, SPIN])
    bench.step(len(steps))
    assert bench.x(4) == (0 if stored else 1)


@pytest.mark.parametrize("kind", ["lr/sc", "amo"])
def test_do_two_harts_count_exactly(kind):
    """Each adds 1 to one doubleword many times, on threads of their own."""
    bench, count = Bench(pages=64, harts=2), 50_000
    if kind == "amo":
        code = [amo(AMOADD, 8, 0, 1, 2), addi(3, 3, -1), b_type(1, 3, 0, -8), SPIN]
    else:
        code = [amo(LR, 8, 4, 1), addi(4, 4, 1), amo(SC, 8, 5, 1, 4), b_type(1, 5, 0, -12), addi(3, 3, -1), b_type(1, 3, 0, -20), SPIN]
    bench.place(code)
    bench.write(DATA, bytes(8))

    def work(hart):
        while bench.x(3, hart):
            hart_run(bench.m, bench.vcpus[hart], 100_000)

    for hart in range(2):
        for n, value in ((1, DATA), (2, 1), (3, count)):
            bench.set_x(n, value, hart)
    threads = [threading.Thread(target=work, args=(hart,)) for hart in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.read64(DATA) == 2 * count
