"""migrate: move a named machine to a receiver. The process that owns the machine does it; this one asks, shows, and can cancel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from gnomon.cli import control, say, units

HEADER = ("round", "pages", "zero", "sent MB", "time ms", "MB/s", "dirtied MB/s", "slowed %", "")
RIGHT = "rrrrrrrr"


def migrate(
    name: Annotated[str, Parameter(help="The machine, as gnomon ps shows it.")],
    address: Annotated[str, Parameter(help="HOST:PORT where gnomon receive waits.")],
    /,
    *,
    max_downtime: Annotated[str, Parameter(help="How long the guest may stand still.")] = "50ms",
    bandwidth: Annotated[str | None, Parameter(help="At most so many bytes a second: 100M.")] = None,
    auto_converge: Annotated[bool, Parameter(help="Slow the guest if it dirties memory faster than the link carries it.")] = False,
    compress: Annotated[Literal["none", "lz4"], Parameter(help="How pages are packed.")] = "none",
    log: Annotated[Literal["harvest", "clear", "ring"], Parameter(help="How dirty pages are taken: docs/migrate.md.")] = "harvest",
    timeout: Annotated[str, Parameter(help="How long the peer may say nothing.")] = "10s",
    trace: Annotated[Path | None, Parameter(help="Write the rounds as a trace for Perfetto.")] = None,
    json: Annotated[bool, Parameter(help="The report as one JSON document.")] = False,
) -> int:
    """Move a running machine to where `gnomon receive` waits."""
    from gnomon.migrate.channel import parse_address

    parse_address(address)
    options = {
        "max_downtime": units.duration(max_downtime, "the greatest downtime", least=1e-3),
        "bandwidth": units.rate(bandwidth, "the bandwidth") if bandwidth else None,
        "auto_converge": auto_converge,
        "compress": compress,
        "log": log,
        "timeout": units.duration(timeout, "the timeout", least=0.1),
    }
    with shown_rounds() as show:
        report = control.ask(name, "migrate", {"address": address, **options}, on_event=show)
    if trace:
        from gnomon.report.machine_trace import rounds_trace

        try:
            rounds_trace(report).write(trace)
        except OSError as error:
            say.note(f"gnomon: the guest has moved; the trace {trace} cannot be written: {error.strerror}")
    if json:
        say.json(report)
    else:
        print(table(report))
    return 0


def row(r: dict) -> tuple:
    """A round as cells."""
    seconds = r["seconds"]
    rate = (r["pages"] - r["zero"]) * 4096 / seconds / 1e6 if seconds else 0.0
    kind = "copying" if not r["done"] else "paused" if r["paused"] else ""
    dirtied = "" if r["paused"] or not r["done"] else f"{r['dirty_rate']:.0f}"
    return (
        r["number"],
        r["pages"],
        r["zero"],
        f"{r['bytes'] / 1e6:.1f}",
        f"{seconds * 1e3:.1f}",
        f"{rate:.0f}",
        dirtied,
        r["throttle"],
        kind,
    )


def table(report: dict) -> str:
    """The whole migration in plain text."""
    lines = [
        say.columns(HEADER, [row(r) for r in report["rounds"]], right=RIGHT),
        "",
        f"total time  {units.show_duration(report['seconds'])}, {report['bytes'] / 1e6:.1f} MB sent, {report['rate']:.0f} MB/s",
        f"downtime    {units.show_duration(report['downtime'])}",
        f"memory identical: {report['pages']} pages, xxh3 {report['digest']}",
        f"{report['name']} now runs on {report['peer']}",
    ]
    return "\n".join(lines)


def shown_rounds():
    """A context that gives a function for round events: a live table where stderr is a terminal, nothing elsewhere."""
    return Live() if sys.stderr.isatty() else Quiet()


class Quiet:
    def __enter__(self):
        return lambda _: None

    def __exit__(self, *_):
        pass


class Live:
    """The table of rounds, growing while it is looked at."""

    def __enter__(self):
        from rich.live import Live as RichLive

        self._rows: dict[int, tuple] = {}
        self._live = RichLive(self._table(), console=say.stderr_console(), refresh_per_second=10, transient=True)
        self._live.__enter__()
        return self._take

    def __exit__(self, *what):
        self._live.__exit__(*what)

    def _take(self, event: object) -> None:
        event = event if isinstance(event, dict) else msgspec.to_builtins(event)
        self._rows[event["number"]] = row(event)
        self._live.update(self._table())

    def _table(self):
        from rich.table import Table

        grid = Table(box=None, header_style="bold")
        for n, title in enumerate(HEADER):
            grid.add_column(title, justify="right" if RIGHT[n : n + 1] == "r" else "left")
        for cells in self._rows.values():
            grid.add_row(*map(str, cells))
        return grid
