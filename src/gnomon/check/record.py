"""record: a state as the frontier keeps it, and as the search works on it.

    [length | slot bitmaps << 32, first, second, bitmaps …, words …]

The bitmaps say which words follow: first of the thread blocks (those that are not 0: most registers are dead at any time), then of
the slots (those that differ from the initial state). Worked on, a state is a row: its blocks at R[r:], its slots at M[m:], the same
bitmaps at bits[b:]. `blocks` and `most` are how many words of bitmaps the blocks have and the slots may have.
"""

from __future__ import annotations

from gnomon.check.compiled import native
from gnomon.lang.arith import ctz

HEAD = 3


@native
def longest(words, slots):
    """Words that a record may take."""
    return HEAD + (words + 63) // 64 + (slots + 63) // 64 + words + slots


@native
def unpack(record, at, R, r, words, M, m, origin, slots, bits, b, blocks, most):
    """Spread a record over a row."""
    for i in range(words):
        R[r + i] = 0
    for i in range(slots):
        M[m + i] = origin[i]
    used = record[at] >> 32
    n = at + HEAD + blocks + used
    for k in range(blocks):
        left = record[at + HEAD + k]
        bits[b + k] = left
        while left != 0:
            R[r + 64 * k + ctz(left)] = record[n]
            n += 1
            left &= left - 1
    for k in range(most):
        left = record[at + HEAD + blocks + k] if k < used else 0
        bits[b + blocks + k] = left
        while left != 0:
            M[m + 64 * k + ctz(left)] = record[n]
            n += 1
            left &= left - 1


@native
def pack(to, at, first, second, R, r, M, m, slots, bits, b, blocks):
    """Write a row as a record at `at`. Returns where the next one begins."""
    used = (slots + 63) >> 6
    n = at + HEAD + blocks + used
    for k in range(blocks):
        left = bits[b + k]
        to[at + HEAD + k] = left
        while left != 0:
            to[n] = R[r + 64 * k + ctz(left)]
            n += 1
            left &= left - 1
    for k in range(used):
        left = bits[b + blocks + k]
        to[at + HEAD + blocks + k] = left
        while left != 0:
            to[n] = M[m + 64 * k + ctz(left)]
            n += 1
            left &= left - 1
    to[at] = n - at | used << 32
    to[at + 1] = first
    to[at + 2] = second
    return n


@native
def exchange(delta, j, words, R, r, M, m, origin, bits, b, blocks):
    """Put the word of pair `j` of a delta into the row, and the word that was there into the delta."""
    i, new = delta[j], delta[j + 1]
    if i < words:
        delta[j + 1] = R[r + i]
        R[r + i] = new
        at = b + (i >> 6)
        there = int(new != 0)
    else:
        i -= words
        delta[j + 1] = M[m + i]
        M[m + i] = new
        at = b + blocks + (i >> 6)
        there = int(new != origin[i])
    bits[at] = bits[at] & ~(1 << (i & 63)) | there << (i & 63)
