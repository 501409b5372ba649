"""bench: the frame around the benches of gnomon.study.

A bench is a module gnomon.study.bench_NAME with `rows(tell)`, which yields what it measured and tells what it is doing. A row is anything
with the fields of Row, or a dict of them. `target` is a bound on the value (">= 80") or on the ratio ("ratio >= 5"); `holds` follows from
it where the bench does not say so itself. A figure that could not be taken has no value, and its peer says why.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gnomon.cli import say, warming
from gnomon.cli.check_commands import write
from gnomon.cli.target import target
from gnomon.errors import GnomonError

PREFIX = "bench_"
HEADER = ("bench", "figure", "value", "unit", "peer", "ratio", "target", "holds")


class Row(msgspec.Struct):
    """One figure. `ratio` is to `peer`, measured in the same run. Without a value it could not be taken, and `peer` says why.

    `points` is a spread or a course that a picture draws: [x, y] each."""

    bench: str
    figure: str
    value: float | None
    unit: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    holds: bool | None = None
    points: list[tuple[float, float]] = msgspec.field(default_factory=list)


def bench(
    name: Annotated[str | None, Parameter(help="One bench; by default all of them.")] = None,
    /,
    *,
    json: Annotated[bool, Parameter(help="The rows as one JSON document.")] = False,
    html: Annotated[Path | None, Parameter(help="Write tables and pictures as a page.")] = None,
) -> int:
    """Measure this machine, as ratios in one run where there is a peer. It shows; it does not judge by its exit code."""
    known = benches()
    if name is not None and name not in known:
        raise GnomonError(f"no bench is named {name}", f"the benches are {', '.join(known) or 'none yet'}", exit_code=2)
    html = html and target(html)
    found: list[Row] = []
    warming.machine_class()
    for chosen in [name] if name else known:
        for row in importlib.import_module(known[chosen]).rows(lambda text: say.note(f"bench {text} …")):
            found.append(judge(msgspec.convert(row, Row, from_attributes=True, strict=False)))
    if html:
        from gnomon.report.bench_page import bench_page

        write(lambda: html.write_text(bench_page(found, HEADER, cells, about), encoding="utf-8"), html)
    if json:
        say.json(found)
    else:
        print(say.columns(HEADER, map(cells, found), right="llrllrll"))
    return 0


def benches() -> dict[str, str]:
    """Every bench by its name, and its module."""
    from gnomon import study

    modules = (m.name for m in pkgutil.iter_modules(study.__path__) if m.name.startswith(PREFIX))
    return {name.removeprefix(PREFIX).replace("_", "-"): f"{study.__name__}.{name}" for name in sorted(modules)}


def judge(row: Row) -> Row:
    """Fill `holds` from the target."""
    if row.holds is None and row.target:
        words = row.target.split()
        value = row.ratio if words[0] == "ratio" else row.value
        sign, bound = words[-2:]
        if sign not in (">=", "<="):
            raise GnomonError(f"internal error: a target is '>= number' or '<= number', and bench {row.bench} has {row.target!r}")
        row.holds = None if value is None else value >= float(bound) if sign == ">=" else value <= float(bound)
    return row


def cells(row: Row) -> tuple:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    holds = "" if row.holds is None else "yes" if row.holds else "NO"
    value = "" if row.value is None else f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.4g}"
    return (row.bench, row.figure, value, row.unit, row.peer, ratio, row.target, holds)


def about(name: str) -> str:
    """What a bench measures: the first paragraph of its module."""
    spec = importlib.util.find_spec(benches()[name])
    return " ".join(ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))).split("\n\n")[0].split())
