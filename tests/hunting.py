"""What tests share that see something broken caught on real threads.

A test that sees what is right survive needs no luck, one that sees what is broken caught does. So where threads can be made to stand where
the breach shows, they are made to, by handshakes. What only the hardware can do, a store that others see late, is sought at every offset
between the threads that may show it (`dither`), until it is found or LIMIT is over: a host that cannot show it is then said to be one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from gnomon.lang import kernel
from gnomon.lang.arith import mul, shr, wrap
from gnomon.lang.atomics import read_once
from gnomon.lang.kernel import compile_kernel
from gnomon.study.crew import together

LIMIT = 120.0
"""Seconds of a hunt. What is there to be found is found in less than one, on a machine that has nothing else to do."""
LIMIT_NS = int(LIMIT * 1e9)
MOST_DITHER = 15

needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: no two threads run at once, so no store is late")


def hunt(look: Callable[[int], object], limit: float = LIMIT) -> object:
    """What `look(0)`, `look(1)`, … returns, once that is true; what the last returned when `limit` seconds are over."""
    end, number = time.monotonic() + limit, 0
    while not (found := look(number)) and time.monotonic() < end:
        number += 1
    return found


def on_cpu(n: int, job: Callable[[], object]) -> Callable[[], object]:
    """`job` on the n-th of the CPUs that we may use, on whatever thread it is run."""
    cpus = sorted(os.sched_getaffinity(0))

    def run() -> object:
        with suppress(OSError):  # a host that does not let us choose
            os.sched_setaffinity(0, {cpus[n % len(cpus)]})
        return job()

    return run


def apart(*jobs: tuple) -> list[int]:
    """Run kernels (kernel, arguments...) at once, each on a thread and a CPU of its own. Returns what they returned.

    Two threads that yield to each other may share a CPU for long, and then neither ever stands between two steps of the other."""
    for job in jobs:
        compile_kernel(job[0])
    return together([on_cpu(n, partial(*job)) for n, job in enumerate(jobs)])[1]


@kernel
def next_offset(x):
    """The offset of the next round: a step of a 64-bit linear congruential generator."""
    return wrap(mul(x, 6364136223846793005) + 1442695040888963407)


@kernel
def dither(m, at, x, me):
    """Be late in a round of offset `x` if it is the turn of thread `me`, 0 or 1: by up to 2**MOST_DITHER loads of the word at `at`.

    Nanoseconds and microseconds are as likely: which of two threads leaves a meeting first, and by how much, is the host's affair."""
    seen = 0
    if (shr(x, 60) & 1) == me:
        for _ in range(shr(x, 20) & ((1 << (shr(x, 40) & MOST_DITHER)) - 1)):
            seen += read_once(m, at)
    return seen
