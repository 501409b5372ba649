"""shard_job: a `check` job of a study that all workers do together, one such job after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import distributed

from gnomon.check.scenarios.catalog import build
from gnomon.errors import GnomonError
from gnomon.study.here import this_machine, versions, worker
from gnomon.study.job import checked
from gnomon.study.limited import DONE, FAILED, OUT_OF_TIME, Outcome
from gnomon.study.shard_fleet import Gone
from gnomon.study.shards import explore_sharded
from gnomon.study.sweep import Job, Limits, scenario


def outcomes(client: distributed.Client, jobs: Iterable[tuple[str, Job]], limits: Limits) -> Iterator[Outcome]:
    """Every job's outcome. Raises Gone when the cluster is no more."""
    for key, job in jobs:
        began = time.monotonic()
        status, figures, error = DONE, {}, ""
        name, asked = scenario(job.asked), job.asked
        try:
            result = explore_sharded(
                client, name, build(name), asked["model"], shards=asked["shards"], memory=limits.memory, max_seconds=limits.seconds
            )
        except Gone:
            raise
        except GnomonError as failure:
            status, error = FAILED, failure.message
        else:
            if result.reason == "interrupted":
                raise KeyboardInterrupt
            if result.reason.startswith("stopped after"):
                status, error = OUT_OF_TIME, f"ended after {limits.seconds:g} s"
            else:
                figures = checked(result)
        yield Outcome(key, status, time.monotonic() - began, figures, error, this_machine() | {"worker": worker()}, versions())
