"""bench_page: what `gnomon bench` measured, a table and a picture a bench."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from gnomon.report.chart import bars, duration, lines, shares
from gnomon.report.page import document


def bench_page(rows: Sequence, header: Sequence[str], cells, about: Callable[[str], str]) -> str:
    """`rows` as of cli.bench.Row; `cells(row)` is a row of the table under `header`; `about` says what a bench measures."""
    names = dict.fromkeys(r.bench for r in rows)
    body = "".join(section(name, about(name), [r for r in rows if r.bench == name], header, cells) for name in names)
    return document("gnomon bench", f"<main><h1>gnomon bench</h1>{body}</main>")


def section(name: str, about: str, rows: Sequence, header: Sequence[str], cells) -> str:
    """One bench: what it measures, the command that repeats it, its pictures, its table."""
    heads = "".join(f"<th>{escape(h)}</th>" for h in header[1:])
    lines_of = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells(r)[1:]) + "</tr>" for r in rows)
    table = f"<div class=scroll><table><thead><tr>{heads}</tr></thead><tbody>{lines_of}</tbody></table></div>"
    head = f'<section id="{escape(name)}"><h2>{escape(name)}</h2><p>{escape(about)}</p><p><code>gnomon bench {escape(name)}</code></p>'
    return f"{head}{pictures(rows)}{table}</section>"


def pictures(rows: Sequence) -> str:
    """Spreads as the share that took longer, a picture a group; the other figures as bars, a picture a unit."""
    spreads: dict[str, dict] = {}
    for r in rows:
        if r.points:
            group, _, kind = r.figure.rpartition(":")[0].partition(", ")
            spreads.setdefault(group, {})[kind] = r.points
    drawn = "".join(
        f"<div><h3>{escape(group)}</h3>{lines(shares(found), 'longer than', '%', log_x=True, log_y=True, x_text=duration)}</div>"
        for group, found in spreads.items()
    )
    drawn = f"<div class=charts>{drawn}</div>" if drawn else ""
    for unit in dict.fromkeys(r.unit for r in rows if r.value is not None):
        values = {r.figure: r.value for r in rows if r.unit == unit and r.value is not None}
        drawn += bars(list(values.items()), unit)
    return drawn
