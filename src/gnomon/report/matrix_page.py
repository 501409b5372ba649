"""matrix_page: designs by properties and memory models, a cell each: its verdict, and the scenario that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gnomon.check.matrix import SHIPPED, Cell
from gnomon.mmu.axes import AXES
from gnomon.report.report_page import table

LEGEND = (
    "A cell has a line for each memory model: proved, with the states that were looked at; or violated, with the steps of the shortest "
    "counterexample. Below it is the scenario."
)


def matrix(cells: Sequence[Cell]) -> str:
    """The table, and below it what each cell rests on, a design a line."""
    columns, models = (list(dict.fromkeys(values)) for values in ((c.property for c in cells), (c.model for c in cells)))
    rows = {d: {(c.property, c.model): c for c in cells if c.design == d} for d in dict.fromkeys(c.design for c in cells)}
    lines = [
        (f"<b>{escape(d).replace('=', '=<wbr>')}</b>", *(_cell([row[name, model] for model in models]) for name in columns))
        for d, row in rows.items()
    ]
    drawn = table(("design", *columns), lines, "designs by properties and memory models")
    details = "".join(_design(d, row.values()) for d, row in rows.items())
    return f"<p class=facts>{LEGEND}</p>{drawn}<h3>What each design is, and what its cells rest on</h3>{details}"


def said(cells: Sequence[Cell]) -> str:
    """What the matrix came to."""
    broken = {c.design for c in cells if c.verdict == "violated"}
    counts = [f"{sum(c.verdict == v for c in cells)} {v}" for v in ("proved", "violated", "bounded")]
    designs = len({c.design for c in cells})
    return f"{designs} designs, {len(broken)} of them broken; cells: {', '.join(counts)}"


def command(cell: Cell) -> str:
    """What shows a cell's verdict."""
    design = "" if cell.design == SHIPPED else f" --design {cell.design}"
    return f"gnomon check {cell.scenario}{design} --model {cell.model}"


def _cell(of_models: Sequence[Cell]) -> str:
    """The verdicts of one design and property, a line a memory model, and the scenarios they rest on."""
    if not any(c.verdict for c in of_models):
        return "<span class=dim>not looked at</span>"
    lines = "".join(
        f"<span class=model>{c.model}</span> <span class={c.verdict or 'dim'}>{c.verdict or 'not looked at'}</span> {_size(c)}<br>"
        for c in of_models
    )
    names = dict.fromkeys(c.scenario for c in of_models if c.scenario)
    return f"{lines}<small>{'<br>'.join(map(escape, names))}</small>"


def _size(cell: Cell) -> str:
    if not cell.verdict:
        return ""
    return f"{cell.steps} step{'s' * (cell.steps != 1)}" if cell.verdict == "violated" else f"{cell.states:,}"


def _design(name: str, cells) -> str:
    choice = next((c for axis in AXES for c in axis.choices if f"{axis.name}={c.name}" == name), None)
    about = f"<p>{escape(choice.what)} <span class=dim>({escape(choice.source)})</span></p>" if choice else "<p>What Gnomon runs with.</p>"
    about += f"<p class=violated>{escape(choice.wrong)}</p>" if choice and choice.wrong else ""
    lines = [
        (escape(c.property), c.model, f"<span class={c.verdict}>{c.verdict}</span>", f"<code>{escape(command(c))}</code>")
        for c in cells
        if c.verdict
    ]
    broken = sum(c.verdict == "violated" for c in cells)
    count = f" <span class=violated>{broken} violated</span>" if broken else ""
    return (
        f"<details><summary>{escape(name)}{count}</summary>{about}"
        f"{table(('property', 'model', 'verdict', 'command'), lines, f'cells of {name}')}</details>"
    )
