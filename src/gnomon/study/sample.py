"""sample: how often something is done, and which of the times counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def best_of(times: int, prepare: Callable[[], object], work: Callable[[], object]) -> float:
    """Least seconds of `times` runs of `work`, after one that does not count; `prepare` runs before each and is not timed.

    The least, because another process can only add to it."""
    found = []
    for turn in range(times + 1):
        prepare()
        began = time.perf_counter()
        work()
        if turn:
            found.append(time.perf_counter() - began)
    return min(found)


def median(values) -> float:
    """The middle value."""
    return float(statistics.median(values))
