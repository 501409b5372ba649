"""report_page: everything in one page: sections one after the other, and with what they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gnomon.report.page import document
from gnomon.report.words import words

ABOUT = (
    "May a thread that holds no lock write-protect shadow page table entries that another CPU may free and reuse at any moment? "
    "KVM's developers debated it in 2013. Gnomon builds that design and its alternatives as code that runs; a checker explores every "
    "interleaving of that code, and benches measure it. Each figure stands beside the command that makes it again."
)


@dataclass(frozen=True)
class Section:
    """A part of the report. `said` is what it came to in a line, `body` is HTML; `commands` make it again."""

    id: str
    title: str
    said: str
    commands: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Step:
    """A command that was run for the report, or left out. `why` it was left out, or what it did not do."""

    command: str
    seconds: float
    status: str  # done, failed, cut short, left out
    why: str = ""


def report_page(title: str, sections: Sequence[Section], steps: Sequence[Step], made: Mapping[str, str]) -> str:
    """The whole page; `made` are facts of the machine, the programs and the time, by name."""
    cards = "".join(f'<li><a href="#{escape(s.id)}">{escape(s.title)}</a><span>{escape(s.said)}</span></li>' for s in sections)
    missing = [s for s in steps if s.status != "done"]
    left = f"{len(missing)} of {len(steps)} steps were left out or not finished"
    note = f'<p class=missing>Not all is here: {left}, <a href="#made">and why</a>.</p>' if missing else ""
    facts = " · ".join(made[name] for name in ("date", "gnomon", "processor") if made.get(name))
    head = f"<h1>{escape(title)}</h1><p>{escape(ABOUT)}</p><p class=facts>{escape(facts)}</p>{note}{words()}"
    cards += '<li><a href="#made">How it was made</a><span>machine, versions, commands</span></li>'
    body = "".join(map(_section, sections))
    return document(title, f"<main class=report>{head}<nav><ul class=cards>{cards}</ul></nav>{body}{_made(steps, made)}</main>")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], label: str) -> str:
    """A table that scrolls sideways where it must, also by keyboard. Cells are HTML."""
    heads = "".join(f"<th scope=col>{escape(h)}</th>" for h in header)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class=scroll role=region tabindex=0 aria-label="{escape(label)}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _section(s: Section) -> str:
    commands = "".join(f"<p><code>{escape(command)}</code></p>" for command in s.commands)
    return f'<section class=part id="{escape(s.id)}"><h2>{escape(s.title)}</h2><p>{escape(s.said)}</p>{commands}{s.body}</section>'


def _made(steps: Sequence[Step], made: Mapping[str, str]) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in made.items())
    rows = [
        (
            f"<code>{escape(s.command)}</code>",
            escape(s.status),
            f"{s.seconds:.1f}" if s.seconds else "",
            f"<span class=why>{escape(s.why)}</span>",
        )
        for s in sorted(steps, key=lambda s: s.status == "done")
    ]
    ran = table(("command", "status", "seconds", ""), rows, "commands")
    return f"<section class=part id=made><h2>How it was made</h2><dl>{facts}</dl><h3>What was run, and what was not</h3>{ran}</section>"
