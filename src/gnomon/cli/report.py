"""report: claims, matrix, benches, pressure and what a study kept, as one page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gnomon.cli import bench, pressure, say, warming
from gnomon.cli.check_commands import SOUNDNESS, about, as_document
from gnomon.errors import GnomonError

MODEL = "tso"
QUICK_SECONDS = 270.0
"""What --quick takes at most, with room to write the page within 5 minutes."""
QUICK_BENCHES = ("protect", "redirty", "reclaim")
LEAST_FOR_A_BENCH, LEAST_FOR_A_DESIGN = 10.0, 20.0
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
    findings: list[dict] = field(default_factory=list)
    jobs: list = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def step(self, command: str, seconds: float, status: str, why: str = "") -> None:
        from gnomon.report.report_page import Step

        self.steps.append(Step(command, seconds, status, why))


def report(
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="The page.")] = None,
    quick: Annotated[
        bool, Parameter(help="In 5 minutes at most: some benches, short pressure, as many designs as there is time for.")
    ] = False,
    results: Annotated[Path | None, Parameter(help="A results file of gnomon study: its figures too.")] = None,
    json: Annotated[bool, Parameter(help="The same data as one JSON document.")] = False,
) -> int:
    """Make one page of everything Gnomon can say: claims, designs, benches, pressure, studies; with what each was made."""
    if out is None and not json:
        raise GnomonError("where is the report to be written?", "gnomon report -o report.html", exit_code=2)
    if out:
        out = _target(out)
    found = Gathered()
    if quick:
        found.until = found.began + QUICK_SECONDS
    if results:
        found.jobs = _kept(results)
    made = _made(quick, results)
    warming.warm()
    with _progress() as tell:
        _claims(found, tell)
        _pressure(found, quick, tell)
        _benches(found, quick, tell)
        _matrix(found, quick, tell)
    made["took"] = f"{time.monotonic() - found.began:.0f} s"
    if out:
        text = _page(found, made, quick)
        replace(out, text)
        say.note(f"{out}: {len(text) >> 10} KiB")
    if json:
        say.json(_document(found, made))
    say.note(SOUNDNESS)
    return 1 if any(r.verdict == "refuted" for r in found.claims) or any(s.status == FAILED for s in found.steps) else 0


def _claims(found: Gathered, tell: Callable[[str], None]) -> None:
    from gnomon.check.claims import CLAIMS, settle
    from gnomon.check.timeline import Timeline

    began, late = time.monotonic(), []
    for claim in CLAIMS:
        if found.left <= 0:
            late.append(claim.id)
            continue
        tell(f"claim {claim.id}")
        seen: list = []
        found.claims.append(settle(claim, MODEL, found=lambda scenario, result, to=seen: to.append((scenario, result))))
        found.evidence[claim.id] = [(Timeline(s, r), about(r.scenario)) for s, r in seen if r.violated]
    found.step("gnomon claims", time.monotonic() - began, CUT if late else DONE, f"{', '.join(late)}: {NO_TIME}" if late else "")


def _benches(found: Gathered, quick: bool, tell: Callable[[str], None]) -> None:
    for name in sorted(bench.benches(), key=lambda name: name not in QUICK_BENCHES):
        command = f"gnomon bench {name}"
        if quick and name not in QUICK_BENCHES:
            found.step(command, 0.0, LEFT_OUT, "not in --quick")
        elif (rows := _ask(found, ["bench", name], command, tell)) is not None:
            found.rows += msgspec.convert(rows, list[bench.Row])


def _pressure(found: Gathered, quick: bool, tell: Callable[[str], None]) -> None:
    from gnomon.study.pressure.run import Outcome

    words = ["pressure", *(["--time", "1s"] if quick else [])]
    if (document := _ask(found, words, " ".join(("gnomon", *words)), tell)) is not None:
        found.outcomes = [msgspec.convert(o, Outcome) for o in document["outcomes"]]
        found.findings = document["findings"]


def _matrix(found: Gathered, quick: bool, tell: Callable[[str], None]) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from gnomon.check.matrix import SHIPPED, cells, designs
    from gnomon.cli.within import OutOfTime, within
    from gnomon.mmu.designs import parse, wrongs

    command, began = "gnomon check --matrix", time.monotonic()
    chosen = sorted(designs(), key=lambda d: bool(d) and not wrongs(parse(d)))  # the broken ones first: they have something to show
    groups, late = ([[d] for d in chosen] if quick else [chosen]), []
    for group in groups:
        if found.left < LEAST_FOR_A_DESIGN:
            late += group
            continue
        try:
            with within(found.left):
                found.cells += cells(
                    group, workers=os.cpu_count() or 1, progress=lambda done, total, what: tell(f"matrix {done}/{total}: {what}")
                )
        except OutOfTime:
            late += group
        except BrokenProcessPool:
            found.step(command, time.monotonic() - began, FAILED, "a process that explored was killed: is there enough memory?")
            return
    names = ", ".join(design or SHIPPED for design in late)
    why = f"{len(late)} designs ({names}): {NO_TIME}" if late else ""
    found.step(command, time.monotonic() - began, DONE if not late else CUT if found.cells else LEFT_OUT, why)


def _ask(found: Gathered, words: list[str], command: str, tell: Callable[[str], None]):
    """The JSON document of another gnomon command, or None: the step says why. It has a process of its own, so that nothing which ran
    before disturbs what it measures, and so that it can be ended."""
    if found.left < LEAST_FOR_A_BENCH:
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


def _kept(path: Path) -> list:
    try:
        from gnomon.study.results import read
    except ModuleNotFoundError as error:
        if error.name != "duckdb":
            raise
        raise GnomonError("--results needs duckdb, which is not installed", "pip install 'gnomon[study]'") from None
    return read(path)


def _made(quick: bool, results: Path | None) -> dict[str, str]:
    """Facts of the page, by name."""
    from datetime import datetime

    from gnomon.study.here import this_machine, versions
    from gnomon.study.sweep import source_digest

    machine, with_what = this_machine(), versions()
    command = ["gnomon report", *(["--quick"] if quick else []), *([f"--results {results}"] if results else []), "-o FILE"]
    return {
        "date": datetime.now().astimezone().isoformat(" ", "seconds"),
        "command": " ".join(command),
        "gnomon": f"gnomon {with_what.pop('gnomon')}, sources {source_digest()}",
        "processor": f"{machine['processor']}, {machine['processors']} CPUs, {machine['architecture']}",
        "memory": f"{int(machine['memory']) / 2**30:.1f} GiB",
        "kernel": machine["system"],
        **with_what,
        "load at the beginning": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _page(found: Gathered, made: dict[str, str], quick: bool) -> str:
    from gnomon.report import bench_page, claims_page, matrix_page, pressure_page
    from gnomon.report.report_page import Section, report_page

    sections = []
    if found.claims:
        verdicts = [r.verdict for r in found.claims]
        said = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
        sections.append(
            Section("claims", "The claims of the thread", said, ("gnomon claims",), claims_page.claims(found.claims, found.evidence))
        )
    if found.cells:
        said = matrix_page.said(found.cells)
        sections.append(Section("matrix", "Designs, properties, models", said, ("gnomon check --matrix",), matrix_page.matrix(found.cells)))
    if found.rows:
        held = [row.holds for row in found.rows if row.holds is not None]
        names = list(dict.fromkeys(row.bench for row in found.rows))
        body = "".join(bench_page.section(n, [r for r in found.rows if r.bench == n], bench.HEADER, bench.cells) for n in names)
        said = f"{len(names)} benches, {len(found.rows)} figures; {sum(held)} of {len(held)} targets hold in this run"
        sections.append(Section("bench", "Benches", said, (), body))
    if found.outcomes:
        claims = [(f["claim"], f["text"]) for f in found.findings]
        body = pressure_page.section(found.outcomes, pressure.HEADER, pressure.cells, claims)
        said = f"{len(found.outcomes)} runs of two machines and another consumer on one pool of frames"
        command = "gnomon pressure --time 1s" if quick else "gnomon pressure"
        sections.append(Section("pressure", "Memory pressure", said, (command,), body))
    if found.jobs:
        from gnomon.report.study_page import study

        done = sum(j.status == "done" for j in found.jobs)
        sections.append(Section("study", "Studies", f"{len(found.jobs)} jobs, {done} of them done", (), study(found.jobs)))
    return report_page("Gnomon: the report", sections, found.steps, made)


def _document(found: Gathered, made: dict[str, str]) -> dict:
    """The data of the page."""
    evidence = {claim: [as_document(timeline.result) for timeline, _ in races] for claim, races in found.evidence.items()}
    return {
        "made": made,
        "steps": [asdict(step) for step in found.steps],
        "claims": [asdict(row) | {"evidence": evidence[row.id]} for row in found.claims],
        "matrix": [asdict(cell) for cell in found.cells],
        "bench": found.rows,
        "pressure": {"outcomes": [o.document() for o in found.outcomes], "findings": found.findings},
        "study": [asdict(job) for job in found.jobs],
    }


def _target(path: Path) -> Path:
    """Where the page goes, links followed. Raises GnomonError at once for what could not be written after all the work."""
    path = path.resolve()
    if path.is_dir():
        raise GnomonError(f"{path} is a folder", f"-o {path / 'report.html'}", exit_code=2)
    if not path.parent.is_dir():
        raise GnomonError(f"there is no folder {path.parent} for the report", f"mkdir -p {path.parent}", exit_code=2)
    if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
        raise GnomonError(f"cannot write {path}: no permission", "choose another file with -o", exit_code=2)
    return path


def replace(path: Path, text: str) -> None:
    """Write the file whole or not at all: under another name first. A pipe or a device is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(text)
            return
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(fd, "w") as file:
                file.write(text)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise GnomonError(f"cannot write {path}: {error.strerror}", "choose another file with -o") from None


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says what is being done: in one line that changes where stderr is a terminal, else a line each."""
    if not sys.stderr.isatty():
        yield lambda text: say.note(f"report: {text}")
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"), console=say.stderr_console(), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda text: bar.update(task, description=text)
