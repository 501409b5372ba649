"""results: what came of jobs, in one DuckDB file that any SQL reads. A job is one transaction: a kill leaves whole rows.

    jobs      key, sweep, kind, command, parameters, source, status, error, seconds, machine, versions, finished
    figures   key, name, value, text

`parameters`, `machine` and `versions` are maps: parameters['design']. A figure is a number (`value`) or a word (`text`).
One process writes a file at a time: DuckDB's own lock sees to it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from gnomon.errors import GnomonError
from gnomon.study.limited import DONE, Outcome
from gnomon.study.sweep import Job

SCHEMA = """
    create table if not exists jobs (
        key varchar primary key, sweep varchar not null, kind varchar not null, command varchar not null,
        parameters map(varchar, varchar) not null, source varchar not null, status varchar not null, error varchar not null,
        seconds double not null, machine map(varchar, varchar) not null, versions map(varchar, varchar) not null,
        finished timestamp not null default current_localtimestamp()
    );
    create table if not exists figures (key varchar not null, name varchar not null, value double, text varchar, primary key (key, name));
"""
COLUMNS = "key, sweep, kind, command, parameters, source, status, error, seconds, machine, versions"


@dataclass(frozen=True)
class Kept:
    """What a file has of one job: `figures` by name, a number or a word each."""

    sweep: str
    kind: str
    command: str
    parameters: dict[str, str]
    source: str
    status: str
    error: str
    seconds: float
    machine: dict[str, str]
    versions: dict[str, str]
    figures: dict[str, float | str]


def read(path: Path) -> list[Kept]:
    """Every job of a results file, which is not changed."""
    if not path.is_file():
        raise GnomonError(f"there is no results file {path}", "gnomon study SWEEP.toml writes one", exit_code=2)
    try:
        with duckdb.connect(str(path), read_only=True) as base:
            jobs = base.execute(f"select {COLUMNS} from jobs order by sweep, kind, command").fetchall()
            figures: dict[str, dict[str, float | str]] = {}
            for key, name, value, text in base.execute("select key, name, value, text from figures order by key, name").fetchall():
                figures.setdefault(key, {})[name] = text if value is None else value
    except duckdb.Error as error:
        raise _sorry(path, error) from None
    return [Kept(*row[1:], figures.get(row[0], {})) for row in jobs]


class Results:
    """The file of a study. As a context manager it is closed at the end."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._base = duckdb.connect(str(path))
            self._base.execute(SCHEMA)
            self._base.execute(f"select {COLUMNS}, finished from jobs limit 0")
            self._base.execute("select key, name, value, text from figures limit 0")
        except duckdb.Error as error:
            raise _sorry(self.path, error) from None

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_) -> None:
        with suppress(duckdb.Error):  # a disk that is full was said already; every row is in the log beside the file
            self._base.close()

    def known(self, *, done_only: bool) -> set[str]:
        """Keys of the jobs that have a row; with `done_only`, of those that were done."""
        condition = f" where status = '{DONE}'" if done_only else ""
        try:
            return {key for (key,) in self._base.execute(f"select key from jobs{condition}").fetchall()}
        except duckdb.Error as error:
            raise _sorry(self.path, error) from None

    def keep(self, sweep: str, job: Job, source: str, outcome: Outcome) -> None:
        """One job's rows, all or none. A job that has failed before is replaced, one that was done is kept as it was."""
        row = (
            *(outcome.key, sweep, job.kind, job.command(), {name: str(value) for name, value in job.parameters}, source),
            *(outcome.status, outcome.error, outcome.seconds, outcome.machine, outcome.versions),
        )
        try:
            self._base.begin()
            self._base.execute(f"delete from jobs where key = ? and status <> '{DONE}'", [outcome.key])
            added = self._base.execute(
                f"insert into jobs ({COLUMNS}) values ({', '.join('?' * len(row))}) on conflict do nothing returning key", row
            ).fetchall()
            if added:
                names, numbers, words = list(outcome.figures), [], []
                for figure in outcome.figures.values():
                    numbers.append(None if isinstance(figure, str) else float(figure))
                    words.append(figure if isinstance(figure, str) else None)
                self._base.execute(
                    "insert into figures select ?, unnest(?::varchar[]), unnest(?::double[]), unnest(?::varchar[])",
                    [outcome.key, names, numbers, words],
                )
            self._base.commit()
        except duckdb.Error as error:
            raise _sorry(self.path, error) from None

    def counts(self) -> dict[tuple[str, str], int]:
        """Jobs by (kind, status)."""
        rows = self._base.execute("select kind, status, count(*) from jobs group by all order by all").fetchall()
        return {(kind, status): count for kind, status, count in rows}


def _sorry(path: Path, error: duckdb.Error) -> GnomonError:
    text = " ".join(str(error).split())
    if "lock" in text and "Conflicting" in text:
        return GnomonError(f"another process writes {path}", "wait for it, or use another file")
    if "No space left" in text or "out of disk" in text.lower() or "File too large" in text:
        return GnomonError(f"no room on the disk for {path}; what was finished is kept", "make room, and run the same command again")
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return GnomonError(f"{path} is a database of something else", "use another file")
    if not path.parent.is_dir():
        return GnomonError(f"there is no folder {path.parent} for the results", exit_code=2)
    first = text.split(". ")[0][:200]
    return GnomonError(f"{path} cannot be used as a results file, it may be damaged: {first}", "move it away, or use another")
