"""page: self-contained HTML documents: nothing is fetched, styles and script are inside."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from gnomon.check.timeline import Timeline
from gnomon.report.race import race

SOUNDNESS = "What a verdict says and what it does not: docs/soundness.md"
ARROWHEAD = (
    '<svg width=0 height=0 style="position:absolute" aria-hidden=true><marker id=arrowhead viewBox="0 0 6 6" refX=5 refY=3 markerWidth=6 '
    'markerHeight=6 orient=auto-start-reverse><path d="M0 0L6 3L0 6z" fill=context-stroke></path></marker></svg>'
)


def colours() -> str:
    """The part of the style sheet that a picture needs too."""
    return (files(__package__) / "colours.css").read_text(encoding="utf-8")


def document(title: str, body: str) -> str:
    """A whole page around `body`, with the style sheet and the player."""
    here = files(__package__)
    style, script = (here / "style.css").read_text(encoding="utf-8"), (here / "player.js").read_text(encoding="utf-8")
    head = (
        "<meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><link rel=icon href='data:,'><style>{colours()}{style}</style>"
    )
    foot = f"<footer>{SOUNDNESS}</footer>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{ARROWHEAD}{body}{foot}<script>{script}</script></body></html>\n"


def page(timeline: Timeline, about: str = "", command: str = "") -> str:
    """The page of a violated result: arrow keys step through it. `about` says what it shows, `command` what reproduces it."""
    result = timeline.result
    return document(f"{result.scenario}: violated: {result.property}", f"<main>{race(timeline, 'race', about, command)}</main>")
