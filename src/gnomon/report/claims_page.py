"""claims_page: the claims of the 2013 thread with their verdicts, and the counterexamples that show them, a click away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gnomon.check.claims import Row
from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.timeline import Timeline
from gnomon.report.page import document
from gnomon.report.race import race


@dataclass(frozen=True)
class Evidence:
    """One search that a claim rests on, what it is about, and its counterexample if there is one."""

    result: Result
    about: str
    timeline: Timeline | None


def evidence(found: Sequence[tuple[Scenario, Result]], about: Callable[[str], str]) -> list[Evidence]:
    """Of searches that were made; `about` says of a scenario's name what it shows."""
    return [Evidence(r, about(r.scenario), Timeline(made, r) if r.violated else None) for made, r in found]


def claims_page(rows: Sequence[Row], found: Mapping[str, Sequence[Evidence]], runs: Mapping) -> str:
    """The claims as a page of their own."""
    return document("The claims of the thread", f"<main><h1>The claims of the thread</h1>{claims(rows, found, runs)}</main>")


def claims(rows: Sequence[Row], found: Mapping[str, Sequence[Evidence]], runs: Mapping) -> str:
    """`found` has, by claim, what it rests on; `runs` what a run under pressure said of it (study.pressure.kept.Cited)."""
    table = "".join(
        f'<tr><td><a href="#{r.id}">{r.id}</a></td><td class={escape(r.verdict.split()[0])}>{escape(r.verdict)}{_ran(runs.get(r.id))}</td>'
        f"<td class=text>{escape(r.claim)}</td>{_number('states', f'{r.states:,}')}{_number('steps', str(r.steps or ''))}"
        f"{_number('seconds', f'{r.seconds:.1f}')}</tr>"
        for r in rows
    )
    heads = "".join(f"<th>{h}</th>" for h in ("id", "verdict", "claim", "states", "steps", "seconds"))
    body = "".join(_claim(r, found.get(r.id, ()), runs.get(r.id)) for r in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{table}</tbody></table>{body}"


def _number(label: str, text: str) -> str:
    return f"<td class=number data-label={label}>{text}</td>" if text else "<td></td>"


def _ran(cited) -> str:
    """Beside the verdict, whether a run showed it too."""
    return "" if cited is None else f"<small class={_kind(cited)}>{'and in the run' if cited.holds else 'not in the run'}</small>"


def _kind(cited) -> str:
    return "shown" if cited.holds else "bounded"


def _claim(row: Row, found: Sequence[Evidence], cited) -> str:
    searches = "".join(_search(e, f"{row.id}-{n}") for n, e in enumerate(found))
    return (
        f'<div class=claim id="{row.id}"><h3>{row.id} <span class={escape(row.verdict.split()[0])}>{escape(row.verdict)}</span>: '
        f"{escape(row.claim)}</h3>{searches}{_run(cited) if cited else ''}</div>"
    )


def _search(e: Evidence, ident: str) -> str:
    """What a search came to, what it is about, how to repeat it; then its counterexample, or its bounds, folded."""
    r = e.result
    size = f"{r.states:,} state{'s' * (r.states != 1)}"
    said = f"<p><b>{escape(r.verdict)}</b>, {size}: {escape(e.about)}</p>"
    command = f"<p><code>gnomon check {escape(r.scenario)} --model {r.model}</code></p>"
    if e.timeline:
        steps = f"{len(r.schedule)} step{'s' * (len(r.schedule) != 1)}"
        shown = f"<summary>the shortest counterexample, {steps}</summary>{race(e.timeline, ident)}"
        return f"<div class=search>{said}{command}<details class=evidence>{shown}</details></div>"
    bounds = ", ".join(f"{name} {value}" for name, value in r.bounds.items())
    why = f"<p class=bounded>{escape(r.reason)}</p>" if r.verdict == "bounded" else ""
    within = f"<details><summary>its bounds</summary><p class=facts>{escape(bounds)}</p></details>"
    return f"<div class=search>{said}{why}{command}{within}</div>"


def _run(cited) -> str:
    """What the machine itself did under pressure."""
    word = "shown" if cited.holds else "not shown"
    return (
        f"<div class=search><p><b class={_kind(cited)}>{word}</b> by the running machine: {escape(cited.text)}</p>"
        f"<p><code>{escape(cited.run.command)}</code></p><p class=facts>{escape(cited.run.date)}, {escape(cited.run.processor)}</p></div>"
    )
