"""sweep_file: a TOML file as a list of jobs. Every table is a product: each axis is a value or a list of values, each combination a job.

    [limits]                        of one job
    seconds = 600
    memory = "8G"

    [[run]]                         a guest in a machine, its dirty log harvested meanwhile
    workload = ["dirty", "churn"]
    design = ["", "protector=locked"]
    memory = ["64M", "256M"]
    harts = [1, 2]
    seed = [1, 2, 3]
    harvest = "20ms"

    [[check]]                       a scenario, or all that a pattern matches
    scenario = ["harvest/*", "reuse/middle-level-guard"]
    design = ["", "protector=locked"]
    model = ["sc", "tso"]

    [[bench]]
    name = "protect"
    turn = [1, 2, 3]                the same again

Everything is looked at before the first job runs: names, designs, sizes, and that no product is empty.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
import tomllib
from pathlib import Path

from gnomon import guests
from gnomon.cli import units
from gnomon.cli.bench import benches
from gnomon.errors import GnomonError
from gnomon.study.sweep import Job, Limits, Sweep, scenario

AXES = {
    "run": {"workload": None, "design": "", "memory": "128M", "harts": 1, "seed": 1, "append": "", "harvest": "0ms"},
    "check": {"scenario": None, "design": "", "model": "tso", "shards": 0},
    "bench": {"name": None, "turn": 1},
}
"""The axes of each kind of job, and what they are where the file does not say; None: it must."""

DEFAULT_SECONDS, DEFAULT_MEMORY = 600.0, "8G"
MOST_JOBS = 100_000
MOST_HARTS = 48
MOST_SHARDS = 255


def load(path: Path) -> Sweep:
    """Read a sweep. Raises GnomonError, exit code 2, for one that cannot be."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GnomonError(f"cannot read {path}: {error.strerror}", exit_code=2) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GnomonError(f"{path} is not TOML: {error}", "docs/study.md has a sweep to begin with", exit_code=2) from None
    unknown = set(document) - {"limits", *AXES}
    if unknown:
        raise _wrong(path, f"no such table: {sorted(unknown)[0]}", f"tables: limits, {', '.join(f'[[{kind}]]' for kind in AXES)}")
    jobs = dict.fromkeys(job for kind in AXES for table in _tables(path, document, kind) for job in _product(path, kind, table))
    if not jobs:
        raise _wrong(path, "it has no jobs", "add a [[run]], [[check]] or [[bench]] table")
    return Sweep(path.stem, _limits(path, document.get("limits", {})), tuple(jobs))


def _wrong(path: Path, what: str, hint: str | None = None) -> GnomonError:
    return GnomonError(f"{path}: {what}", hint, exit_code=2)


def _tables(path: Path, document: dict, kind: str) -> list[dict]:
    tables = document.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _wrong(path, f"{kind} is a list of tables", f"write [[{kind}]]")
    return tables


def _product(path: Path, kind: str, table: dict) -> list[Job]:
    axes = AXES[kind]
    for name in table:
        if name not in axes:
            raise _wrong(path, f"[[{kind}]] has no axis named {name}", f"axes: {', '.join(axes)}")
    values = []
    for name, default in axes.items():
        found = table.get(name, default)
        if found is None:
            raise _wrong(path, f"[[{kind}]] needs {name}", f'{name} = "…"')
        found = found if isinstance(found, list) else [found]
        if not found:
            raise _wrong(path, f"[[{kind}]] is an empty product: {name} has no values")
        wanted = int if isinstance(default, int) else str
        for value in found:
            if type(value) is not wanted:
                raise _wrong(path, f"{name} of [[{kind}]] is {'a number' if wanted is int else 'text'}, and this is not: {value!r}")
        values.append(_known(path, kind, name, found))
    count = math.prod(map(len, values))
    if count > MOST_JOBS:
        raise _wrong(path, f"[[{kind}]] is a product of {count} jobs, more than {MOST_JOBS}")
    jobs = [Job(kind, tuple(zip(axes, combination, strict=True))) for combination in itertools.product(*values)]
    for job in jobs:
        if kind == "check" and job.asked["design"]:
            _has_machine(path, job)
    return jobs


def _has_machine(path: Path, job: Job) -> None:
    """Raises GnomonError where a design means nothing to a scenario, or cannot be together with its mutant's."""
    from gnomon.check.scenarios.catalog import build

    try:
        build(scenario(job.asked))
    except (ValueError, GnomonError) as error:
        raise _wrong(path, str(error), "name the scenarios that have a machine in a [[check]] of their own") from None


def _known(path: Path, kind: str, name: str, values: list) -> list:
    """The values as a job has them. Raises GnomonError for one that names nothing."""
    try:
        return [found for value in values for found in KNOWN.get((kind, name), lambda same: [same])(value)]
    except GnomonError as error:
        raise _wrong(path, error.message, error.hint) from None


def _scenarios(pattern: str) -> list[str]:
    from gnomon.check.scenarios.catalog import entries

    names = [name for entry in entries() for name in (entry.name, *(f"{entry.name}:{mutant}" for mutant in entry.mutants))]
    found = fnmatch.filter(names, pattern)
    if not found:
        raise GnomonError(f"no scenario matches: {pattern}", "gnomon check lists them; NAME:* matches the mutants of one")
    return found


def _design(text: str) -> list[str]:
    from gnomon.mmu.designs import describe, parse

    return [describe(parse(text))]


def _one_of(what: str, known) -> object:
    def look(value: str) -> list[str]:
        names = list(known())
        if value not in names:
            raise GnomonError(f"no {what} named: {value}", f"known: {', '.join(names)}")
        return [value]

    return look


def _harts(count: int) -> list[int]:
    if not 1 <= count <= MOST_HARTS:
        raise GnomonError(f"a machine has 1 to {MOST_HARTS} harts: {count}")
    return [count]


def _shards(count: int) -> list[int]:
    if not 0 <= count <= MOST_SHARDS:
        raise GnomonError(f"an exploration has 1 to {MOST_SHARDS} shards, or 0 for one worker: {count}")
    return [count]


KNOWN = {
    ("run", "workload"): _one_of("guest", guests.names),
    ("run", "design"): _design,
    ("check", "design"): _design,
    ("run", "memory"): lambda text: [units.memory(text)],
    ("run", "harts"): _harts,
    ("run", "harvest"): lambda text: [round(units.duration(text) * 1e6)],
    ("check", "scenario"): _scenarios,
    ("check", "shards"): _shards,
    ("check", "model"): _one_of("memory model", lambda: ("sc", "tso")),
    ("bench", "name"): _one_of("bench", benches),
}
"""What makes of a value in the file the values of a job: bytes of a size, microseconds of a time, every scenario of a pattern."""


def _limits(path: Path, table: dict) -> Limits:
    unknown = set(table) - {"seconds", "memory"}
    if unknown:
        raise _wrong(path, f"[limits] has no {sorted(unknown)[0]}", "limits: seconds, memory")
    seconds, memory = table.get("seconds", DEFAULT_SECONDS), table.get("memory", DEFAULT_MEMORY)
    if type(seconds) not in (int, float) or seconds <= 0:
        raise _wrong(path, f"seconds of [limits] is a number above 0: {seconds!r}")
    if not isinstance(memory, str):
        raise _wrong(path, f'memory of [limits] is a size such as "8G": {memory!r}')
    try:
        return Limits(float(seconds), units.size(memory))
    except GnomonError as error:
        raise _wrong(path, error.message, error.hint) from None
