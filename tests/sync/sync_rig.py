"""What the tests of sync share: a world of two meanings, an arena with RCU, threads that start at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from gnomon.lang import PAGE_WORDS, Arena, twin
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.lang.host import register_membarrier
from gnomon.lang.kernel import compile_kernel
from gnomon.study import crew
from gnomon.sync.rcu import rcu_init

FREE_AT = FRAME_WORDS_AT + PAGE_WORDS
"""First word of a test's arena that nobody owns."""

PATIENCE = 240.0
"""Seconds for what comes for certain, if not before: a thread that ends."""

both_worlds = pytest.mark.parametrize("world", [lambda k: k, twin], ids=["compiled", "interpreted"])
both_orders = pytest.mark.parametrize("heavy", [1, 0], ids=["membarrier", "mb"])


def rcu_arena(heavy: int = 1, words: int = FREE_AT + 8 * PAGE_WORDS) -> Arena:
    """A fresh arena with RCU set up; `heavy` asks for membarrier."""
    arena = Arena(words)
    if heavy and not register_membarrier():
        pytest.skip("this host has no expedited membarrier")
    assert rcu_init(arena, heavy) == heavy
    return arena


def together(*jobs: tuple) -> list[int]:
    """Run kernels (kernel, arguments...) each on a thread of its own, started at once. Returns what they returned."""
    for kernel, *_ in jobs:
        compile_kernel(kernel)
    gate = threading.Barrier(len(jobs))

    def work(kernel: Callable, *arguments) -> int:
        gate.wait()
        return kernel(*arguments)

    return crew.together([partial(work, *job) for job in jobs])[1]
