"""Guest memory: does each compiled access do to the bytes what its Python meaning does?"""

import inspect
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_rig import GREATEST, LEAST, compiled

from gnomon.lang import PAGE_SIZE, PAGE_WORDS, Arena, guest_memory
from gnomon.lang.primitive import PRIMITIVES

KINDS = re.compile(r"(load|store)\d+s?|amo_\w+|cmpxchg_guest\d+|fetch32")
ACCESSES = {name: primitive for name, primitive in PRIMITIVES.items() if KINDS.fullmatch(name)}
WORDS = st.one_of(st.sampled_from([0, 1, -1, 0x80, 0x8000, 1 << 31, -(1 << 31), LEAST, GREATEST]), st.integers(LEAST, GREATEST))
HERE, THERE = Arena(2 * PAGE_WORDS), Arena(2 * PAGE_WORDS)


def width(name: str) -> int:
    return 2 if name == "fetch32" else int("".join(c for c in name if c.isdigit())) // 8


def both(primitive, *arguments):
    """Run compiled on HERE and interpreted on THERE. Returns the two results."""
    return compiled(primitive)(HERE, *arguments), primitive(THERE, *arguments)


@pytest.mark.parametrize("name", ACCESSES)
@given(data=st.data(), before=st.binary(min_size=16, max_size=16))
def test_does_it_agree_on_the_result_and_on_every_byte_around(name, data, before):
    primitive = ACCESSES[name]
    for arena in (HERE, THERE):
        arena.octets[256 : 256 + 16] = np.frombuffer(before, np.uint8)
    at = 256 + width(name) * data.draw(st.integers(0, 8 // width(name)))
    values = [data.draw(WORDS) for _ in list(inspect.signature(primitive).parameters)[2:]]
    if name.startswith("cmpxchg") and data.draw(st.booleans()):
        values[0] = ACCESSES[f"load{8 * width(name)}" + ("s" if width(name) == 4 else "")](THERE, at)  # so that it swaps
    mine, theirs = both(primitive, at, *values)
    assert mine == theirs
    assert (HERE.octets[240:288] == THERE.octets[240:288]).all()


def test_does_a_swapped_compare_and_exchange_return_the_old_value_sign_extended():
    HERE.octets[512:520] = 0xFF
    assert compiled(guest_memory.cmpxchg_guest32)(HERE, 512, 0xFFFFFFFF, 5) == -1
    assert compiled(guest_memory.load64)(HERE, 512) == -(1 << 32) + 5


@given(pattern=st.binary(min_size=1, max_size=64))
def test_are_copies_and_clears_of_a_page_exact(pattern):
    content = (pattern * PAGE_SIZE)[:PAGE_SIZE]
    for arena in (HERE, THERE):
        arena.octets[:PAGE_SIZE] = np.frombuffer(content, np.uint8)
        arena.octets[PAGE_SIZE:] = 0xEE
    both(guest_memory.copy_page, PAGE_SIZE, 0)
    assert HERE.octets[PAGE_SIZE:].tobytes() == content == THERE.octets[PAGE_SIZE:].tobytes()
    both(guest_memory.clear_page, 0)
    assert not HERE.octets[:PAGE_SIZE].any() and not THERE.octets[:PAGE_SIZE].any()
    assert HERE.octets[PAGE_SIZE:].tobytes() == content
