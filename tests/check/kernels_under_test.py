"""Kernels that exercise every operation of the dialect, for the differential tests of lowering."""

from gnomon.hart import opcode as OPCODE
from gnomon.lang import kernel, record
from gnomon.lang.arith import ctz, mul, mulh, mulhsu, mulhu, popcount, sar, sdiv, sext32, shl, shr, udiv, ult, urem, wrap, zext32
from gnomon.lang.atomics import cmpxchg, fetch_add, fetch_and, fetch_or, load_acquire, mb, read_once, store_release, write_once, xchg
from gnomon.lang.guest_memory import (
    amo_add32,
    amo_and32,
    amo_max32,
    amo_max64,
    amo_maxu32,
    amo_maxu64,
    amo_min32,
    amo_min64,
    amo_minu32,
    amo_minu64,
    amo_or32,
    amo_swap32,
    amo_xor32,
    amo_xor64,
    cmpxchg_guest32,
    fetch32,
    load8,
    load8s,
    load16,
    load16s,
    load32,
    load32s,
    load64,
    store8,
    store16,
    store32,
    store64,
)

PAIR = record("CHECK_PAIR", "Two words and a row.", left=1, right=1, row=7)
ROUNDS = 3
BASE = 128


@kernel
def mix(m, a, b):
    """Every local operation, into words of PAIR.row."""
    at = BASE + PAIR.row
    write_once(m, at, wrap(a + b * 3))
    write_once(m, at + 1, (a & b) ^ (a | ~b))
    write_once(m, at + 2, shl(a, b) ^ shr(a, b) ^ sar(a, b))
    write_once(m, at + 3, ult(a, b) + (a < b) * 2 + (a >= b) * 4 + (a != b) * 8 + (not a) * 16)
    write_once(m, at + 4, sext32(a) ^ zext32(b) ^ popcount(a) ^ ctz(b))
    if b > 0:
        write_once(m, at + 5, sdiv(a, b) ^ urem(a, b) ^ udiv(a, b) ^ mulhu(a, b) ^ mul(a, b))
        write_once(m, at + 6, mulh(a, b) ^ mulhsu(a, b) * 3 + mulhsu(b, a) * OPCODE.LD)
    return -a if a > -5 and a < 5 else 7


@kernel
def rotate(m, a, b):
    """Reads, writes and locked operations in nested loops with early exits."""
    found = 0
    for i in range(ROUNDS):
        x = read_once(m, BASE + PAIR.row + i)
        if x & 1 and i == b & 3:
            continue
        y = x
        while y > 1 and found < 20:
            y = y >> 1
            found += 1
            if y == a:
                break
        if cmpxchg(m, BASE + PAIR.left, y, x ^ a) == y or found > 9:
            fetch_add(m, BASE + PAIR.right, i + 1)
            mb()
    for i in range(5, -1, -2):
        store_release(m, BASE + PAIR.row + i, xchg(m, BASE + PAIR.left, load_acquire(m, BASE + PAIR.row + i)))
    return found


@kernel
def choose_side(m, a):
    """A callee with two call sites and its own points."""
    fetch_or(m, BASE + PAIR.left, a & 0xFF)
    if a & 1:
        return fetch_and(m, BASE + PAIR.right, ~a)
    return load64(m, (BASE + PAIR.right) << 3)


@kernel
def nest(m, a, b):
    """Calls in calls, results used across them."""
    first = choose_side(m, a)
    second = choose_side(m, b)
    store64(m, (BASE + PAIR.row + 2) << 3, first + second)
    return first ^ amo_xor64(m, BASE << 3, second)


@kernel
def narrow(m, a, b):
    """Every access to a part of a word, at every place where it may lie."""
    at = (BASE + PAIR.row) << 3
    store64(m, at, a)
    found = 0
    for i in range(8):
        store8(m, at + 8 + i, b + i)
        found ^= load8(m, at + i) * 3 ^ load8s(m, at + 15 - i)
    for i in range(0, 8, 2):
        store16(m, at + 16 + i, a ^ i)
        found = wrap(found * 5 + load16(m, at + i) - load16s(m, at + 8 + i) + fetch32(m, at + 4 + i))
    for i in range(0, 8, 4):
        store32(m, at + 24 + i, b - i)
        found = wrap(found * 7 + load32(m, at + i) - load32s(m, at + 16 + i))
        other = at + 8 + i
        found ^= amo_add32(m, other, a) ^ amo_xor32(m, other, b) ^ amo_or32(m, other, a) ^ amo_and32(m, other, b | 7)
        found = wrap(found * 3 + amo_min32(m, other, a) + amo_max32(m, other, b))
        found = wrap(found * 3 + amo_minu32(m, other, b) + amo_maxu32(m, other, a))
        found ^= cmpxchg_guest32(m, other, a, b) ^ cmpxchg_guest32(m, other, load32s(m, other), 77) ^ amo_swap32(m, other, wrap(a + b))
    found ^= amo_min64(m, at, b) ^ amo_max64(m, at + 16, a)
    return found ^ amo_minu64(m, at, b) ^ amo_maxu64(m, at + 16, a)
