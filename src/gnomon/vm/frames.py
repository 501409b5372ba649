"""frames: change the frames under a machine by page indices, for Python. The work is mmu/invalidate.py's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gnomon.errors import GnomonError
from gnomon.mmu.invalidate import CHANGE_STOPPED, MOVE, TAKE_ANY, TAKE_ZERO, change_frames

SPAN = 64
"""Pages of one invalidation at most: their faults wait until all of them are done."""


def spans(indices: np.ndarray) -> Iterator[tuple[int, int]]:
    """The sorted indices as ranges first … end - 1 of at most SPAN pages in a row."""
    indices = np.unique(indices)
    for part in np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1):
        for first in range(0, len(part), SPAN):
            yield int(part[first]), int(part[first : first + SPAN][-1]) + 1


def move(arena, vm: int, t: int, indices: np.ndarray) -> int:
    """Move pages to other frames. Returns how many; raises GnomonError when the pool has no frame for one of them."""
    moved = 0
    for first, end in spans(indices):
        answer = change_frames(arena, vm, t, first, end, MOVE)
        moved += answer & (CHANGE_STOPPED - 1)
        if answer >= CHANGE_STOPPED:
            raise GnomonError(f"the host's pool of frames is exhausted: {moved} of {len(indices)} pages were moved, the others stay")
    return moved


def take_back(arena, vm: int, t: int, indices: np.ndarray, discard: bool) -> int:
    """Free the frames of pages that are zero, or of all. Returns how many."""
    return sum(change_frames(arena, vm, t, first, end, TAKE_ANY if discard else TAKE_ZERO) for first, end in spans(indices))
