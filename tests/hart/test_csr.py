"""CSRs: does each keep what it may keep, and nothing else?"""

import pytest
from hart_code import SPIN, csrrc, csrrs, csrrw
from hart_rig import CODE, Bench

from gnomon.hart import csr_number as CSR

ONES = (1 << 64) - 1
KEPT = {  # what is read back after all ones were written
    CSR.MSCRATCH: ONES, CSR.SSCRATCH: ONES, CSR.MEPC: ONES - 1, CSR.SEPC: ONES - 1, CSR.MTVEC: ONES - 2, CSR.STVEC: ONES - 2,
    CSR.MCAUSE: ONES, CSR.SCAUSE: ONES, CSR.MTVAL: ONES, CSR.STVAL: ONES, CSR.MEDELEG: 0xB3FF, CSR.MIDELEG: 0x222, CSR.MIE: 0xAAA,
    CSR.MCOUNTEREN: 0xFFFFFFFF, CSR.SCOUNTEREN: 0xFFFFFFFF, CSR.MENVCFG: 1 << 63 | 1, CSR.SENVCFG: 1, CSR.PMPADDR0: (1 << 54) - 1,
    CSR.PMPADDR15: (1 << 54) - 1, CSR.STIMECMP: ONES, CSR.MSTATUS: 0xA007E19AA, CSR.SSTATUS: 0x2000C0122, CSR.MISA: 0x8000000000141105,
    CSR.MCOUNTINHIBIT: 0, CSR.MHPMCOUNTER3: 0, CSR.MHPMEVENT31: 0, CSR.TSELECT: 0, CSR.SATP: 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def shared():
    return Bench(pages=16)


@pytest.fixture
def bench(shared):
    shared.reset(CODE)
    return shared


def access(bench, *code, **registers):
    for name, value in registers.items():
        bench.set_x(int(name[1:]), value)
    bench.place([*code, SPIN])
    bench.step(len(code))
    assert bench.get("pc") == CODE + 4 * len(code), f"trapped: {bench.get('mcause')} {bench.get('mtval'):#x}"


@pytest.mark.parametrize("csr", KEPT, ids=hex)
def test_what_is_kept_of_all_ones(bench, csr):
    access(bench, csrrw(0, csr, 1), csrrs(2, csr), x1=ONES)
    assert bench.x(2) == KEPT[csr]


@pytest.mark.parametrize("csr", [CSR.MVENDORID, CSR.MARCHID, CSR.MIMPID, CSR.MCONFIGPTR, CSR.MHARTID, CSR.HPMCOUNTER3])
def test_which_identify_as_nothing(bench, csr):
    access(bench, csrrs(2, csr), x2=5)
    assert bench.x(2) == 0


def test_do_set_and_clear_change_single_bits(bench):
    access(
        bench,
        csrrw(2, CSR.MSCRATCH, 1),
        csrrs(3, CSR.MSCRATCH, 4),
        csrrc(5, CSR.MSCRATCH, 6),
        csrrs(7, CSR.MSCRATCH),
        x1=0xF0,
        x4=0x0F,
        x6=0x18,
    )
    assert [bench.x(n) for n in (2, 3, 5, 7)] == [0, 0xF0, 0xFF, 0xE7]


def test_is_a_source_that_is_also_the_destination_read_first(bench):
    access(bench, csrrw(1, CSR.MSCRATCH, 1), csrrs(2, CSR.MSCRATCH), x1=9)
    assert bench.x(1) == 0 and bench.x(2) == 9


@pytest.mark.parametrize(("mode", "kept"), [(0, False), (8, True), (9, False), (10, False), (15, False)])
def test_which_modes_does_satp_take(bench, mode, kept):
    ppn = 0x80001
    access(bench, csrrw(0, CSR.SATP, 1), csrrs(2, CSR.SATP), x1=mode << 60 | 0xFFFF << 44 | ppn)
    assert bench.x(2) == (8 << 60 | ppn if kept else 0)


def test_does_an_unsupported_mode_leave_satp_alone(bench):
    access(bench, csrrw(0, CSR.SATP, 1), csrrw(0, CSR.SATP, 3), csrrs(2, CSR.SATP), x1=8 << 60 | 5, x3=9 << 60 | 7)
    assert bench.x(2) == 8 << 60 | 5


def test_is_the_reserved_privilege_refused_by_mpp(bench):
    access(bench, csrrw(0, CSR.MSTATUS, 1), csrrw(0, CSR.MSTATUS, 3), csrrs(2, CSR.MSTATUS), x1=1 << 11, x3=2 << 11)
    assert bench.x(2) >> 11 & 3 == 1


def test_do_counters_count_and_take_values(bench):
    access(
        bench,
        csrrs(2, CSR.MINSTRET),
        csrrs(3, CSR.MINSTRET),
        csrrw(0, CSR.MINSTRET, 1),
        csrrs(4, CSR.MINSTRET),
        csrrs(5, CSR.INSTRET),
        x1=1000,
    )
    assert (bench.x(2), bench.x(3), bench.x(4), bench.x(5)) == (0, 1, 1000, 1001)
    access(bench, csrrw(0, CSR.MCYCLE, 1), csrrs(2, CSR.MCYCLE), csrrs(3, CSR.CYCLE), x1=77)
    assert (bench.x(2), bench.x(3)) == (77, 78)


def test_are_pmp_bytes_warl_and_lockable(bench):
    access(bench, csrrw(0, CSR.PMPCFG0, 1), csrrs(2, CSR.PMPCFG0), x1=0x9F_62)
    assert bench.x(2) == 0x9F_00
    access(bench, csrrw(0, CSR.PMPCFG0, 1), csrrs(2, CSR.PMPCFG0), csrrw(0, CSR.PMPADDR0 + 1, 1), csrrs(3, CSR.PMPADDR0 + 1), x1=0)
    assert bench.x(2) == 0x9F_00 and bench.x(3) == 0


def test_are_sie_and_sip_views_of_what_is_delegated(bench):
    access(
        bench,
        csrrw(0, CSR.MIDELEG, 1),
        csrrw(0, CSR.MIE, 3),
        csrrs(2, CSR.SIE),
        csrrw(0, CSR.SIE, 0),
        csrrs(4, CSR.MIE),
        x1=0x202,
        x3=0xAAA,
    )
    assert bench.x(2) == 0x202 and bench.x(4) == 0xAAA & ~0x202


def test_is_the_counter_gated_by_both_enables(bench):
    bench.set("mcounteren", 1)
    bench.set("priv", 1)
    access(bench, csrrs(2, CSR.CYCLE))
    bench.set("priv", 0)
    bench.place([csrrs(2, CSR.CYCLE)])
    bench.step(1)
    assert bench.get("mcause") == 2
