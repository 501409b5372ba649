"""Guests: do the self-checking instruction tests pass, every one?"""

from pathlib import Path

import pytest
from hart_rig import PASSED, Bench

import gnomon.guests

ISA = sorted((Path(gnomon.guests.__file__).parent / "isa").glob("*.elf"))


@pytest.mark.parametrize("elf", ISA, ids=lambda path: path.stem)
def test_does_the_guest_pass_its_own_checks(elf):
    bench = Bench(pages=4096)
    bench.load_elf(elf)
    assert bench.run(slices=300) == PASSED, bench.console.decode(errors="replace")


def test_are_there_guests_for_it():
    assert len(ISA) >= 14
