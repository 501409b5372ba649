"""record: a state as the frontier keeps it, and as the search works on it.

    [length | lanes of slots << 32, first, second, choices …, words …]

A lane is eight words, of which a byte, its choice, says which follow: first of the thread blocks (those that are not 0: most registers
are dead at any time), then of the slots (those that differ from the initial state). Worked on, a state is a row (space.py).
"""

from __future__ import annotations

from gnomon.check.compiled import copy_eight, differing, gather_eight, inlined, native, octet, set_octet, spread_eight
from gnomon.check.context import AT
from gnomon.check.space import LANES
from gnomon.lang.arith import popcount

HEAD = 3
SLOTS = AT["slots"]


@inlined
def lanes(words):
    """Lanes that hold so many words."""
    return (words + LANES - 1) // LANES


@native
def longest(words, slots):
    """Words of which a record, and what is written behind it, may consist."""
    return HEAD + lanes(lanes(words) + lanes(slots)) + words + slots + LANES


@inlined
def _within(bits, words):
    """The bits of a lane of which only the first `words` words count: what follows are observers' blocks, or slots taken since."""
    return bits & (1 << words) - 1 if words < LANES else bits


@inlined
def unpack(p, shape, row, at):
    """Spread the record at `at` of the current piece over a row."""
    record = p.current
    choices, there = 8 * (at + HEAD), record[at] >> 32
    n = at + HEAD + lanes(shape.lanes + there)
    for k in range(shape.lanes):
        bits = octet(record, choices + k)
        spread_eight(p.blocks, row.blocks + LANES * k, p.zeros, 0, record, n, bits)
        n += popcount(bits)
    choices += shape.lanes
    for k in range(there):
        bits = octet(record, choices + k)
        spread_eight(p.memory, row.memory + LANES * k, p.origin, LANES * k, record, n, bits)
        n += popcount(bits)
    for k in range(there, lanes(p.context[SLOTS])):
        copy_eight(p.memory, row.memory + LANES * k, p.origin, LANES * k)


@inlined
def pack(p, shape, row, slots, at, first, second):
    """Write a row, of which `slots` slots are in use, as a record at `at` of the piece of the next level. Returns where it ends."""
    to = p.following
    choices, there = 8 * (at + HEAD), lanes(slots)
    n = at + HEAD + lanes(shape.lanes + there)
    to[n - 1] = 0  # so that equal states have equal records
    for k in range(shape.lanes):
        bits = _within(differing(p.blocks, row.blocks + LANES * k, p.zeros, 0), shape.words - LANES * k)
        set_octet(to, choices + k, bits)
        gather_eight(to, n, p.blocks, row.blocks + LANES * k, bits)
        n += popcount(bits)
    choices += shape.lanes
    for k in range(there):
        bits = _within(differing(p.memory, row.memory + LANES * k, p.origin, LANES * k), slots - LANES * k)
        set_octet(to, choices + k, bits)
        gather_eight(to, n, p.memory, row.memory + LANES * k, bits)
        n += popcount(bits)
    to[at] = n - at | there << 32
    to[at + 1] = first
    to[at + 2] = second
    return n


@inlined
def exchange(p, shape, row, j):
    """Put the word of pair `j` of the deltas into the row, and the word that was there into the deltas."""
    delta, i, new = p.deltas, p.deltas[j], p.deltas[j + 1]
    if i < shape.words:
        delta[j + 1] = p.blocks[row.blocks + i]
        p.blocks[row.blocks + i] = new
    else:
        i -= shape.words
        delta[j + 1] = p.memory[row.memory + i]
        p.memory[row.memory + i] = new
