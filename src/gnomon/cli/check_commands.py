"""check, claims, litmus: the explorer's commands.

    0  proved within stated bounds     1  violated     2  bounded: something stopped the search     3  asked for wrongly

Data on stdout, progress on stderr. Everything heavy is imported when a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gnomon.cli import say
from gnomon.cli.target import target
from gnomon.errors import GnomonError

SOUNDNESS = "what a verdict says and what it does not: docs/soundness.md"
EXIT = {"proved": 0, "violated": 1, "bounded": 2}
Model = Literal["sc", "tso"]


def misuse(message: str, hint: str | None = None) -> GnomonError:
    return GnomonError(message, hint, exit_code=3)


def check(
    scenario: Annotated[
        str, Parameter(help="A scenario, scenario:mutant, or FILE.py:FUNCTION of your own. Without one, all are listed.")
    ] = "",
    /,
    *,
    design: Annotated[
        str,
        Parameter(help="axis=choice,…: choices its machine runs with (gnomon designs); mutant=NAME: a broken variant."),
    ] = "",
    model: Annotated[Model, Parameter(help="Memory model.")] = "tso",
    settings: Annotated[
        list[str] | None, Parameter(name="--set", help="NAME=NUMBER,…: constants of the scenario; buffer=N, states=N, seconds=N.")
    ] = None,
    memory: Annotated[str, Parameter(help="Give up beyond this much.")] = "4G",
    full: Annotated[bool, Parameter(help="Without reductions.")] = False,
    workers: Annotated[int, Parameter(help="Threads that search together; 0: one a core.")] = 0,
    scheduler: Annotated[str | None, Parameter(help="Search on a Dask cluster, at tcp://HOST:8786, once it is large.")] = None,
    shards: Annotated[
        int | None, Parameter(help="Parts into which the states are split there, 1 to 255; 32 where nothing is said.")
    ] = None,
    every: Annotated[bool, Parameter(help="Show private accesses in a counterexample too.")] = False,
    save: Annotated[Path | None, Parameter(help="Write a counterexample to this file, for gnomon replay.")] = None,
    html: Annotated[Path | None, Parameter(help="Write a counterexample as a page to step through.")] = None,
    trace: Annotated[Path | None, Parameter(help="Write a counterexample as a trace for Perfetto.")] = None,
    matrix: Annotated[bool, Parameter(help="Every design: each property under each memory model, one cell each.")] = False,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> int:
    """Explore every interleaving of a scenario under a memory model."""
    if matrix:
        return _matrix(json)
    if not scenario:
        _list(json)
        return 0
    from gnomon.check.explore import BoundsError, explore
    from gnomon.check.render import race_table
    from gnomon.check.schedule import save as save_schedule
    from gnomon.check.timeline import Timeline
    from gnomon.cli import units
    from gnomon.cli.check_cluster import explore_on_cluster
    from gnomon.cli.replay import write_pictures

    if save and save.exists():
        raise misuse(f"{save} exists already", "choose another name, or remove it")
    if shards is not None and not scheduler:
        raise misuse(f"{shards} shards are for the workers of a cluster", "--scheduler tcp://HOST:8786")
    numbers = _numbers(settings or [])
    name = _with_design(scenario, design)
    bounds = {key: numbers.pop(key) for key in ("buffer", "states", "seconds") if key in numbers}
    made = build_scenario(name, numbers)
    limits = {"max_states": bounds.get("states", 0), "max_seconds": float(bounds.get("seconds", 0)), "memory": units.size(memory)}
    options = {"reduce": not full, "buffer": bounds.get("buffer", 8), "workers": workers, **limits}
    try:
        if scheduler:
            result = explore_on_cluster(scheduler, shards, name, numbers, made, model, options)
        else:
            result = explore(made, model, progress=_tell, **options)
    except BoundsError as error:
        raise misuse(str(error), "gnomon check --help") from None
    except MemoryError as error:
        say.error(GnomonError(f"out of memory before a verdict: {error}", "a scenario of fewer words"))
        return EXIT["bounded"]
    except ValueError as error:  # a kernel outside the dialect, a call with too few words
        raise misuse(str(error), "docs/lang.md says what a kernel may do") from None
    if sys.stderr.isatty():
        print(file=sys.stderr)
    timeline = Timeline(made, result) if result.violated and (html or trace or not json) else None
    if json:
        say.json(as_document(result))
    else:
        print(result)
        if timeline:
            print("\n" + race_table(timeline, every))
    if timeline:
        write_pictures(timeline, html, trace)
    if result.violated and save:
        write(lambda: save_schedule(save, result, {key: str(value) for key, value in numbers.items()}), save)
        say.note(f"gnomon replay {save}")
    say.note(SOUNDNESS)
    return EXIT[result.verdict]


def claims(
    *,
    model: Annotated[Model, Parameter(help="Memory model.")] = "tso",
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
    html: Annotated[Path | None, Parameter(help="Write the table, and the counterexamples to step through, as a page.")] = None,
    pressure: Annotated[
        Path | None, Parameter(help="Cite the run of this file, what gnomon pressure --json printed; without it, the last run.")
    ] = None,
) -> int:
    """Print each claim of the thread with its verdict, the bound it holds within, and the command that shows it; and what the running
    machine showed of it under pressure."""
    from dataclasses import asdict

    from gnomon.check.claims import CLAIMS, settle
    from gnomon.study.pressure.kept import last, of_file

    runs = of_file(pressure) if pressure else last()
    html = html and target(html)
    rows, seen = [], {}
    for claim in CLAIMS:
        _tell_line(f"{claim.id} …")
        rows.append(settle(claim, model, found=lambda made, result, id=claim.id: seen.setdefault(id, []).append((made, result))))
    _tell_line("")
    if html:
        from gnomon.report.claims_page import claims_page, evidence

        text = claims_page(rows, {id: evidence(found, about) for id, found in seen.items()}, runs)
        write(lambda: html.write_text(text, encoding="utf-8"), html)
    if json:
        say.json([asdict(row) | {"run": asdict(runs[row.id]) if row.id in runs else None} for row in rows])
    else:
        table = [(r.id, r.verdict, r.claim, f"{r.states:,}", r.steps or "", f"{r.seconds:.1f}", r.command, r.within) for r in rows]
        print(say.columns(("id", "verdict", "claim", "states", "steps", "s", "command", "within"), table, right="lllrrrll"))
        _print_runs(list(runs.values()))
    say.note(SOUNDNESS)
    return 1 if any(r.verdict == "refuted" for r in rows) else 0


def _print_runs(cited: list) -> None:
    """What runs under pressure said of the claims, a run after the other."""
    from gnomon.cli.pressure import shown
    from gnomon.study.pressure.kept import is_old

    if not cited:
        why = "the last run was of other sources: " if is_old() else ""
        say.note(f"{why}gnomon pressure settles C1, C2, C5, C6 and C7 in the running machine; after it, they are cited here")
    for run in dict.fromkeys(c.run for c in cited):
        print(f"\n{run.command}, {run.date}, {run.processor}:")
        for c in cited:
            if c.run == run:
                print(f"{c.claim}  {shown(c)}: {c.text}")


def litmus(
    *paths: Annotated[Path, Parameter(help="Litmus tests of herd's x86 format, or folders of them.")],
    model: Annotated[Model, Parameter(help="Memory model.")] = "tso",
    on_hardware: Annotated[bool, Parameter(help="Run on this CPU too: which allowed outcomes does it show?")] = False,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> int:
    """Say Never, Sometimes or Always of each litmus test, with its final states."""
    from gnomon.check.litmus.parse import LitmusError, parse
    from gnomon.check.litmus.run import run

    files = [f for path in paths for f in (sorted(path.rglob("*.litmus")) if path.is_dir() else [path])]
    if not files:
        raise misuse("no litmus test given", "gnomon litmus FILE or FOLDER")
    rows, alarm, refused = [], False, 0
    for file in files:
        try:
            test = parse(file.read_text(encoding="utf-8", errors="replace"), str(file))
            verdict = run(test, model)
        except (OSError, LitmusError) as error:  # the others are explored all the same
            reason = str(error) if isinstance(error, LitmusError) else f"cannot read {file}: {error.strerror}"
            rows.append({"file": str(file), "verdict": "Refused", "states": 0, "seconds": 0.0, "reason": reason})
            refused += 1
            say.note(f"gnomon: {reason}")
            continue
        row = {"file": str(file), "verdict": verdict.verdict, "states": verdict.states, "seconds": round(verdict.seconds, 6)}
        row["finals"] = [state for state, _ in verdict.finals]
        if on_hardware:
            from gnomon.check.litmus.hardware import run_on_hardware

            seen = run_on_hardware(test)
            allowed = {tuple(sorted(state.items())) for state, _ in verdict.finals}
            row["hardware"] = [{"state": dict(state), "times": n, "forbidden": state not in allowed} for state, n in seen.items()]
            alarm |= any(state not in allowed for state in seen)
        rows.append(row)
        if not json:
            _print_litmus(test, verdict, row)
    if json:
        say.json(rows)
    if refused and len(files) > 1:
        say.note(f"{refused} of {len(files)} files were refused")
    return 1 if alarm else 3 if refused else 0


def _print_litmus(test, verdict, row) -> None:
    print(f"{test.name}  {verdict.verdict}  ({verdict.states:,} states, {verdict.seconds * 1000:.1f} ms)")
    times = {tuple(sorted(h["state"].items())): h["times"] for h in row.get("hardware", [])}
    for state, met in verdict.finals:
        text = "  ".join(f"{name}={value}" for name, value in state.items())
        count = f"  {times.get(tuple(sorted(state.items())), 0):,} times on this CPU" if "hardware" in row else ""
        print(f"  {'*' if met else ' '} {text}{count}")
    for seen in row.get("hardware", []):
        if seen["forbidden"]:
            print(f"  ALARM: this CPU showed what the model forbids: {seen['state']}")


def build_scenario(name: str, settings: dict[str, int]):
    """The scenario of that name or of a user's own file, or misuse with the names there are."""
    from gnomon.check.own import build_own, is_own
    from gnomon.check.scenarios.catalog import Unknown, build

    try:
        if is_own(name):
            if settings:
                raise misuse(f"{name} is a file of yours: its constants are set in it", "Scenario(..., constants={'module.NAME': 2})")
            return build_own(name)
        return build(name, settings)
    except Unknown as error:
        raise misuse(str(error), f"one of {', '.join(error.known)}" if error.known else "it has none") from None
    except GnomonError as error:
        raise misuse(error.message, error.hint) from None
    except ValueError as error:
        raise misuse(str(error)) from None
    except OSError as error:
        raise misuse(f"cannot read {name.partition(':')[0]}: {error.strerror}") from None


def about(name: str) -> str:
    """What a scenario shows, and what its mutant breaks."""
    from gnomon.check.own import about_own, is_own
    from gnomon.check.scenarios.catalog import find

    if is_own(name):
        return about_own(name)
    entry, mutant, design = find(name)
    return entry.shows + (f". Mutant: {entry.mutants[mutant].breaks}" if mutant else "") + (f". Design: {design}" if design else "")


def _with_design(scenario: str, design: str) -> str:
    """The name of the scenario with the mutant and the choices of `--design`."""
    items = [item for item in design.split(",") if item]
    mutants = [item.removeprefix("mutant=") for item in items if item.startswith("mutant=")]
    chosen = ",".join(item for item in items if not item.startswith("mutant="))
    return scenario + "".join(f":{mutant}" for mutant in mutants) + f"@{chosen}" * bool(chosen)


def _numbers(settings: list[str]) -> dict[str, int]:
    found = {}
    for item in ",".join(settings).split(","):
        if not item:
            continue
        name, _, value = item.partition("=")
        try:
            found[name] = int(value)
        except ValueError:
            raise misuse(f"--set takes NAME=NUMBER, not: {item}") from None
    return found


def _list(json: bool) -> None:
    from gnomon.check.scenarios.catalog import entries

    if json:
        say.json([{"name": e.name, "shows": e.shows, "mutants": {n: m.breaks for n, m in e.mutants.items()}} for e in entries()])
        return
    for entry in entries():
        print(f"{entry.name:26} {entry.shows}")
        for name, mutant in entry.mutants.items():
            print(f"  :{name:23} {mutant.breaks}")


def _matrix(json: bool) -> int:
    from dataclasses import asdict

    from rich.progress import Progress

    from gnomon.check.matrix import cells, surprises

    with Progress(console=say.stderr_console(), transient=True) as bar:
        work = bar.add_task("designs", total=None)
        found = cells(progress=lambda done, total, what: bar.update(work, completed=done, total=total, description=what))
    if json:
        say.json([asdict(cell) for cell in found])
    else:
        _print_matrix(found)
    odd = surprises(found)
    if odd:
        say.note(f"not what gnomon designs says of: {', '.join(odd)}")
    say.note(SOUNDNESS)
    return 1 if odd else 0


def _print_matrix(found: list) -> None:
    """One line a design, one column a property and model; the scenario that settles a cell is in --json."""
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys((cell.property, cell.model) for cell in found))
    table = Table("design", *(f"{name}\n{model}" for name, model in columns))
    text = {"": "—", "proved": "proved", "bounded": "[yellow]bounded[/]"}
    for design in dict.fromkeys(cell.design for cell in found):
        row = {(cell.property, cell.model): cell for cell in found if cell.design == design}
        shown = [text.get(row[c].verdict) or f"[red]violated[/] ({row[c].steps} steps)" for c in columns]
        table.add_row(design, *shown)
    console = Console()
    if not console.is_terminal:
        console.width = 240
    console.print(table)


def as_document(result) -> dict:
    names = (
        "scenario",
        "model",
        "verdict",
        "property",
        "reason",
        "bounds",
        "states",
        "transitions",
        "steps",
        "seconds",
        "omission",
        "schedule",
        "loop",
        "digest",
    )
    return {name: getattr(result, name) for name in names}


def write(action, path: Path) -> None:
    """Do what writes the file at `path`, or say why it cannot be written."""
    try:
        action()
    except FileExistsError:
        raise GnomonError(f"{path} exists already", "choose another name, or remove it", exit_code=2) from None
    except OSError as error:
        raise GnomonError(f"cannot write {path}: {error.strerror}", exit_code=2) from None


def _tell(states: int, transitions: int) -> None:
    from gnomon.cli.main import keep_what_is_found

    keep_what_is_found()
    _tell_line(f"{states:,} states, {transitions:,} transitions")


def _tell_line(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
