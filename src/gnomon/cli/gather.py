"""gather: what a report is made of. Searches run here; each bench, and pressure, in a process of its own, so that nothing which ran before
disturbs what it measures, and so that it can be ended when the time is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from gnomon.cli import bench
from gnomon.cli.check_commands import about

MODEL = "tso"
RACE = "harvest/fast-fault:bitmap-first"
RACE_TITLE = "How a page is lost when a fault marks it dirty before it makes it writable"
COMPARED = ("call-rcu", "typesafe-slab")
"""What the README's pictures are of."""
QUICK_BENCHES = ("protect", "redirty", "reclaim")
LEAST_TO_BEGIN = 10.0
"""Seconds: with less left, no bench begins, and no search through designs."""
LONGEST_SEARCH = 60.0
DONE, FAILED, CUT, LEFT_OUT = "done", "failed", "cut short", "left out"
NO_TIME = "no time was left: without --quick it is there"


@dataclass
class Gathered:
    """What the report is made of; `steps` are of report_page.Step."""

    began: float = field(default_factory=time.monotonic)
    until: float = float("inf")
    steps: list = field(default_factory=list)
    claims: list = field(default_factory=list)
    evidence: dict[str, list] = field(default_factory=dict)
    cells: list = field(default_factory=list)
    rows: list[bench.Row] = field(default_factory=list)
    outcomes: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    jobs: list = field(default_factory=list)
    drawn: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def step(self, command: str, seconds: float, status: str, why: str = "") -> None:
        from gnomon.report.report_page import Step

        self.steps.append(Step(command, seconds, status, why))


def claims(found: Gathered, tell: Callable[[str], None]) -> None:
    from gnomon.check.claims import CLAIMS, settle
    from gnomon.report.claims_page import evidence

    began, late = time.monotonic(), []
    for claim in CLAIMS:
        if found.left <= 0:
            late.append(claim.id)
            continue
        tell(f"claim {claim.id}")
        seen: list = []
        keep = lambda scenario, result, to=seen: to.append((scenario, result))  # noqa: E731
        found.claims.append(settle(claim, MODEL, found=keep, most_seconds=min(LONGEST_SEARCH, found.left)))
        found.evidence[claim.id] = evidence(seen, about)
    found.step("gnomon claims", time.monotonic() - began, CUT if late else DONE, f"{', '.join(late)}: {NO_TIME}" if late else "")


def benches(found: Gathered, quick: bool, tell: Callable[[str], None]) -> None:
    for name in sorted(bench.benches(), key=lambda name: name not in QUICK_BENCHES):
        command = f"gnomon bench {name}"
        if quick and name not in QUICK_BENCHES:
            found.step(command, 0.0, LEFT_OUT, "not in --quick")
        elif (rows := ask(found, ["bench", name], command, tell)) is not None:
            found.rows += msgspec.convert(rows, list[bench.Row])


def pressure(found: Gathered, options: list[str], tell: Callable[[str], None]) -> None:
    from gnomon.study.pressure.kept import Cited
    from gnomon.study.pressure.run import Outcome

    words = ["pressure", *options]
    if (document := ask(found, words, " ".join(("gnomon", *words)), tell)) is not None:
        found.outcomes = [msgspec.convert(o, Outcome) for o in document["outcomes"]]
        found.runs = msgspec.convert(document["findings"], list[Cited])


def matrix(found: Gathered, tell: Callable[[str], None]) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from gnomon.check.matrix import SHIPPED, cells, designs
    from gnomon.cli.within import OutOfTime, within
    from gnomon.mmu.designs import parse, wrongs

    command, began = "gnomon check --matrix", time.monotonic()
    every = designs()
    chosen = sorted(every, key=lambda d: bool(d) and not wrongs(parse(d)))  # the broken ones first: they have something to show
    rows: dict[str, list] = {}
    status = DONE
    if found.left < LEAST_TO_BEGIN:
        found.step(command, 0.0, LEFT_OUT, NO_TIME)
        return
    try:
        with within(found.left):
            cells(
                chosen,
                workers=os.cpu_count() or 1,
                progress=lambda done, total, what: tell(f"matrix {done}/{total}: {what}"),
                ready=lambda row: rows.setdefault(row[0].design, row),
            )
    except OutOfTime:
        status = CUT if rows else LEFT_OUT
    except BrokenProcessPool:
        status = FAILED
    names = [design or SHIPPED for design in every]
    found.cells = [cell for name in names if name in rows for cell in rows[name]]
    late = [name for name in names if name not in rows]
    why = "a process that explored was killed: is there enough memory?" if status == FAILED else ""
    if late and not why:
        why = f"{len(late)} designs ({', '.join(late)}): {NO_TIME}"
    found.step(command, time.monotonic() - began, status, why)


def pictures(found: Gathered, tell: Callable[[str], None]) -> None:
    """The README's pictures, of what was gathered where it is there."""
    from gnomon.check.explore import explore
    from gnomon.check.scenarios.catalog import build
    from gnomon.check.timeline import Timeline
    from gnomon.report import pictures as draw
    from gnomon.study.here import this_machine

    machine = this_machine()
    where = f"{machine['processor']}, {machine['processors']} CPUs"
    command, began = f"gnomon check {RACE} --model sc", time.monotonic()
    tell(command)
    scenario = build(RACE)
    found.drawn[draw.RACE] = draw.race(Timeline(scenario, explore(scenario, "sc", workers=1)), RACE_TITLE, command)
    found.step(command, time.monotonic() - began, DONE)
    rows = [r for r in found.rows if r.bench == "jitter"]
    if not rows and (document := ask(found, ["bench", "jitter"], "gnomon bench jitter", tell)) is not None:
        rows = msgspec.convert(document, list[bench.Row])
    if rows:
        found.drawn[draw.JITTER] = draw.jitter(rows, where)
    if not found.outcomes:
        pressure(found, ["--reclaim", ",".join(COMPARED)], tell)
    if outcomes := [o for name in COMPARED for o in found.outcomes if o.reclaim == name and o.shrinker]:
        found.drawn[draw.PRESSURE] = draw.pressure(outcomes, where)


def ask(found: Gathered, words: list[str], command: str, tell: Callable[[str], None]):
    """The JSON document of another gnomon command, or None: the step says why."""
    if found.left < LEAST_TO_BEGIN:
        found.step(command, 0.0, LEFT_OUT, NO_TIME)
        return None
    tell(command)
    began = time.monotonic()
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "gnomon.cli", *words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(None if found.left == float("inf") else max(0.0, found.left))
        except subprocess.TimeoutExpired:
            found.step(command, time.monotonic() - began, LEFT_OUT, NO_TIME)
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for file in (answer, said):
            file.seek(0)
        try:
            document = msgspec.json.decode(answer.read())
        except msgspec.DecodeError:
            found.step(command, time.monotonic() - began, FAILED, _last_words(code, said.read().decode(errors="replace")))
            return None
    found.step(command, time.monotonic() - began, DONE)
    return document


def _last_words(code: int, said: str) -> str:
    lines = [line for line in said.splitlines() if line]
    return next((line for line in lines if line.startswith("gnomon: ")), lines[-1] if lines else f"exit code {code}")
