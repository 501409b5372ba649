"""within: work on a pool of processes that is ended when its time is over."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager


class OutOfTime(Exception):
    """The time was over first."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Kill the children of multiprocessing after `seconds`, and raise OutOfTime."""
    over = threading.Event()

    def end() -> None:
        over.set()
        for child in multiprocessing.active_children():
            child.kill()

    timer = threading.Timer(seconds, end) if seconds < threading.TIMEOUT_MAX else None
    if timer:
        timer.start()
    try:
        yield
    except BrokenProcessPool:
        if over.is_set():
            raise OutOfTime from None
        raise
    finally:
        if timer:
            timer.cancel()
