"""taking: how the dirty pages of a round are taken from the log of the machine that moves.

    harvest   all at once, from the bitmap: every page is protected before the first is copied
    ring      the same, from the harts' rings; a hart whose ring is full waits for the next round, which slows a guest that writes too fast
    clear     the bitmap is read, and a batch of pages is taken just before it is sent: a page written again before its batch is sent once

Guarantees T1  a page is copied after it was protected, in whichever form: a store that comes later is in a later round
           T2  one snapshot a round holds whatever was taken of it, to be committed or merged back
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

LOGS = ("harvest", "clear", "ring")
WORD = 64
"""Pages of a word of the bitmap, which is what the clear form takes at least."""


def open_log(machine, how: str):
    """The dirty log of `machine` in the mode of LOGS that `how` names, not enabled yet."""
    if how == "ring":
        return machine.dirty_ring()
    if how == "clear":
        return machine.dirty_log("manual-protect,initially-set")
    return machine.dirty_log()


def take_round(log, how: str, most: int) -> tuple[object, Iterator[np.ndarray]]:
    """A snapshot, and its pages in batches of at most `most`, each to be copied when it comes."""
    if how == "clear":
        snapshot = log.begin()
        return snapshot, _slices(_cleared(log, snapshot, most), most)
    snapshot = log.harvest()
    return snapshot, _slices([snapshot.gfns], most)


def _slices(parts, most: int) -> Iterator[np.ndarray]:
    for part in parts:
        for at in range(0, len(part), most):
            yield part[at : at + most]


def _cleared(log, snapshot, most: int) -> Iterator[np.ndarray]:
    """Read the bitmap once, then take what was dirty, whole words of about `most` pages at a time."""
    for named in by_words(log.get(), most):
        first = int(named[0]) // WORD
        bits = np.zeros((int(named[-1]) // WORD - first + 1) * WORD, dtype=bool)
        bits[named - first * WORD] = True
        yield log.take_into(snapshot, first * WORD, np.packbits(bits, bitorder="little").view(np.uint64))


def by_words(gfns: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """The ascending page indices in parts of at least one and at most about `most` pages, no word of the bitmap in two of them."""
    at = 0
    while at < len(gfns):
        end = min(at + most, len(gfns))
        word = gfns[end - 1] // WORD
        begins, ends = np.searchsorted(gfns, [word * WORD, (word + 1) * WORD])
        end = int(begins) if begins > at and ends > end else int(ends)
        yield gfns[at:end]
        at = end
