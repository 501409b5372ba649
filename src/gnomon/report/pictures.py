"""pictures: what the README shows, as SVG files that stand alone and follow the reader's scheme, light or dark.

    race.svg        the shortest way to lose a page when the dirty bit is set before the spte is writable
    jitter.svg      how long write faults take while a harvest protects, by protector
    pressure.svg    shadow pages over time under two reclaims

Each says at its foot what makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from gnomon.check.timeline import Moment, Timeline, source
from gnomon.report import chart
from gnomon.report.page import colours
from gnomon.report.pressure_page import pressed

RACE, JITTER, PRESSURE = "race.svg", "jitter.svg", "pressure.svg"
NAMES = (RACE, JITTER, PRESSURE)
LINE, LETTER, PAD = 18, 7.25, 16
"""Height of a line of text, width of a letter of its fixed-width font, margin."""
STYLE = """
text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.paper { fill: var(--page); }
.title { font-size: 15px; font-weight: 600; }
.foot { fill: var(--dim); font-size: 11px; }
.mono { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; }
.thread { fill: var(--thread); }
.head { font-weight: 700; }
.dim { fill: var(--dim); }
.bad { fill: var(--bad); font-weight: 700; }
.rule { stroke: var(--line); }
.key { stroke: var(--thread); stroke-width: 3; }
"""
NAMES_OF = {"idle": "nobody harvests", "locked": "mmu_lock held"}
HANDSHAKE = (".mode", ".requests")
"""Words of a vCPU that say whether it is in guest mode, and what it is asked for."""


def race(timeline: Timeline, title: str, command: str) -> str:
    """A counterexample, a column a thread, without the vCPUs' way in and out of guest mode."""
    moments = [m for m in timeline.lines() if not _is_handshake(timeline, m)]
    threads = timeline.scenario.threads
    widest = [max((len(m.text) for m in moments if m.event.thread == t), default=0) for t in range(len(threads))]
    columns, x = [], PAD + 4 * LETTER
    for letters, thread in zip(widest, threads, strict=True):
        columns.append(x)
        x += (max(letters, len(thread.name)) + 3) * LETTER
    places = [source(m.event.place) for m in moments]
    width = x + max(map(len, places)) * LETTER + PAD
    parts, y = [_text(PAD, PAD + 10, title, "title")], PAD + 10 + 1.7 * LINE
    for n, thread in enumerate(threads):
        parts.append(_text(columns[n], y, thread.name, f"mono head thread t{n}"))
    parts.append(_text(x, y, "source", "mono head dim"))
    parts.append(f'<line class="rule" x1="{PAD}" x2="{width - PAD:g}" y1="{y + 6:g}" y2="{y + 6:g}"/>')
    y, last = y + 6, 0
    for moment, place in zip(moments, places, strict=True):
        y += LINE
        if moment.event.step != last:
            parts.append(_text(PAD, y, f"{moment.event.step:>3}", "mono dim"))
        last = moment.event.step
        parts.append(_text(columns[moment.event.thread], y, moment.text, f"mono thread t{moment.event.thread}"))
        parts.append(_text(x, y, place, "mono dim"))
    for _, text in timeline.lost():
        y += 1.4 * LINE
        parts.append(_text(columns[0], y, text, "mono bad"))
    return _alone(parts, width, y, f"{command} \N{MIDDLE DOT} steps left out: the vCPU enters guest mode and leaves it")


def jitter(rows: Sequence, made: str) -> str:
    """Which share of write faults took longer than so many ns; `rows` are those of `gnomon bench jitter` with a spread."""
    spreads = [(*r.figure.rpartition(":")[0].partition(", "), r.points) for r in rows if r.points]
    most = max(vcpus for vcpus, *_ in spreads)
    series = chart.shares({NAMES_OF.get(kind, kind): points for vcpus, _, kind, points in spreads if vcpus == most})
    drawn = chart.plot(series, "longer than", "% of write faults", log_x=True, log_y=True, x_text=chart.duration)
    title = f"Write faults of {most} while a harvest write-protects their pages"
    return _panels(title, {"": drawn}, list(series), f"gnomon bench jitter \N{MIDDLE DOT} {made}")


def pressure(outcomes: Sequence, made: str) -> str:
    """Shadow pages over time, a panel a reclaim on one scale; `outcomes` as of study.pressure.run.Outcome."""
    courses = {"live": "live", "deferred": "freed, waiting for a grace period", "cached": "kept by the slab"}
    top = max(getattr(s, name) for o in outcomes for s in o.samples for name in courses)
    panels = {}
    for o in outcomes:
        series = {label: [(s.seconds, getattr(s, name)) for s in o.samples] for name, label in courses.items()}
        panels[o.title] = chart.plot(series, "seconds", "pages", marks={"n_max": o.n_max}, band=pressed(o), top=top)
    names = ",".join(o.reclaim for o in outcomes)
    title = "Shadow pages of two machines that zap all the time"
    return _panels(title, panels, list(courses.values()), f"gnomon pressure --reclaim {names} \N{MIDDLE DOT} {made}")


def _is_handshake(timeline: Timeline, moment: Moment) -> bool:
    return timeline.names.word(moment.event.address).endswith(HANDSHAKE)


def _panels(title: str, panels: Mapping[str, str], keys: Sequence[str], foot: str) -> str:
    """Charts below each other, each with its name, the meaning of the colours above them all."""
    parts, y = [_text(PAD, PAD + 10, title, "title")], PAD + 10 + 1.5 * LINE
    x = float(chart.LEFT)
    for n, key in enumerate(keys):
        parts.append(f'<line class="key t{n}" x1="{x:g}" x2="{x + 18:g}" y1="{y - 4:g}" y2="{y - 4:g}"/>')
        parts.append(_text(x + 24, y, key))
        x += 24 + 7.2 * len(key) + 22
    for name, drawn in panels.items():
        if name:
            y += 1.4 * LINE
            parts.append(_text(chart.LEFT, y, name, "head"))
        y += 6
        parts.append(f'<g class="chart" transform="translate(0 {y:g})">{drawn}</g>')
        y += chart.HEIGHT
    return _alone(parts, chart.WIDTH + PAD, y, foot)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _alone(parts: Sequence[str], width: float, y: float, foot: str) -> str:
    """A file of its own: paper below, what makes it again at the foot."""
    y += 1.6 * LINE
    height = y + PAD / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<style>{colours()}{STYLE}</style>"
        f'<rect class="paper" width="100%" height="100%"/>{"".join(parts)}{_text(PAD, y, foot, "foot")}</svg>\n'
    )
