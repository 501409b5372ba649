"""Differential: do random programs end in the same registers and memory here, under QEMU's core, and in our own twin?"""

import random

import pytest
from hart_code import SPIN, random_program, random_registers
from hart_rig import CODE, DATA, HART, Bench, assembled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.hart.execute import hart_run
from gnomon.hart.exits import EXIT_BUDGET
from gnomon.lang import twin

DATA_BYTES = 0x3000


@pytest.fixture(scope="module")
def bench():
    return Bench(pages=64)


@pytest.fixture(scope="module")
def other():
    return Bench(pages=64)


@pytest.fixture(scope="module")
def unicorn():
    uc = pytest.importorskip("unicorn", reason="unicorn is not installed")
    const = pytest.importorskip("unicorn.riscv_const")
    machine = uc.Uc(uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV64)
    machine.ctl_set_cpu_model(const.UC_CPU_RISCV64_SIFIVE_U54)
    machine.mem_map(CODE, 0x20000)
    machine.names = [getattr(const, f"UC_RISCV_REG_X{n}") for n in range(32)]
    return machine


def prepared(bench, code, registers, data):
    bench.reset(CODE)
    bench.write(CODE, code)
    bench.write(DATA, data)
    for n in range(1, 32):
        bench.set_x(n, registers[n])


def outcome(bench):
    return [bench.x(n) for n in range(32)], bench.read(DATA, DATA_BYTES), bench.get("pc")


def differs(bench, unicorn, seed, count):
    """Run program number `seed` on both; what differs, as text."""
    r = random.Random(seed)
    body = assembled(random_program(r, count))
    code, data, registers = body + assembled([SPIN]), r.randbytes(DATA_BYTES), random_registers(r, DATA)
    end = CODE + len(body)
    prepared(bench, code, registers, data)
    assert bench.step(2 * count + 16) == EXIT_BUDGET
    unicorn.mem_write(CODE, code)
    unicorn.mem_write(DATA, data)
    unicorn.ctl_remove_cache(CODE, CODE + 0x8000)
    for n in range(1, 32):
        unicorn.reg_write(unicorn.names[n], registers[n])
    unicorn.emu_start(CODE, end)
    xs, memory, pc = outcome(bench)
    if pc != end:
        return f"ended at {pc:#x}, not {end:#x}"
    wrong = [
        f"x{n} {xs[n]:#x} not {unicorn.reg_read(unicorn.names[n]):#x}" for n in range(32) if xs[n] != unicorn.reg_read(unicorn.names[n])
    ]
    return "; ".join(wrong) if wrong else "" if memory == bytes(unicorn.mem_read(DATA, DATA_BYTES)) else "memory"


def test_do_a_thousand_long_programs_agree_with_qemus_core(bench, unicorn):
    bad = {seed: text for seed in range(1000) if (text := differs(bench, unicorn, seed, 200))}
    assert not bad


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 48), count=st.integers(1, 20))
def test_do_short_programs_agree_with_qemus_core(bench, unicorn, seed, count):
    assert differs(bench, unicorn, seed, count) == ""


@pytest.mark.parametrize("seed", range(6))
def test_does_the_twin_do_what_the_compiled_kernels_do(bench, other, seed):
    """Through the MMU too: the interpreted one translates and faults like the compiled one."""
    r = random.Random(seed)
    code, data, registers = assembled(random_program(r, 60)), r.randbytes(DATA_BYTES), random_registers(r, DATA)
    for machine in (bench, other):
        prepared(machine, code + assembled([SPIN]), registers, data)
    assert hart_run(bench.m, bench.v, 100) == twin(hart_run)(other.m, other.v, 100) == EXIT_BUDGET
    assert outcome(bench) == outcome(other)
    for field in ("instret", "mcause", "mepc", "priv", "mstatus"):
        assert bench.get(field) == other.get(field), field
    assert (bench.m.words[bench.v + HART.scratch] == other.m.words[other.v + HART.scratch]).all()
