"""warm: compile every entry kernel before a guest starts, once, in one process at a time.

Two processes that fill one cache directory at once can crash (Numba #4807), and a vCPU that spins while a peer compiles hangs
behind the compiler lock; so all compiling happens here, under a file lock, with progress.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import contextmanager

from gnomon.lang import cache
from gnomon.lang.kernel import ENTRIES, compile_kernel


@contextmanager
def _one_process():
    if cache.DIRECTORY is None:
        yield
        return
    with open(cache.DIRECTORY / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_warm() -> bool:
    """Whether an earlier process left every entry kernel compiled in the cache."""
    return cache.DIRECTORY is not None and (cache.DIRECTORY / "warm").exists()


def warm(progress: Callable[[str, int, int], None] | None = None) -> None:
    """Make every entry kernel ready. `progress(name, done, total)` is called before each and once at the end.

    Imports nothing: the caller has imported the layers whose entries it wants."""
    with _one_process():
        total = len(ENTRIES)
        for done, k in enumerate(ENTRIES):
            if progress:
                progress(k.py_func.__name__, done, total)
            compile_kernel(k)
        if progress:
            progress("", total, total)
        if cache.DIRECTORY is not None:
            (cache.DIRECTORY / "warm").touch()
