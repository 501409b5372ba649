"""Tracked stores: does a guest's store to its own page table land whole, whatever instruction makes it?

The root table maps all RAM to itself by one gigapage; once the hart ran under it, it is shadowed and write-tracked.
"""

import pytest
from hart_code import AMOADD, AMOSWAP, LR, NOP, SC, SPIN, amo, load, store
from hart_rig import CODE, RAM, Bench

from gnomon.mmu.vcpu import VCPU

ROOT = RAM + 0x20000
V_RWXAD = 0xCF
VALUE = 0x1122334455667788
GIGAPAGE = (RAM >> 12) << 10 | V_RWXAD


@pytest.fixture(scope="module")
def bench():
    return Bench(pages=128)


def run(bench, code, address):
    """Returns how many of the stores were tracked."""
    bench.reset(CODE)
    bench.write(ROOT - 8, bytes(0x1010))
    bench.write(ROOT + 2 * 8, GIGAPAGE.to_bytes(8, "little"))
    bench.set("mtvec", RAM)
    bench.set("priv", 1)
    bench.set("satp", 8 << 60 | ROOT >> 12)
    bench.set_x(1, address)
    bench.set_x(2, VALUE)
    before = int(bench.m.words[bench.v + VCPU.tracked_writes])
    bench.place([NOP, *code, SPIN])
    bench.step(1 + len(code))
    assert bench.get("mcause") == 0 and bench.get("pc") == CODE + 4 + 4 * len(code)
    return int(bench.m.words[bench.v + VCPU.tracked_writes]) - before


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("offset", [0x800, 0x801, 0x803])
def test_does_a_store_to_the_table_land(bench, size, offset):
    assert run(bench, [store(size, 1, 2), load(size, 3, 1)], ROOT + offset) == 1
    assert bench.read(ROOT + offset - 1, size + 2) == b"\0" + VALUE.to_bytes(8, "little")[:size] + b"\0"
    assert bench.x(3) & (1 << 8 * size) - 1 == VALUE & (1 << 8 * size) - 1


@pytest.mark.parametrize("start", [ROOT - 3, ROOT + 0x1000 - 3])
def test_does_a_store_across_its_border_land_whole(bench, start):
    assert run(bench, [store(8, 1, 2)], start) == 1
    assert bench.read(start, 8) == VALUE.to_bytes(8, "little")


@pytest.mark.parametrize("size", [4, 8])
def test_do_atomics_on_the_table_work(bench, size):
    place, mask = ROOT + 0x800, (1 << 8 * size) - 1
    assert run(bench, [amo(AMOSWAP, size, 3, 1, 2), amo(AMOADD, size, 4, 1, 2)], place) == 2
    assert bench.read64(place) & mask == 2 * VALUE & mask and bench.x(3) == 0 and bench.x(4) & mask == VALUE & mask
    assert run(bench, [amo(LR, size, 3, 1), amo(SC, size, 4, 1, 2)], place) == 1
    assert bench.read64(place) & mask == VALUE & mask and bench.x(4) == 0
