"""claims_page: the claims of the 2013 thread with their verdicts, and the counterexamples that show them, a click away."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gnomon.check.claims import CLAIMS, Row
from gnomon.check.timeline import Timeline
from gnomon.report.page import document
from gnomon.report.race import race


def claims_page(rows: Sequence[Row], evidence: dict[str, list[tuple[Timeline, str]]]) -> str:
    """The claims as a page of their own."""
    return document("The claims of the thread", f"<main><h1>The claims of the thread</h1>{claims(rows, evidence)}</main>")


def claims(rows: Sequence[Row], evidence: dict[str, list[tuple[Timeline, str]]]) -> str:
    """`evidence` has, by claim, the timelines that belong to it, each with what it shows."""
    table = "".join(
        f'<tr><td><a href="#{r.id}">{r.id}</a></td><td class={escape(r.verdict.split()[0])}>{escape(r.verdict)}</td>'
        f"<td class=text>{escape(r.claim)}</td>{_number('states', f'{r.states:,}')}{_number('steps', str(r.steps or ''))}"
        f"{_number('seconds', f'{r.seconds:.1f}')}</tr>"
        for r in rows
    )
    heads = "".join(f"<th>{h}</th>" for h in ("id", "verdict", "claim", "states", "steps", "seconds"))
    body = "".join(_claim(r, evidence.get(r.id, [])) for r in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{table}</tbody></table>{body}"


def _number(label: str, text: str) -> str:
    return f"<td class=number data-label={label}>{text}</td>" if text else "<td></td>"


def _claim(row: Row, evidence: list[tuple[Timeline, str]]) -> str:
    first, *others = next(([name for name, _ in c.shown_by] for c in CLAIMS if c.id == row.id), [""])
    commands = [row.command, *(row.command.replace(first, name) for name in others)]
    command = "".join(f"<p><code>{escape(text)}</code></p>" for text in commands)
    races = "".join(
        f"<details><summary>{escape(timeline.result.scenario)}: counterexample of {len(timeline.result.schedule)} steps</summary>"
        f"{race(timeline, f'{row.id}-{n}', about, f'gnomon check {timeline.result.scenario} --model {timeline.result.model}')}</details>"
        for n, (timeline, about) in enumerate(evidence)
    )
    kind = row.verdict.split()[0]
    return (
        f'<div class=claim id="{row.id}"><h2>{row.id} <span class={escape(kind)}>{escape(row.verdict)}</span>: {escape(row.claim)}</h2>'
        f"<p class=facts>{escape(row.within)}</p>{command}{races}</div>"
    )
