"""The phases of KVM's dirty_log_perf_test: populate, enable, dirty, get, clear, disable, with their times.

How        VCPUS vCPUs with BYTES of memory each, stored to page by page through TLB miss, walk and fault by one thread a vCPU
get        without manual protect, `get` copies the log, clears it, write-protects every page of it and flushes: our harvest and commit
get+clear  with manual protect, `get` only copies the log, and `clear` write-protects
Lines      as the test prints them: a time a phase and iteration, and the average of the iterations
Check      every iteration dirties every page, and get and clear must say so

Source: tools/testing/selftests/kvm/dirty_log_perf_test.c.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE
from gnomon.lang.kernel import compile_kernel
from gnomon.study.crew import together
from gnomon.study.ram import store_pages
from gnomon.study.row import row
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.machine import Machine

BENCH = "dirty-log"
BYTES = 64 << 20
ITERATIONS = 2
UNIT = "ms"


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    compile_kernel(store_pages)
    for vcpus in sorted({1, os.cpu_count() or 1}):
        for manual in (False, True):
            name = f"{vcpus} vCPU{'s' * (vcpus > 1)}, {'get+clear' if manual else 'get'}"
            tell(f"dirty-log: {name}")
            yield from phases(name, vcpus, manual)


def phases(name: str, vcpus: int, manual: bool) -> Iterator[dict]:
    """The rows of one run of the test."""
    pages = BYTES // PAGE_SIZE
    machine = Machine(BYTES * vcpus, vcpus)
    log = machine.dirty_log()

    def dirty(value: int) -> float:
        def job(n: int) -> Callable[[], int]:
            return lambda: store_pages(machine.arena, machine.vcpus[n], RAM_BASE + n * BYTES, pages, 1, 1, value)

        seconds, done = together([job(n) for n in range(vcpus)])
        if done != [pages] * vcpus:
            raise GnomonError(f"{vcpus} vCPUs stored to {done} of {pages} pages each")
        return seconds

    def line(figure: str, seconds: float) -> dict:
        return row(BENCH, f"{name}: {figure}", seconds * 1e3, UNIT)

    def take() -> tuple[float, float]:
        """Seconds of get and of clear."""
        if not manual:
            seconds, snapshot = timed(log.harvest)
            found = len(snapshot.gfns)
            seconds += timed(snapshot.commit)[0]
            clearing = 0.0
        else:
            seconds, gfns = timed(log.get)
            bitmap = np.zeros(machine.pages, np.uint8)
            bitmap[gfns] = 1
            words = np.packbits(bitmap, bitorder="little").view(np.uint64)
            clearing, found = timed(lambda: log.clear(0, words))
        if found != pages * vcpus:
            raise GnomonError(f"{vcpus} vCPUs dirtied {pages * vcpus} pages and the log has {found}")
        return seconds, clearing

    yield line("populate", dirty(1))
    yield line("enable dirty logging", timed(log.enable)[0])
    take()
    got, cleared = [], []
    for n in range(1, ITERATIONS + 1):
        yield line(f"iteration {n} dirty memory", dirty(n + 1))
        get, clear = take()
        yield line(f"iteration {n} get dirty log", get)
        if manual:
            yield line(f"iteration {n} clear dirty log", clear)
        got.append(get)
        cleared.append(clear)
    yield line("disable dirty logging", timed(log.disable)[0])
    yield line("get dirty log, average", sum(got) / ITERATIONS)
    if manual:
        yield line("clear dirty log, average", sum(cleared) / ITERATIONS)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds of `work`, and what it returned."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
