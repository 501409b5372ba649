"""divide: RISC-V's division, which never traps."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import sdiv, srem, udiv, urem, wrap


@kernel
def divided(a, b):
    """div: truncating; by zero all ones, and the one overflow gives the dividend."""
    if b == 0:
        return -1
    if b == -1:
        return wrap(-a)
    return sdiv(a, b)


@kernel
def remainder(a, b):
    """rem: of division by zero the dividend, of the overflow 0."""
    if b == 0:
        return a
    if b == -1:
        return 0
    return srem(a, b)


@kernel
def divided_unsigned(a, b):
    """divu."""
    return -1 if b == 0 else udiv(a, b)


@kernel
def remainder_unsigned(a, b):
    """remu."""
    return a if b == 0 else urem(a, b)
