"""Kernels that exercise every operation of the dialect, for the differential tests of lowering."""

from gnomon.lang import kernel, record
from gnomon.lang.arith import ctz, mul, mulhu, popcount, sar, sdiv, sext32, shl, shr, udiv, ult, urem, wrap, zext32
from gnomon.lang.atomics import cmpxchg, fetch_add, fetch_and, fetch_or, load_acquire, mb, read_once, store_release, write_once, xchg
from gnomon.lang.guest_memory import amo_xor64, load64, store64

PAIR = record("CHECK_PAIR", "Two words and a row.", left=1, right=1, row=6)
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
