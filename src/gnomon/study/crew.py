"""crew: compiled kernels on real threads at once, one a vCPU and whoever else takes part."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence


class Crew:
    """Threads that each run one job; as a context manager they run inside the block, and all of them have ended after it.

    `stop` is called to have jobs end that do not by themselves. An exception of a job is raised at the end of the block."""

    def __init__(self, jobs: Sequence[Callable[[], object]], stop: Callable[[], object] = lambda: None):
        self._stop, self._failures = stop, []
        self.results: list = [None] * len(jobs)
        self._threads = [threading.Thread(target=self._run, args=(n, job), daemon=True) for n, job in enumerate(jobs)]

    def _run(self, n: int, job: Callable[[], object]) -> None:
        try:
            self.results[n] = job()
        except BaseException as error:
            self._failures.append(error)

    def __enter__(self) -> Crew:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]


def together(jobs: Sequence[Callable[[], object]]) -> tuple[float, list]:
    """Run jobs that end by themselves at once. Returns seconds until the last has ended, and what each returned."""
    began = time.perf_counter()
    with Crew(jobs) as crew:
        pass
    return time.perf_counter() - began, crew.results
