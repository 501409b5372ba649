"""pressure_page: what memory did under pressure, a chart a reclaim, and the counts beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gnomon.report.chart import lines
from gnomon.report.page import document

COURSES = {
    "live": "live shadow pages",
    "deferred": "wait for a grace period",
    "cached": "kept by slabs",
    "free": "free frames",
    "held": "held by the consumer",
}


def pressure_page(outcomes: Sequence, header: Sequence[str], cells, findings: Sequence[tuple[str, str]]) -> str:
    """`outcomes` as of study.pressure.run.Outcome; `cells(outcome)` is its row under `header`; `findings` are (claim, text)."""
    return document("gnomon pressure", f"<main><h1>gnomon pressure</h1>{section(outcomes, header, cells, findings)}</main>")


def section(outcomes: Sequence, header: Sequence[str], cells, findings: Sequence[tuple[str, str]]) -> str:
    heads = "".join(f"<th>{escape(h)}</th>" for h in header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells(o)) + "</tr>" for o in outcomes)
    said = "".join(f"<li><b>{escape(claim)}</b> {escape(text)}</li>" for claim, text in findings)
    charts = "".join(f"<div><h3>{escape(o.title)}</h3>{chart(o)}</div>" for o in outcomes)
    table = f"<div class=scroll><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    return f"<ul>{said}</ul>{table}<div class=charts>{charts}</div>"


def chart(outcome) -> str:
    """Frames over time; the marks are n_max and the pool's low watermark."""
    series = {label: [(s.seconds, getattr(s, name)) for s in outcome.samples] for name, label in COURSES.items()}
    return lines(series, "seconds", "frames", marks={"n_max": outcome.n_max, "low watermark": outcome.low}, band=pressed(outcome))


def pressed(outcome) -> tuple[str, float, float] | None:
    """When the other consumer held frames: a band for a chart."""
    when = [s.seconds for s in outcome.samples if s.held]
    return ("another consumer takes every frame", when[0], when[-1]) if when else None
