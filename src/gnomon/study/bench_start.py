"""Start: seconds from starting the process to the guest's first instruction, with compiled kernels at hand and without.

Timed      from before the process is made to the guest's first character on its stdout, which comes some thousand instructions after
           the first one: an upper bound
How        `gnomon run fail --json`, a guest that prints a line and ends. Cold: an empty kernel cache in a temporary folder, once.
           Warm: the same folder afterwards, median of REPEATS
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator

from gnomon.study.process import Process
from gnomon.study.row import row
from gnomon.study.sample import median

BENCH = "start"
REPEATS = 5
GUEST = "fail"


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as cache:
        tell("start: cold, up to a minute")
        cold = start_seconds(cache)
        tell("start: warm")
        warm = median([start_seconds(cache) for _ in range(REPEATS)])
    yield row(BENCH, "warm, process start to first instruction", warm, "s", target="<= 2")
    yield row(BENCH, "cold, process start to first instruction", cold, "s", target="<= 60")


def start_seconds(cache: str) -> float:
    """One start with the kernel cache in the folder `cache`."""
    began = time.perf_counter()
    with Process("run", GUEST, environment={"GNOMON_CACHE": cache}) as process:
        process.until("console")
        took = time.perf_counter() - began
        process.end()
    return took
