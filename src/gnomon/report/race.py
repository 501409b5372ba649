"""race: a counterexample as a section of a page: its timeline, a column a thread, and beside it what holds at each step.

The rows are plain HTML and read without JavaScript. player.js steps through them: source, page tables before and after, memory by
name and store buffers come from one JSON block.
"""

from __future__ import annotations

import linecache
from html import escape
from pathlib import Path

import msgspec

from gnomon.check.timeline import Moment, Timeline, source
from gnomon.report.picture import picture
from gnomon.report.scene import Scenery

CONTEXT = 7
"""Source lines shown before and after the current one."""


def race(timeline: Timeline, ident: str, about: str = "", command: str = "") -> str:
    """The section of a violated result. `ident` is unique in the page; `command` reproduces it."""
    result = timeline.result
    bounds = ", ".join(f"{k} {v}" for k, v in result.bounds.items())
    model = {"sc": "sequential consistency", "tso": "x86-TSO, store buffers included"}[result.model]
    facts = [f"{len(result.schedule)} steps", model, bounds]
    intro = f"<p>{escape(about)}</p>" if about else ""
    shown = f"<p class=command><code>{escape(command)}</code></p>" if command else ""
    return (
        f'<section class=race id="{ident}"><h2>{escape(result.scenario)}: <em>violated: {escape(result.property)}</em></h2>'
        f"{intro}<p class=facts>{escape(' · '.join(f for f in facts if f))}</p>{shown}"
        f"{_controls(ident)}<div class=stage><div class=left>{_rows(timeline, ident)}{_ending(timeline)}</div>{_panels(timeline)}</div>"
        f'<script type="application/json" class=data>{_json(_data(timeline))}</script></section>'
    )


def _controls(ident: str) -> str:
    buttons = (
        ("first", "|◀", "to the beginning (Home)"),
        ("back", "◀", "back (←)"),
        ("on", "▶", "step (→)"),
        ("last", "▶|", "to the end (End)"),
    )
    made = "".join(f'<button class={name} aria-label="{label}" title="{label}">{sign}</button>' for name, sign, label in buttons)
    return (
        f'<div class=controls>{made}<input type=range class=slider min=0 value=0 aria-label="step" id="{ident}-slider">'
        f'<output class=where for="{ident}-slider">0</output>'
        '<label title="accesses that no other thread can see (a)"><input type=checkbox class=every> private too</label>'
        "<p class=say aria-live=polite></p></div>"
    )


def _rows(timeline: Timeline, ident: str) -> str:
    threads = timeline.scenario.threads
    heads = "".join(f"<span class='head t{n}'>{escape(t.name)}</span>" for n, t in enumerate(threads))
    heads = f"<span class=head>step</span>{heads}<span class=head>source</span>"
    columns = f'style="--threads:{len(threads)}"'
    out = [f"<div class=heads aria-hidden=true {columns}>{heads}</div>"]
    out.append(f'<div class=rows role=listbox tabindex=0 aria-label="timeline" {columns}>')
    last, looping = 0, False
    for moment in timeline.moments:
        if moment.looping and not looping:
            looping, last = True, 0
            out.append("<div class=forever>and then for ever:</div>")
        out.append(_row(moment, ident, threads[moment.event.thread].name, moment.event.step != last))
        last = moment.event.step if moment.worth else last
    return "".join(out) + "</div>"


def _row(moment: Moment, ident: str, thread: str, first: bool) -> str:
    event = moment.event
    kinds = "row" + ("" if moment.worth else " private") + (" broken" if event.broken else "") + (" drain" if event.kind == "drain" else "")
    column = f'class="cell t{event.thread}" style="--column:{event.thread + 2}" data-thread="{escape(thread)}"'
    return (
        f'<div class="{kinds}" role=option id="{ident}-{moment.number}"><span class=number>{event.step if first else ""}</span>'
        f"<span {column}>{escape(moment.text)}</span>"
        f"<span class=place>{escape(source(event.place))}</span></div>"
    )


def _ending(timeline: Timeline) -> str:
    lost = {text for _, text in timeline.lost()}
    lines = "".join(f"<li{' class=lost' if line in lost else ''}>{escape(line)}</li>" for line in timeline.ending())
    return f"<div class=ending><h3>At the end</h3><ul>{lines}<li class=lost>violated: {escape(timeline.result.property)}</li></ul></div>"


def _panels(timeline: Timeline) -> str:
    buffers = "<div class='panel buffers'><h3>Store buffers</h3><div class=content></div></div>" if timeline.result.model == "tso" else ""
    figures = "".join(f"<figure class={name}><figcaption>{name}</figcaption><div></div></figure>" for name in ("after", "before"))
    return (
        "<div class=right><div class='panel source'><h3>Source</h3><pre class=content tabindex=0 aria-label=source></pre></div>"
        f"<div class='panel tables'><h3>Page tables</h3><div class=pictures>{figures}</div></div>"
        f"{buffers}<div class='panel words'><h3>Memory by name</h3><div class=content></div></div></div>"
    )


def _data(timeline: Timeline) -> dict:
    scenery, pictures, numbers = Scenery(timeline), [], {}

    def drawn(moment: int) -> int:
        scene = scenery.at(moment)
        if scene is None:
            return -1
        svg = picture(scene)
        if svg not in numbers:
            numbers[svg] = len(pictures)
            pictures.append(svg)
        return numbers[svg]

    now = first = drawn(-1)
    steps, files = [], {}
    for moment in timeline.moments:
        event, names = moment.event, timeline.names_at(moment.number)
        step = {"t": event.thread, "x": moment.text, "s": source(event.place), "l": event.place[1]}
        if event.known and event.kind not in ("mb", "membarrier", "choose"):
            step |= {
                "a": event.address,
                "w": [names.part(event.address).thing, names.word(event.address), names.value(event.address, event.after)],
            }
        waiting = [timeline.buffer_text(b) for b in event.buffers]
        if any(waiting):
            step["b"] = waiting
        if timeline.changes(moment.number):
            now = drawn(moment.number)
            names = timeline.names_at(moment.number)
        step["p"] = now
        if event.place[0]:
            step["f"] = _excerpt(files, event.place[0], event.place[1])
        steps.append(step)
    threads = [t.name for t in timeline.scenario.threads]
    loop = timeline.straight if timeline.straight < len(steps) else -1
    return {"threads": threads, "steps": steps, "first": first, "pictures": pictures, "files": files, "loop": loop}


def _excerpt(files: dict[str, dict[int, str]], file: str, line: int) -> str:
    """Add the lines around `line` to what the page carries of the file. Returns the file's short name."""
    name = f"{Path(file).parent.name}/{Path(file).name}"
    held = files.setdefault(name, {})
    lines = linecache.getlines(file)
    for n in range(max(1, line - CONTEXT), min(len(lines), line + CONTEXT) + 1):
        held[n] = lines[n - 1].rstrip("\n")
    return name


def _json(data: dict) -> str:
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")
