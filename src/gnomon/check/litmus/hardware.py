"""hardware: a litmus test on this CPU: the same kernel, compiled, on real threads that start together."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np

from gnomon.check.litmus import cpu
from gnomon.check.litmus.cpu import run_thread
from gnomon.check.litmus.parse import Litmus
from gnomon.check.litmus.run import build, layout
from gnomon.lang import Arena, kernel
from gnomon.lang.atomics import cpu_relax, fetch_add, read_once

GO_AT, COPY_WORDS = 64, 4096


@kernel
def run_many(m, first, copies, code, registers, go):
    """Run one thread of the test in `copies` places, each when all of `go` threads have come there."""
    for n in range(copies):
        base = first + n * COPY_WORDS
        fetch_add(m, base + GO_AT, 1)
        while read_once(m, base + GO_AT) != go:
            cpu_relax()
        run_thread(m, base + code, base + registers)
    return 0


def run_on_hardware(test: Litmus, rounds: int = 20, copies: int = 1000) -> Counter:
    """How often each final state was seen, as Counter of sorted (name, value) pairs."""
    scenario, places = build(test), layout(test)
    image = scenario.arena.words[: cpu.WORDS].copy()
    seen: Counter = Counter()
    arena = Arena(copies * COPY_WORDS)
    for _ in range(rounds):
        for n in range(copies):
            arena.words[n * COPY_WORDS : n * COPY_WORDS + cpu.WORDS] = _relocated(image, n * COPY_WORDS, len(test.threads))
        threads = [
            threading.Thread(
                target=run_many,
                args=(arena, 0, copies, cpu.CODE_AT + t * cpu.CODE_WORDS, cpu.REGISTERS_AT + t * cpu.REGISTERS, len(test.threads)),
            )
            for t in range(len(test.threads))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for n in range(copies):
            state = {name: int(arena.words[n * COPY_WORDS + places[name]]) for name in test.observed}
            seen[tuple(sorted(state.items()))] += 1
    return seen


def _relocated(image: np.ndarray, base: int, threads: int) -> np.ndarray:
    """The image with the word indices of its instructions moved by `base`."""
    moved = image.copy()
    for t in range(threads):
        at = cpu.CODE_AT + t * cpu.CODE_WORDS
        code = moved[at : at + cpu.CODE_WORDS].reshape(-1, cpu.INSTRUCTION_WORDS)
        words = np.isin(code[:, 0], (cpu.LOAD, cpu.STORE, cpu.STORE_CONSTANT, cpu.EXCHANGE, cpu.EXCHANGE_ADD, cpu.ADD_CONSTANT))
        code[words, 2] += base
    return moved
