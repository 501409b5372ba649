"""bench_page: what `gnomon bench` measured, a table and a picture a bench."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gnomon.report.chart import bars, lines
from gnomon.report.page import document


def bench_page(rows: Sequence, header: Sequence[str], cells) -> str:
    """`rows` as of cli.bench.Row; `cells(row)` is a row of the table under `header`."""
    body = "".join(section(name, [r for r in rows if r.bench == name], header, cells) for name in dict.fromkeys(r.bench for r in rows))
    return document("gnomon bench", f"<main><h1>gnomon bench</h1>{body}</main>")


def section(name: str, rows: Sequence, header: Sequence[str], cells) -> str:
    """One bench: the command that repeats it, its pictures, its table."""
    heads = "".join(f"<th>{escape(h)}</th>" for h in header[1:])
    lines_of = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells(r)[1:]) + "</tr>" for r in rows)
    table = f"<div class=scroll><table><thead><tr>{heads}</tr></thead><tbody>{lines_of}</tbody></table></div>"
    head = f'<section id="{escape(name)}"><h2>{escape(name)}</h2><p><code>gnomon bench {escape(name)}</code></p>'
    return f"{head}{pictures(rows)}{table}</section>"


def pictures(rows: Sequence) -> str:
    """Spreads as lines, the other figures as bars, a picture a unit."""
    spreads = {r.figure: r.points for r in rows if r.points}
    drawn = lines(spreads, rows[0].unit if rows else "", "count", log_x=True, log_y=True) if spreads else ""
    for unit in dict.fromkeys(r.unit for r in rows if r.value is not None):
        values = {r.figure: r.value for r in rows if r.unit == unit and r.value is not None}
        drawn += bars(list(values.items()), unit)
    return drawn
