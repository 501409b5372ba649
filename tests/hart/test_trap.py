"""Traps: is each cause taken where it should be, with the right xepc, xtval and status, and left again?"""

import pytest
from hart_code import EBREAK, ECALL, LR, MRET, NOP, SPIN, SRET, WFI, addi, amo, csrrs, csrrw, jal, load, store
from hart_rig import CODE, DATA, RAM, Bench

from gnomon.hart import csr_number as CSR
from gnomon.hart.exits import EXIT_MMIO
from gnomon.hart.trap import mmio_fault

M_HANDLER, S_HANDLER, NOWHERE = RAM + 0x3000, RAM + 0x4000, 0x4000_0000
U, S, M = 0, 1, 3
MIE, MPIE, SIE, SPIE, SPP, MPP, MPRV, TVM, TW, TSR = 8, 128, 2, 32, 256, 3 << 11, 1 << 17, 1 << 20, 1 << 21, 1 << 22
X1 = 1


@pytest.fixture(scope="module")
def shared():
    return Bench(pages=64)


@pytest.fixture
def bench(shared):
    shared.reset(CODE)
    shared.write(M_HANDLER, SPIN.to_bytes(4, "little"))
    shared.write(S_HANDLER, SPIN.to_bytes(4, "little"))
    shared.set("mtvec", M_HANDLER)
    shared.set("stvec", S_HANDLER)
    return shared


def run(bench, *code, priv=M, steps=None):
    bench.place(code)
    bench.set("priv", priv)
    result = bench.step(len(code) if steps is None else steps)
    while result == EXIT_MMIO:
        mmio_fault(bench.m, bench.v)
        result = bench.step(1)
    return result


FAULTS = {
    "fetch from a device": (1, [0x00008067], NOWHERE, NOWHERE),
    "illegal": (2, [0xFFFFFFFF], 0xFFFFFFFF, CODE),
    "illegal, compressed": (2, [0x2000], 0x2000, CODE),
    "a read-only CSR written": (2, [csrrw(0, CSR.CYCLE, 1)], csrrw(0, CSR.CYCLE, 1), CODE),
    "a CSR that is not there": (2, [csrrs(1, 0x5C0)], csrrs(1, 0x5C0), CODE),
    "ebreak": (3, [EBREAK], CODE, CODE),
    "misaligned LR": (4, [amo(LR, 8, 2, X1 + 2)], DATA + 4, CODE),
    "load from nowhere": (5, [load(8, 2, X1)], NOWHERE, CODE),
    "misaligned load from nowhere": (5, [load(8, 2, X1, 1)], NOWHERE + 1, CODE),
    "LR from nowhere": (5, [amo(LR, 8, 2, X1)], NOWHERE, CODE),
    "misaligned AMO": (6, [amo(0, 8, 2, X1 + 2)], DATA + 4, CODE),
    "store to nowhere": (7, [store(4, X1, 2)], NOWHERE, CODE),
    "AMO to nowhere": (7, [amo(0, 4, 2, X1)], NOWHERE, CODE),
    "ecall from M": (11, [ECALL], 0, CODE),
}


@pytest.mark.parametrize("name", FAULTS)
def test_which_cause_and_value_does_a_fault_have(bench, name):
    cause, code, tval, epc = FAULTS[name]
    bench.set_x(X1, NOWHERE)
    bench.set_x(X1 + 2, DATA + 4)
    run(bench, *code, steps=2)
    assert (bench.get("mcause"), bench.get("mtval"), bench.get("mepc")) == (cause, tval, epc)
    assert bench.get("pc") == M_HANDLER and bench.get("priv") == M


@pytest.mark.parametrize(("priv", "cause"), [(U, 8), (S, 9)])
@pytest.mark.parametrize("delegated", [False, True])
def test_who_handles_an_ecall(bench, priv, cause, delegated):
    bench.set("medeleg", delegated << cause)
    bench.set("mstatus", MIE | SIE)
    run(bench, ECALL, priv=priv)
    if delegated:
        assert (bench.get("scause"), bench.get("sepc"), bench.get("pc"), bench.get("priv")) == (cause, CODE, S_HANDLER, S)
        assert bench.get("mstatus") == MIE | SPIE | (SPP if priv else 0)
    else:
        assert (bench.get("mcause"), bench.get("mepc"), bench.get("pc"), bench.get("priv")) == (cause, CODE, M_HANDLER, M)
        assert bench.get("mstatus") == SIE | MPIE | priv << 11


def test_is_a_trap_of_machine_mode_never_delegated(bench):
    bench.set("medeleg", 0xB3FF)
    run(bench, EBREAK)
    assert bench.get("mcause") == 3 and bench.get("pc") == M_HANDLER


def test_does_mret_return_and_clear_mprv_below_machine_mode(bench):
    bench.set("mepc", DATA)
    bench.set("mstatus", MPIE | MPRV | S << 11)
    run(bench, MRET)
    assert (bench.get("pc"), bench.get("priv"), bench.get("mstatus")) == (DATA, S, MIE | MPIE)


def test_does_sret_return(bench):
    bench.set("sepc", DATA)
    bench.set("mstatus", SPIE | SPP | MPRV)
    run(bench, SRET, priv=S)
    assert (bench.get("pc"), bench.get("priv"), bench.get("mstatus")) == (DATA, S, SIE | SPIE)


SFENCE, SATP_READ = 0x12000073, csrrs(1, CSR.SATP)
FORBIDDEN = [
    (U, 0, MRET), (S, 0, MRET), (U, 0, SRET), (S, TSR, SRET), (U, 0, WFI), (S, TW, WFI), (U, 0, SFENCE), (S, TVM, SFENCE),
    (S, TVM, SATP_READ), (U, 0, SATP_READ), (S, 0, csrrs(1, CSR.MSTATUS)), (U, 0, csrrs(1, CSR.SSTATUS)), (S, 0, csrrs(1, CSR.TIME)),
    (S, 0, csrrs(1, CSR.STIMECMP)),
]  # fmt: skip


@pytest.mark.parametrize(("priv", "status", "instruction"), FORBIDDEN)
def test_is_what_a_mode_may_not_do_illegal(bench, priv, status, instruction):
    bench.set("mstatus", status)
    run(bench, instruction, priv=priv)
    assert (bench.get("mcause"), bench.get("mtval"), bench.get("mepc")) == (2, instruction, CODE)


@pytest.mark.parametrize(("status", "instruction"), [(0, SFENCE), (0, SATP_READ), (TVM, csrrs(1, CSR.SSTATUS))])
def test_is_what_supervisor_mode_may_do_done(bench, status, instruction):
    bench.set("mstatus", status)
    run(bench, instruction, priv=S)
    assert bench.get("pc") == CODE + 4


def test_does_an_instruction_that_traps_not_retire(bench):
    bench.write(M_HANDLER, csrrs(6, CSR.MINSTRET).to_bytes(4, "little") + SPIN.to_bytes(4, "little"))
    run(bench, csrrs(5, CSR.MINSTRET), NOP, ECALL, steps=4)
    assert bench.x(6) - bench.x(5) == 2


def test_does_a_handler_that_faults_itself_leave_the_budget_alone(bench):
    bench.set("mtvec", NOWHERE)
    assert run(bench, ECALL, steps=1000) == 1
    assert bench.get("mcause") == 1 and bench.get("mepc") == NOWHERE


def test_does_jalr_drop_bit_zero_and_link(bench):
    bench.set_x(5, DATA + 1)
    bench.write(DATA, SPIN.to_bytes(4, "little"))
    run(bench, 0x000280E7)
    assert bench.get("pc") == DATA and bench.x(1) == CODE + 4


def test_is_code_that_changes_itself_seen_at_once(bench):
    """addi x5, x5, 1 becomes addi x5, x5, 2, with no fence.i between."""
    bench.set_x(5, 0)
    bench.set_x(6, CODE + 4)
    bench.set_x(7, addi(5, 5, 2))
    run(bench, NOP, addi(5, 5, 1), store(4, 6, 7), jal(0, -8), steps=6)
    assert bench.x(5) == 3


@pytest.mark.parametrize("compressed_first", [False, True])
def test_does_an_instruction_across_two_pages_execute(bench, compressed_first):
    pc = CODE + 0xFFC
    bench.place([0x0001, addi(5, 0, 77)] if compressed_first else [NOP, addi(5, 0, 77)], pc)
    bench.step(2)
    assert bench.x(5) == 77
