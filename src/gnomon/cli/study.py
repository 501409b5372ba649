"""study: every job of a sweep on a Dask cluster, its results in a DuckDB file; run again, it does what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import say
from gnomon.errors import GnomonError


def study(
    sweep: Annotated[Path, Parameter(help="A TOML file; docs/study.md says what is in it.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The results; by default beside the sweep, with .duckdb at its end.")] = None,
    scheduler: Annotated[str | None, Parameter(help="A Dask scheduler: tcp://HOST:8786. By default this machine does it.")] = None,
    workers: Annotated[int | None, Parameter(help="Jobs at once on this machine; by default one a processor.")] = None,
    retry: Annotated[bool, Parameter(help="Do again what failed or was ended.")] = False,
    plan: Annotated[bool, Parameter(help="Show the jobs, run none.")] = False,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> int:
    """Run every combination of a sweep: designs, workloads, sizes, seeds, checker scenarios, benches."""
    from gnomon.cli.sweep_file import load

    if workers is not None and workers < 1:
        raise GnomonError(f"at least 1 job runs at once: {workers}", exit_code=2)
    found = load(sweep)
    if plan:
        _plan(found, json)
        return 0
    try:
        from gnomon.study.cluster import cluster
        from gnomon.study.results import Results
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("dask", "distributed", "duckdb", "psutil"):
            raise
        raise GnomonError(f"gnomon study needs {error.name}, which is not installed", "pip install 'gnomon[study]'") from None
    from gnomon.cli.warming import machine_class
    from gnomon.study.limited import DONE
    from gnomon.study.sweep import source_digest

    path, source = out or sweep.with_suffix(".duckdb"), source_digest()
    with Results(path) as results:
        jobs = {job.key(source): job for job in found.jobs}
        kept = results.known(done_only=retry) & set(jobs)
        todo = [(key, job) for key, job in jobs.items() if key not in kept]
        statuses: dict[str, int] = {}
        if todo:
            if scheduler is None:
                machine_class()  # compile once, before every job wants to
            with cluster(scheduler, workers) as client, _progress(len(jobs), len(kept)) as tell:
                for outcome in _outcomes(client, todo, found.limits):
                    results.keep(found.name, jobs[outcome.key], source, outcome)
                    statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
                    tell(jobs[outcome.key], outcome)
        summary = {"results": str(path), "jobs": len(jobs), "kept": len(kept), "now": statuses}
    if json:
        say.json(summary)
    else:
        now = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "nothing to do"
        print(f"{len(jobs)} jobs: {len(kept)} were there already, now {now}\n{path}")
    return 0 if set(statuses) <= {DONE} else 1


def _outcomes(client, jobs: list, limits) -> Iterator:
    """Of jobs that a worker does alone, all at once; then of those that all workers do together."""
    from gnomon.study.cluster import outcomes

    yield from outcomes(client, [(key, job) for key, job in jobs if not job.asked.get("shards")], limits)
    together = [(key, job) for key, job in jobs if job.asked.get("shards")]
    if together:
        from gnomon.study import shard_job

        yield from shard_job.outcomes(client, together, limits)


def _plan(sweep, json: bool) -> None:
    if json:
        say.json([{"kind": job.kind, "parameters": job.asked, "command": job.command()} for job in sweep.jobs])
    else:
        for job in sweep.jobs:
            print(job.command())


@contextmanager
def _progress(total: int, kept: int) -> Iterator:
    """Says what has ended: a bar where stderr is a terminal, a line a job elsewhere; why a job failed in both."""
    if not sys.stderr.isatty():
        count = kept

        def tell(job, outcome) -> None:
            nonlocal count
            count += 1
            say.note(_line(f"{count}/{total}", job, outcome))

        yield tell
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    look = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*look, console=say.stderr_console(), transient=True) as shown:
        task = shown.add_task("", total=total, completed=kept)

        def tell(job, outcome) -> None:
            shown.update(task, advance=1, description=job.command())
            if outcome.error:
                shown.console.print(_line("", job, outcome).strip(), markup=False, highlight=False, soft_wrap=True)

        yield tell


def _line(where: str, job, outcome) -> str:
    why = f": {outcome.error}" if outcome.error else ""
    return f"{where} {outcome.status} in {outcome.seconds:.1f} s  {job.command()}{why}"
