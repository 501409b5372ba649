"""study_page: what a results file of `gnomon study` has: a table a sweep and kind of job, bars where a figure differs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gnomon.report.chart import bars
from gnomon.report.report_page import table
from gnomon.study.results import Kept

MOST_BARS, MOST_COLUMNS = 30, 8
FIRST = ("MIPS", "verdict", "states", "counterexample", "seconds", "exit code")
"""Figures that come first where they are there."""


def study(jobs: Sequence[Kept]) -> str:
    """Every sweep of the file."""
    groups = dict.fromkeys((j.sweep, j.kind) for j in jobs)
    return "".join(_group(sweep, kind, [j for j in jobs if (j.sweep, j.kind) == (sweep, kind)]) for sweep, kind in groups)


def _group(sweep: str, kind: str, jobs: Sequence[Kept]) -> str:
    names = list(dict.fromkeys(name for j in jobs for name in j.figures))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    shown, rest = names[:MOST_COLUMNS], names[MOST_COLUMNS:]
    where = "; ".join(dict.fromkeys(_where(j) for j in jobs))
    more = f"<details><summary>{len(rest)} more figures</summary>{_table(jobs, rest)}</details>" if rest else ""
    return (
        f"<h3>{escape(sweep)}: {escape(kind)}, {len(jobs)} jobs</h3><p class=facts>{escape(where)}</p>"
        f"{_table(jobs, shown)}{more}{_pictures(jobs, shown)}"
    )


def _table(jobs: Sequence[Kept], names: Sequence[str]) -> str:
    rows = [
        (f"<code>{escape(j.command)}</code>", escape(f"{j.status} {j.error}".strip()), f"{j.seconds:.1f}", *(_figure(j, n) for n in names))
        for j in jobs
    ]
    return table(("command", "status", "took, s", *names), rows, "jobs")


def _pictures(jobs: Sequence[Kept], names: Sequence[str]) -> str:
    drawn = ""
    for name in names:
        values = [(_label(j, jobs), j.figures[name]) for j in jobs if isinstance(j.figures.get(name), int | float)]
        if len({v for _, v in values}) < 2:
            continue
        cut = f"<p class=dim>the first {MOST_BARS} of {len(values)}</p>" if len(values) > MOST_BARS else ""
        drawn += f"<details><summary>{escape(name)}</summary>{cut}{bars(values[:MOST_BARS], '')}</details>"
    return drawn


def _label(job: Kept, jobs: Sequence[Kept]) -> str:
    """The parameters in which a job differs from the others."""
    differ = [name for name in job.parameters if len({j.parameters.get(name) for j in jobs}) > 1]
    return " ".join(f"{name}={job.parameters[name]}" if job.parameters[name] else f"{name} as shipped" for name in differ) or job.command


def _figure(job: Kept, name: str) -> str:
    value = job.figures.get(name, "")
    return escape(value) if isinstance(value, str) else f"{value:.6g}"


def _where(job: Kept) -> str:
    machine, versions = job.machine, job.versions
    return f"{machine.get('name', '')}, {machine.get('processor', '')}, gnomon {versions.get('gnomon', '')}, sources {job.source[:12]}"
