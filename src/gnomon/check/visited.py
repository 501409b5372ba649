"""visited: the set of states seen, 16 bytes an entry, as 128-bit fingerprints in one open-addressed table without locks.

A state's fingerprint is the XOR, over its words, of a mix of (which word, value): a step changes it by the words it changed. Threads
that run the same program contribute a sum instead, so that states which differ only in which of them is where count as one.
Two states with one fingerprint would be taken for one; with n states the chance that this ever happens in a run is below
n² / 2**129, which every result prints. Capacity is any number (no power of two), so that the table can grow by half and stays more
than half full.

Several workers enter states at once. An entry belongs to whoever swaps its first word from 0; the second word follows, and whoever
finds the first one equal waits for it. Neither word of a fingerprint is 0. The table grows while no worker runs.
"""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import acquire, claim, native

M1, M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
STEP = np.uint64(0x9E3779B97F4A7C15)
S32, S33 = np.uint64(32), np.uint64(33)
ZERO, ONE = np.uint64(0), np.uint64(1)


@native
def mix(x):
    """A bijection of 64 bits in which every bit of the result depends on every bit of x (Appleby's finaliser)."""
    x = (x ^ (x >> S33)) * M1
    x = (x ^ (x >> S33)) * M2
    return x ^ (x >> S33)


@native
def key(number):
    """Key number `number` of an endless row of unrelated ones."""
    return mix(np.uint64(number) * STEP + STEP)


@native
def change(k, old, new):
    """What a word with key `k` adds to a fingerprint when it changes from `old` to `new`."""
    return mix(k ^ np.uint64(old)) ^ mix(k ^ np.uint64(new))


@native
def place(capacity, first):
    """Entry where the search for a fingerprint begins. It grows with the fingerprint, so that rehash() reads and writes in order."""
    return np.int64(((first >> S32) * np.uint64(capacity)) >> S32)


@native
def enter(table_at, capacity, first, second):
    """Entry of this fingerprint, or -1 - entry of a free one that is now ours: the caller publishes its second word."""
    at = place(capacity, first)
    while True:
        here = table_at + 16 * at
        a = acquire(here)
        if a == ZERO:
            a = claim(here, first)  # two workers with two states here: one of them goes on to the next entry
            if a == ZERO:
                return -1 - at
        if a == first:
            b = acquire(here + 8)
            while b == ZERO:
                b = acquire(here + 8)  # its owner is between the two words
            if b == second:
                return at
        at += 1
        if at == capacity:
            at = 0


@native
def rehash(old, table, capacity, old_extra, extra):
    """Move every entry of `old` into the empty `table`, alone; `extra` (may be empty) goes along."""
    for i in range(len(old) // 2):
        a, b = old[2 * i], old[2 * i + 1]
        if a != ZERO:
            at = place(capacity, a)
            while table[2 * at] != ZERO:
                at += 1
                if at == capacity:
                    at = 0
            table[2 * at] = a
            table[2 * at + 1] = b
            if len(extra):
                extra[at] = old_extra[i]


def omission_probability(states: int) -> float:
    """Upper bound of the chance that two different states of a run shared a fingerprint."""
    return states * states / 2.0**129
