"""64-bit integer arithmetic where Python's differs: wrapping, unsigned, truncating, and 128-bit products.

An int64 word carries both signed and unsigned values. Compiled code wraps silently; a Python int grows. A kernel writes
`wrap(a + b)` where a sum may leave 64 bits and its bits are then compared or shifted (a value that only goes to a store needs no
wrap: stores wrap). Shifts take their count modulo 64, as RV64 does.
"""

from __future__ import annotations

from llvmlite import ir

from gnomon.lang.compiled_arena import WORD
from gnomon.lang.primitive import MASK, lowered_by, wrap64

_WIDE = ir.IntType(128)
_COUNT_MASK = ir.Constant(WORD, 63)


@lowered_by(lambda builder, value: value)
def wrap(value):
    """`value` reduced to int64: nothing to do for compiled code."""
    return wrap64(int(value))


@lowered_by(lambda builder, value: builder.sext(builder.trunc(value, ir.IntType(32)), WORD))
def sext32(value):
    """The low 32 bits, sign-extended."""
    low = int(value) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


@lowered_by(lambda builder, value: builder.zext(builder.trunc(value, ir.IntType(32)), WORD))
def zext32(value):
    """The low 32 bits, zero-extended."""
    return int(value) & 0xFFFFFFFF


@lowered_by(lambda builder, value, count: builder.shl(value, builder.and_(count, _COUNT_MASK)))
def shl(value, count):
    """Shift left by count mod 64, dropping what leaves 64 bits."""
    return wrap64(int(value) << (int(count) & 63))


@lowered_by(lambda builder, value, count: builder.lshr(value, builder.and_(count, _COUNT_MASK)))
def shr(value, count):
    """Logical (zero-filling) shift right by count mod 64."""
    return wrap64((int(value) & MASK) >> (int(count) & 63))


@lowered_by(lambda builder, value, count: builder.ashr(value, builder.and_(count, _COUNT_MASK)))
def sar(value, count):
    """Arithmetic shift right by count mod 64."""
    return wrap64(int(value)) >> (int(count) & 63)


@lowered_by(lambda builder, a, b: builder.zext(builder.icmp_unsigned("<", a, b), WORD))
def ult(a, b):
    """1 if a < b as unsigned 64-bit numbers, else 0."""
    return int((int(a) & MASK) < (int(b) & MASK))


def _high(extend_a, extend_b):
    def emit(builder, a, b):
        product = builder.mul(getattr(builder, extend_a)(a, _WIDE), getattr(builder, extend_b)(b, _WIDE))
        return builder.trunc(builder.lshr(product, ir.Constant(_WIDE, 64)), WORD)

    return emit


@lowered_by(lambda builder, a, b: builder.mul(a, b))
def mul(a, b):
    """Low 64 bits of the product."""
    return wrap64(int(a) * int(b))


@lowered_by(_high("sext", "sext"))
def mulh(a, b):
    """High 64 bits of the signed product."""
    return wrap64((int(a) * int(b)) >> 64)


@lowered_by(_high("zext", "zext"))
def mulhu(a, b):
    """High 64 bits of the unsigned product."""
    return wrap64(((int(a) & MASK) * (int(b) & MASK)) >> 64)


@lowered_by(_high("sext", "zext"))
def mulhsu(a, b):
    """High 64 bits of signed a times unsigned b."""
    return wrap64((int(a) * (int(b) & MASK)) >> 64)


@lowered_by(lambda builder, a, b: builder.sdiv(a, b))
def sdiv(a, b):
    """Signed quotient truncated toward zero. b must not be 0, and not -1 when a is the least int64."""
    quotient = abs(int(a)) // abs(int(b))
    return wrap64(quotient if (int(a) < 0) == (int(b) < 0) else -quotient)


@lowered_by(lambda builder, a, b: builder.srem(a, b))
def srem(a, b):
    """Signed remainder with the sign of a. Same limits as sdiv."""
    rest = abs(int(a)) % abs(int(b))
    return -rest if int(a) < 0 else rest


@lowered_by(lambda builder, a, b: builder.udiv(a, b))
def udiv(a, b):
    """Unsigned quotient. b must not be 0."""
    return wrap64((int(a) & MASK) // (int(b) & MASK))


@lowered_by(lambda builder, a, b: builder.urem(a, b))
def urem(a, b):
    """Unsigned remainder. b must not be 0."""
    return wrap64((int(a) & MASK) % (int(b) & MASK))


def _emit_ctz(builder, value):
    return builder.cttz(value, ir.Constant(ir.IntType(1), 0))


@lowered_by(_emit_ctz)
def ctz(value):
    """Index of the lowest set bit, 64 for 0."""
    value = int(value) & MASK
    return (value & -value).bit_length() - 1 if value else 64


def _emit_popcount(builder, value):
    return builder.ctpop(value)


@lowered_by(_emit_popcount)
def popcount(value):
    """Number of set bits."""
    return (int(value) & MASK).bit_count()
