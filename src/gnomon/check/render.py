"""render: a counterexample as the kernel's locking.rst prints races: a column a thread, a line a step, source beside."""

from __future__ import annotations

from textwrap import wrap

from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.timeline import Moment, Timeline, source

LEAST_WIDTH, MOST_WIDTH = 18, 52
MARGIN = "     "


def render(scenario: Scenario, result: Result, every: bool = False) -> str:
    """The counterexample of a violated result as text; `every` shows private accesses too."""
    return race_table(Timeline(scenario, result), every)


def race_table(timeline: Timeline, every: bool = False) -> str:
    """A timeline as text, ending in what was violated."""
    straight = [m for m in timeline.lines(every) if not m.looping]
    loop = [m for m in timeline.lines(every) if m.looping]
    names = [t.name for t in timeline.scenario.threads]
    widths = []
    for t, name in enumerate(names):
        longest = max((len(m.text) for m in straight + loop if m.event.thread == t), default=0)
        widths.append(min(MOST_WIDTH, max(LEAST_WIDTH, longest, len(name))))
    out = [timeline.head(), ""]
    out.append((MARGIN + "  ".join(n.ljust(w) for n, w in zip(names, widths, strict=True))).rstrip())
    out.append(MARGIN + "  ".join("-" * w for w in widths))
    out += _rows(straight, widths)
    if loop:
        out.append(f"{MARGIN}and then for ever:")
        out += _rows(loop, widths)
    out += ["", *(MARGIN + line for line in timeline.ending()), f"{MARGIN}VIOLATED: {timeline.result.property}"]
    return "\n".join(out) + "\n"


def _rows(moments: list[Moment], widths: list[int]) -> list[str]:
    out, last = [], 0
    for moment in moments:
        event = moment.event
        number = f"{event.step:>3}" if event.step != last else "   "
        last = event.step
        for n, text in enumerate(wrap(moment.text, widths[event.thread], subsequent_indent="  ", break_long_words=False) or [""]):
            cells = [(text if t == event.thread else "").ljust(w) for t, w in enumerate(widths)]
            line = f"{number if n == 0 else '   '}  {'  '.join(cells)}  {source(event.place) if n == 0 else ''}"
            out.append(line.rstrip())
    return out
