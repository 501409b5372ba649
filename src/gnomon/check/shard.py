"""shard: a part of the states, by fingerprint: which shard owns a state, parcels of states on their way to their owners, and an
owner's set of the states that it has seen.

A state belongs to the shard that the second word of its fingerprint says; the first word says where it is in the shard's table.
State number `index * shards + shard` is the `index`-th that its shard entered. Nothing here depends on who does it, or how often:
the same parcels in the same order make the same shard.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import lz4.block
import numpy as np

from gnomon.check.compiled import native, octet, pointers, publish, set_octet
from gnomon.check.record import HEAD, lanes
from gnomon.check.space import LANES
from gnomon.check.visited import LINE, S32, Table, enter, spread
from gnomon.lang.arith import ctz, popcount

NOBODY = 0xFFFFFFFF
"""Parent of the initial state."""
Pieces = namedtuple("Pieces", "records to")
FULL = 75
"""Percent of a table's entries that may be taken."""


@native
def owner(second, shards):
    """The shard of a fingerprint."""
    return np.int64(((second >> S32) * np.uint64(shards)) >> S32)


@native
def measure(records, end, shards, owners, first, sizes):
    """Write down who owns each record of a piece, from number `first` on; add up words in sizes. Returns the number behind the last."""
    at, n = 0, first
    while at < end:
        shard = owner(np.uint64(records[at + 2]), shards)
        owners[n] = shard
        sizes[shard] += records[at] & 0xFFFFFFFF
        at += records[at] & 0xFFFFFFFF
        n += 1
    return n


@native
def deal(records, end, owners, first, to, tails):
    """Copy the records of a piece, behind what was dealt before, to where those of their owners are."""
    at, n = 0, first
    while at < end:
        length = records[at] & 0xFFFFFFFF
        tail = tails[owners[n]]
        for i in range(length):
            to[tail + i] = records[at + i]
        tails[owners[n]] = tail + length
        at += length
        n += 1
    return n


@native
def renumber(records, end, blocks, places, row, to):
    """Write records again whose slot i has number places[i] here. `blocks` are the lanes of the thread blocks; `row` is room for the
    choices of the slots and their words. Returns the end of what was written."""
    p = pointers(Pieces(records, to))
    at = tail = 0
    used = lanes(places.max() + 1)
    while at < end:
        there = records[at] >> 32
        n, m = at + HEAD + lanes(blocks + there), tail + HEAD + lanes(blocks + used)
        for i in range(HEAD):
            to[tail + i] = records[at + i]
        to[m - 1] = 0
        old, new = 8 * (at + HEAD), 8 * (tail + HEAD)
        for k in range(blocks):
            bits = octet(p.records, old + k)
            set_octet(p.to, new + k, bits)
            for _i in range(popcount(bits)):
                to[m] = records[n]
                n += 1
                m += 1
        for k in range(used):
            row[k] = 0
        for k in range(there):
            left = octet(p.records, old + blocks + k)
            while left != 0:
                slot = places[LANES * k + ctz(left)]
                row[slot // LANES] |= np.int64(1) << (slot % LANES)
                row[used + slot] = records[n]
                n += 1
                left &= left - 1
        for k in range(used):
            left = row[k]
            set_octet(p.to, new + blocks + k, left)
            while left != 0:
                to[m] = row[used + LANES * k + ctz(left)]
                m += 1
                left &= left - 1
        to[tail] = m - tail | used << 32
        at, tail = n, m
    return tail


@native
def admit(records, end, origins, table_at, capacity, follow, extra, count, to, tail, fingerprints, whence, new, numbers, known):
    """Enter the records of a parcel; those that are new get the next numbers and are copied to the frontier.

    Returns (states entered so far, end of the frontier, new ones so far)."""
    at = n = 0
    while at < end:
        length = records[at] & 0xFFFFFFFF
        first, second = np.uint64(records[at + 1]), np.uint64(records[at + 2])
        entry = enter(table_at, capacity, first, second)
        number = count
        if entry < 0:
            entry = -1 - entry
            publish(table_at + 16 * entry + 8, second)
            if follow:
                extra[entry] = count
            for i in range(length):
                to[tail + i] = records[at + i]
            tail += length
            fingerprints[2 * new], fingerprints[2 * new + 1] = first, second
            whence[new] = origins[n]
            new += 1
            count += 1
        elif follow:
            number = extra[entry]
        if follow:
            numbers[known + n] = number
        at += length
        n += 1
    return count, tail, new


@native
def refill(fingerprints, table_at, capacity, follow, extra):
    """Enter a shard's states again, in the order in which they were entered first, into an empty table."""
    for n in range(len(fingerprints) // 2):
        entry = -1 - enter(table_at, capacity, fingerprints[2 * n], fingerprints[2 * n + 1])
        publish(table_at + 16 * entry + 8, fingerprints[2 * n + 1])
        if follow:
            extra[entry] = n


@dataclass(frozen=True)
class Parcel:
    """Successors for one shard: records under the numbering `base` + `slots`, and where each comes from: parent << 8 | action."""

    count: int
    words: int
    base: int  # how many slots had numbers everywhere when the records were made …
    slots: tuple[int, ...]  # … and the words of those that got the next numbers on the way
    records: bytes  # lz4
    origins: bytes  # lz4

    @property
    def size(self) -> int:
        return len(self.records) + len(self.origins)


def wrap(records: np.ndarray, origins: np.ndarray, base: int, slots: tuple[int, ...]) -> Parcel:
    """A parcel of these records."""
    return Parcel(len(origins), len(records), base, slots, _packed(records), _packed(origins))


def _packed(words: np.ndarray) -> bytes:
    return lz4.block.compress(words.tobytes())


def _unpacked(packed: bytes) -> np.ndarray:
    return np.frombuffer(lz4.block.decompress(packed, return_bytearray=True), np.int64)


@dataclass(frozen=True)
class Fresh:
    """What entered a shard at a level."""

    frontier: np.ndarray  # records …
    end: int  # … up to this word
    first: int  # index of the first new state
    fingerprints: np.ndarray
    whence: np.ndarray  # parent << 8 | action of each new state
    numbers: np.ndarray  # index of each state of the parcels, new or not, when edges are asked for


class Shard:
    """The states that a shard has seen."""

    def __init__(self, follow: bool):
        self.follow, self.count = follow, 0
        self.table = self._empty(0)

    def restore(self, fingerprints: bytes) -> None:
        """Be a shard that has seen just these, in this order."""
        words = np.frombuffer(fingerprints, np.uint64)
        self.table, self.count = self._empty(0), 0
        self._room(len(words) // 2)
        refill(words, self.table.words.ctypes.data, self._capacity, self.follow, self.table.numbers)
        self.count = len(words) // 2

    def enter(self, parcels: list[Parcel], slots: list[int], blocks: int) -> Fresh:
        """Enter what has come, in this order. `slots` are the words that have numbers now, `blocks` how many lanes the thread
        blocks are."""
        total = sum(parcel.count for parcel in parcels)
        self._room(total)
        opened = [_open(parcel, slots, blocks) for parcel in parcels]
        frontier = np.empty(sum(len(records) for records in opened), np.int64)
        fingerprints, whence = np.empty(2 * total, np.uint64), np.empty(total, np.int64)
        numbers = np.empty(total if self.follow else 0, np.uint32)
        first, tail, new, known = self.count, 0, 0, 0
        for parcel, records in zip(parcels, opened, strict=True):
            origins = _unpacked(parcel.origins)
            self.count, tail, new = admit(
                records, len(records), origins, self.table.words.ctypes.data, self._capacity, self.follow, self.table.numbers,
                self.count, frontier, tail, fingerprints, whence, new, numbers, known,
            )  # fmt: skip
            known += parcel.count
        return Fresh(frontier[:tail].copy(), tail, first, fingerprints[: 2 * new].copy(), whence[:new].copy(), numbers)

    def _empty(self, capacity: int) -> Table:
        return Table(np.zeros(2 * capacity, np.uint64), np.zeros(capacity if self.follow else 0, np.uint32))

    @property
    def _capacity(self) -> int:
        return len(self.table.words) // 2

    def _room(self, more: int) -> None:
        """Make the table large enough for so many states more."""
        if (self.count + more) * 100 <= self._capacity * FULL:
            return
        old, self.table = self.table, self._empty(max(1024, (self.count + more) * 150 // FULL) & -LINE)
        for before, now in zip(old, self.table, strict=True):
            now[: len(before)] = before
        spread(self.table, len(old.words) // 2)

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in self.table)


def _open(parcel: Parcel, slots: list[int], blocks: int) -> np.ndarray:
    """The records of a parcel under the numbering of today."""
    records = _unpacked(parcel.records)
    if tuple(slots[parcel.base : parcel.base + len(parcel.slots)]) == parcel.slots:
        return records
    number = {address: slot for slot, address in enumerate(slots)}
    places = np.array([*range(parcel.base), *(number[address] for address in parcel.slots)], np.int64)
    used = -(-len(slots) // LANES)
    to = np.empty(parcel.words + parcel.count * used, np.int64)
    return to[: renumber(records, len(records), blocks, places, np.zeros(used + LANES * used, np.int64), to)]
