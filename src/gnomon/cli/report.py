"""report: claims, matrix, benches, pressure and what a study kept, as one page."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import bench, gather, pressure, say, warming
from gnomon.cli.check_commands import SOUNDNESS, as_document
from gnomon.cli.gather import Gathered
from gnomon.cli.target import target
from gnomon.errors import GnomonError

QUICK_SECONDS = 270.0
"""What --quick takes at most, with room to write the page within 5 minutes."""
QUICK_PRESSURE = ("--time", "1s")


def report(
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="The page.")] = None,
    quick: Annotated[
        bool, Parameter(help="In 5 minutes at most: some benches, short pressure, as many designs as there is time for.")
    ] = False,
    results: Annotated[Path | None, Parameter(help="A results file of gnomon study: its figures too.")] = None,
    pictures: Annotated[
        Path | None, Parameter(help="Make the pictures of the README in this folder, as SVG; without -o and --json nothing else.")
    ] = None,
    json: Annotated[bool, Parameter(help="The same data as one JSON document.")] = False,
) -> int:
    """Make one page of everything Gnomon can say: claims, designs, benches, pressure, studies; with what each was made."""
    if out is None and pictures is None and not json:
        raise GnomonError("where is the report to be written?", "gnomon report -o report.html", exit_code=2)
    if out:
        out = target(out, "-o")
    if pictures:
        pictures = _folder(pictures)
    found = Gathered()
    if quick:
        found.until = found.began + QUICK_SECONDS
    if results:
        found.jobs = _kept(results)
    made = _made(quick, results)
    warming.warm()
    with _progress() as tell:
        if out or json:
            gather.claims(found, tell)
            gather.pressure(found, list(QUICK_PRESSURE) if quick else [], tell)
            gather.benches(found, quick, tell)
            gather.matrix(found, tell)
        if pictures:
            gather.pictures(found, tell)
    made["took"] = f"{time.monotonic() - found.began:.0f} s"
    written = {pictures / name: text for name, text in found.drawn.items()} if pictures else {}
    if out:
        written[out] = _page(found, made, quick)
    for path, text in written.items():
        replace(path, text)
        say.note(f"{path}: {len(text) >> 10} KiB")
    if json:
        say.json(_document(found, made))
    failed = [s for s in found.steps if s.status == gather.FAILED]
    for step in failed:
        say.note(f"{step.command}: {step.why}")
    say.note(SOUNDNESS)
    return 1 if failed or any(r.verdict == "refuted" for r in found.claims) else 0


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
        body = claims_page.claims(found.claims, found.evidence, {c.claim: c for c in found.runs})
        sections.append(Section("claims", "The claims of the thread", said, ("gnomon claims",), body))
    if found.cells:
        said = matrix_page.said(found.cells)
        sections.append(Section("matrix", "Designs, properties, models", said, ("gnomon check --matrix",), matrix_page.matrix(found.cells)))
    if found.rows:
        held = [row.holds for row in found.rows if row.holds is not None]
        names = list(dict.fromkeys(row.bench for row in found.rows))
        body = "".join(
            bench_page.section(n, bench.about(n), [r for r in found.rows if r.bench == n], bench.HEADER, bench.cells) for n in names
        )
        said = f"{len(names)} benches, {len(found.rows)} figures; {sum(held)} of {len(held)} targets hold in this run"
        sections.append(Section("bench", "Benches", said, (), body))
    if found.outcomes:
        body = pressure_page.section(found.outcomes, pressure.HEADER, pressure.cells, pressure.said(found.runs))
        said = f"{len(found.outcomes)} runs of two machines and another consumer on one pool of frames"
        command = " ".join(("gnomon pressure", *(QUICK_PRESSURE if quick else ())))
        sections.append(Section("pressure", "Memory pressure", said, (command,), body))
    if found.jobs:
        from gnomon.report.study_page import study

        done = sum(j.status == "done" for j in found.jobs)
        sections.append(Section("study", "Studies", f"{len(found.jobs)} jobs, {done} of them done", (), study(found.jobs)))
    return report_page("Gnomon: the report", sections, found.steps, made)


def _document(found: Gathered, made: dict[str, str]) -> dict:
    """The data of the page."""
    evidence = {claim: [as_document(e.result) for e in searches] for claim, searches in found.evidence.items()}
    return {
        "made": made,
        "steps": [asdict(step) for step in found.steps],
        "claims": [asdict(row) | {"evidence": evidence[row.id]} for row in found.claims],
        "matrix": [asdict(cell) for cell in found.cells],
        "bench": found.rows,
        "pressure": {"outcomes": [o.document() for o in found.outcomes], "findings": found.runs},
        "study": [asdict(job) for job in found.jobs],
    }


def _folder(path: Path) -> Path:
    """Where the pictures go, made if it is not there. Raises GnomonError at once for what could not be written after all the work."""
    path = path.resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GnomonError(f"cannot make the folder {path}: {error.strerror}", "choose another one with --pictures", exit_code=2) from None
    if not os.access(path, os.W_OK):
        raise GnomonError(f"cannot write into {path}: no permission", "choose another one with --pictures", exit_code=2)
    return path


def replace(path: Path, text: str) -> None:
    """Write the file whole or not at all: under another name first. A pipe or a device is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(fd, "w", encoding="utf-8") as file:
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
