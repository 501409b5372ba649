"""visited: the set of states seen, 16 bytes an entry, as 128-bit fingerprints in one open-addressed table.

A state's fingerprint is the XOR, over its words that differ from the initial state, of a mix of (which word, value): a step
changes it by the words it changed. Two states with one fingerprint would be taken for one; with n states the chance that this
ever happens in a run is below n² / 2**129, which every result prints. Capacity is any number (no power of two), so that the
table can grow by half and stays more than half full.
"""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import native

A1, A2, A3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
B1, B2, B3 = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
S30, S27, S31, S32, S33 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32), np.uint64(33)
ONE = np.uint64(1)


@native
def mix_first(key, value):
    """First 64 bits of the mix of word number `key` with `value`; 0 for value 0."""
    if value == 0:
        return np.uint64(0)
    x = (np.uint64(key) + ONE) * A1 ^ np.uint64(value) * B1
    x = (x ^ (x >> S30)) * A2
    x = (x ^ (x >> S27)) * A3
    return x ^ (x >> S31)


@native
def mix_second(key, value):
    """The other 64 bits."""
    if value == 0:
        return np.uint64(0)
    x = (np.uint64(key) + ONE) * B2 ^ (np.uint64(value) + A2) * A3
    x = (x ^ (x >> S33)) * B3
    x = (x ^ (x >> S32)) * B1
    return x ^ (x >> S33)


@native
def place(capacity, first):
    """Entry where the search for a fingerprint begins. It grows with the fingerprint, so that rehash() reads and writes in order."""
    return np.int64(((first >> S32) * np.uint64(capacity)) >> S32)


@native
def find(table, capacity, first, second):
    """Entry of this fingerprint, or the free entry where it belongs as -1 - entry."""
    at = place(capacity, first)
    while True:
        a = table[2 * at]
        b = table[2 * at + 1]
        if a == first and b == second:
            return at
        if a == 0 and b == 0:
            return -1 - at
        at += 1
        if at == capacity:
            at = 0


@native
def rehash(old, table, capacity, old_extra, extra):
    """Move every entry of `old` into the empty `table`; `extra` (may be empty) goes along."""
    for i in range(len(old) // 2):
        a, b = old[2 * i], old[2 * i + 1]
        if a != 0 or b != 0:
            at = -1 - find(table, capacity, a, b)
            table[2 * at] = a
            table[2 * at + 1] = b
            if len(extra):
                extra[at] = old_extra[i]


def omission_probability(states: int) -> float:
    """Upper bound of the chance that two different states of a run shared a fingerprint."""
    return states * states / 2.0**129
