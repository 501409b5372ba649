"""What the tests of mem share: a world of two meanings, an arena with RCU and a pool, threads that cannot hang a test."""

from __future__ import annotations

import threading

import pytest

from gnomon.lang import PAGE_WORDS, Arena, twin
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.lang.host import register_membarrier
from gnomon.lang.kernel import compile_kernel
from gnomon.mem.frames import frames_init, frames_set_debug
from gnomon.mem.shrinker import mem_callbacks
from gnomon.sync.rcu import rcu_init

both_worlds = pytest.mark.parametrize("world", [lambda k: k, twin], ids=["compiled", "interpreted"])


def pool_arena(frames: int, *, debug: int = 1) -> Arena:
    """A fresh arena of `frames` frames, the fixed ones included, with RCU and the pool set up."""
    arena = Arena(frames * PAGE_WORDS)
    rcu_init(arena, int(register_membarrier()))
    assert frames_init(arena, len(arena)) > 0
    frames_set_debug(arena, debug)
    return arena


def settle(arena: Arena, t: int, world=lambda k: k) -> None:
    """Run callbacks until none waits."""
    for _ in range(4):
        assert world(mem_callbacks)(arena, t, 1000) == 0


def together(*jobs: tuple) -> list[int]:
    """Run kernels (kernel, arguments...) each on a thread of its own, started at once. Returns what they returned."""
    for kernel, *_ in jobs:
        compile_kernel(kernel)
    results: list = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def work(n, kernel, *arguments):
        gate.wait()
        results[n] = kernel(*arguments)

    threads = [threading.Thread(target=work, args=(n, *job), daemon=True) for n, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a kernel did not come back"
    return results


FIXED_FRAMES = FRAME_WORDS_AT // PAGE_WORDS
