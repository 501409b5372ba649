"""Arithmetic: does compiled code mean what Python means, on every word?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_rig import GREATEST, LEAST, compiled

from gnomon.lang import arith

EDGES = [0, 1, -1, 2, 63, 64, 65, 127, -64, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32, LEAST, LEAST + 1, GREATEST, GREATEST - 1]
WORDS = st.one_of(st.sampled_from(EDGES), st.integers(LEAST, GREATEST))
ONE = [arith.wrap, arith.sext32, arith.zext32, arith.ctz, arith.popcount]
TWO = [arith.shl, arith.shr, arith.sar, arith.ult, arith.mul, arith.mulh, arith.mulhu, arith.mulhsu]
DIVIDE = [arith.sdiv, arith.srem, arith.udiv, arith.urem]


def named(primitive):
    return primitive.__name__


@pytest.mark.parametrize("primitive", ONE, ids=named)
@given(a=WORDS)
def test_does_one_operand_agree(primitive, a):
    assert compiled(primitive)(a) == primitive(a)


@pytest.mark.parametrize("primitive", TWO, ids=named)
@given(a=WORDS, b=WORDS)
def test_do_two_operands_agree(primitive, a, b):
    assert compiled(primitive)(a, b) == primitive(a, b)


@pytest.mark.parametrize("primitive", DIVIDE, ids=named)
@given(a=WORDS, b=WORDS.filter(bool))
def test_does_division_agree_where_it_is_defined(primitive, a, b):
    if not (a == LEAST and b == -1 and primitive in (arith.sdiv, arith.srem)):
        assert compiled(primitive)(a, b) == primitive(a, b)


@given(a=st.integers(), b=st.integers())
def test_does_wrap_keep_the_low_64_bits_of_any_integer(a, b):
    assert (arith.wrap(a * b) - a * b) % (1 << 64) == 0
    assert LEAST <= arith.wrap(a * b) <= GREATEST


def test_is_every_primitive_of_arith_covered_here():
    public = {f for f in vars(arith).values() if callable(f) and getattr(f, "__module__", "") == arith.__name__ and f.__name__[0] != "_"}
    assert {f for f in public if f.__name__ != "emit"} == {*ONE, *TWO, *DIVIDE}
