"""sharing: find pages of a machine that hold the same, and have them share a frame, as ksmd does. The work is mmu/share.py's.

A hash says which pages to try. It is taken while the guest runs and with no lock, so it is a hint: the kernel compares word by word
when nobody can store.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xxhash

from gnomon.lang import PAGE_SIZE
from gnomon.mmu.share import FREED, share_frames
from gnomon.mmu.sharers import MOST_SHARERS
from gnomon.vm.pages import BATCH


def batches(octets: np.ndarray, indices: np.ndarray, backing: np.ndarray) -> Iterator[np.ndarray]:
    """What equal_pairs() finds, as arrays of at most BATCH pairs."""
    pairs = np.array(list(equal_pairs(octets, np.unique(indices), backing)), dtype=np.int64).reshape(-1, 2)
    for first in range(0, len(pairs), BATCH):
        yield pairs[first : first + BATCH]


def merge(arena, vm: int, t: int, stage: int, pairs: np.ndarray) -> int:
    """Have the pages of each pair share a frame if they hold the same, by way of the words at `stage`. Returns frames that came back."""
    arena.words[stage : stage + 2 * len(pairs)] = pairs.ravel()
    return share_frames(arena, vm, t, stage, len(pairs)) // FREED


def equal_pairs(octets: np.ndarray, indices: np.ndarray, backing: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of pages whose frames hash alike: the second of each is to come behind the frame of the first.

    Frames that have the most sharers get more, up to MOST_SHARERS; a second scan of what has not changed finds nothing."""
    pages_of: dict[int, list[int]] = {}
    for index in indices[backing[indices] != 0].tolist():
        pages_of.setdefault(int(backing[index]), []).append(index)
    sharers = dict(zip(*(part.tolist() for part in np.unique(backing, return_counts=True)), strict=True))
    alike: dict[int, list[int]] = {}
    for pfn in pages_of:
        alike.setdefault(xxhash.xxh3_64_intdigest(octets[pfn * PAGE_SIZE : (pfn + 1) * PAGE_SIZE]), []).append(pfn)
    for pfns in alike.values():
        pfns.sort(key=lambda pfn: -sharers[pfn])
        yield from filled([(pages_of[pfn], MOST_SHARERS - sharers[pfn]) for pfn in pfns])


def filled(frames: list[tuple[list[int], int]]) -> Iterator[tuple[int, int]]:
    """Pairs that empty the last of `frames` into the first that have room: each is its pages and how many more it may have."""
    head, tail = 0, len(frames) - 1
    room = frames[0][1]
    while head < tail:
        if room == 0:
            head += 1
            room = frames[head][1]
        elif frames[tail][0]:
            yield frames[head][0][0], frames[tail][0].pop()
            room -= 1
        else:
            tail -= 1
