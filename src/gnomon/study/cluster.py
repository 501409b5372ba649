"""cluster: jobs on Dask distributed: one in this process by default, any other by its address.

A job is a task without a result worth keeping on the cluster: its Outcome comes back and is stored here, by the one process that writes. A
worker that dies takes nothing with it: the scheduler gives its tasks to others, and a row's key makes it one row whoever did it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import dask
import distributed
from distributed.scheduler import KilledWorker

from gnomon.errors import GnomonError
from gnomon.study.here import this_machine, versions
from gnomon.study.limited import FAILED, OtherSource, Outcome, work
from gnomon.study.sweep import Job, Limits, source_digest

ANSWER = "10s"


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[distributed.Client]:
    """A client of the scheduler at `address`, or of a cluster of `workers` in this process. Raises GnomonError if nobody answers."""
    _silence()
    with dask.config.set({"distributed.comm.timeouts.connect": ANSWER}):
        if address is None:
            count = workers or os.cpu_count() or 1
            local = {"n_workers": 1, "threads_per_worker": count, "processes": False, "memory_limit": 0, "dashboard_address": None}
            with distributed.LocalCluster(**local) as here, distributed.Client(here) as client:
                yield client
            return
        try:
            client = distributed.Client(address, timeout=ANSWER)
        except (OSError, TimeoutError, ValueError) as error:
            why = str(error).split(":")[0] if isinstance(error, ValueError) else f"nobody answers within {ANSWER.removesuffix('s')} s"
            raise GnomonError(
                f"no scheduler at {address}: {why}", "dask scheduler starts one, dask worker ADDRESS a worker of it"
            ) from None
        try:
            _same_program(client)
            yield client
        finally:
            client.close(timeout=1)


def _silence() -> None:
    """What goes wrong on the way is said in one sentence, not by the library's loggers, which have levels of their own."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _same_program(client: distributed.Client) -> None:
    """Raises GnomonError where a worker that is there now runs another program; one that comes later says so itself (limited.work)."""
    for why in strangers(client).values():
        raise GnomonError(why, "figures of two programs are not one study: install the same gnomon[study] where the workers run")


def strangers(client: distributed.Client, workers: list[str] | None = None) -> dict[str, str]:
    """Workers, of these or of all, that do not run this program, and in a sentence what they do. Those that are gone are none."""
    found = {}
    for worker, digest in client.run(_digest, workers=workers, on_error="return").items():
        if isinstance(digest, OSError):
            continue
        if isinstance(digest, Exception):
            found[worker] = f"worker {worker} has no gnomon: {digest}"
        elif digest != source_digest():
            found[worker] = f"worker {worker} runs a gnomon of other sources: {digest[:12]}, not {source_digest()[:12]}"
    return found


def _digest() -> str:
    return source_digest()


def outcomes(client: distributed.Client, jobs: Iterable[tuple[str, Job]], limits: Limits) -> Iterator[Outcome]:
    """Every job's outcome, in the order in which they end. Raises GnomonError when a worker runs another program."""
    source = source_digest()
    futures = {client.submit(work, job, key, limits, source, key=f"gnomon-{key}", pure=False): key for key, job in jobs}
    try:
        for future in distributed.as_completed(list(futures)):
            yield _outcome(future, futures[future])
            future.release()
    finally:
        client.cancel([future for future in futures if not future.done()])


def _outcome(future: distributed.Future, key: str) -> Outcome:
    try:
        return future.result()
    except OtherSource as error:
        raise GnomonError(f"a worker cannot take part: {error}", "install the same gnomon everywhere; what was finished is kept") from None
    except KilledWorker as error:
        why = f"{error.allowed_failures + 1} workers died with it"
    except CancelledError:
        raise GnomonError("the scheduler has gone; what was finished is kept", "start it again, and run the same command") from None
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    return Outcome(key, FAILED, 0.0, {}, why, this_machine(), versions())
