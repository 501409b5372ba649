"""race_trace: a counterexample as a trace for Perfetto: a track a thread, a slice an access, store buffers as spans, words as counters.

There is no time in a schedule: every access takes one microsecond.
"""

from __future__ import annotations

from gnomon import __version__
from gnomon.check.timeline import Timeline, source
from gnomon.report.perfetto import Trace

COUNTED = {"": int, "lock": int, "mode": lambda value: value & 1, "pages": int.bit_count}
"""Kinds of words that make sense as a number, and which number."""
MOST = 1 << 53
"""Beyond it a JSON number is not exact; references and poison are no counters anyway."""


def race_trace(timeline: Timeline) -> Trace:
    """The trace of a violated result."""
    result, threads = timeline.result, timeline.scenario.threads
    trace = Trace(gnomon=__version__, scenario=result.scenario, model=result.model, violated=result.property, digest=result.digest)
    for thread in threads:
        trace.track("threads", thread.name)
    for moment in timeline.moments:
        event = moment.event
        place = source(event.place)
        trace.slice(trace.track("threads", threads[event.thread].name), moment.text, moment.number, 1, source=place, step=event.step)
    _buffers(timeline, trace)
    _words(timeline, trace)
    end, verdict = len(timeline.moments), trace.track("threads", "verdict")
    if timeline.straight < end:
        trace.slice(verdict, "repeated for ever", timeline.straight, end - timeline.straight)
    trace.instant(verdict, f"VIOLATED: {result.property}", end, why=timeline.ending())
    return trace


def _buffers(timeline: Timeline, trace: Trace) -> None:
    """A span from each store to the moment when it reaches memory, or to the end."""
    end, waiting = len(timeline.moments), {t: [] for t in range(len(timeline.scenario.threads))}
    for moment in timeline.moments:
        held = moment.event.buffers
        for t, stores in waiting.items():
            if len(held[t]) > len(stores):
                stores.append((moment.number, moment.text.removesuffix(" (buffered)")))
            elif len(held[t]) < len(stores):
                began, text = stores.pop(0)
                _span(timeline, trace, t, text, began, moment.number + 1)
    for t, stores in waiting.items():
        for began, text in stores:
            _span(timeline, trace, t, text, began, end)


def _span(timeline: Timeline, trace: Trace, thread: int, text: str, began: int, end: int) -> None:
    trace.span("store buffers", timeline.scenario.threads[thread].name, text, began, end)


def _words(timeline: Timeline, trace: Trace) -> None:
    """A counter for each word that somebody named, that reads as a number, and that changes."""
    for at, (times, values) in sorted(timeline.written.items()):
        region = timeline.names_at(-1).region(at)
        part = timeline.names.part(at)
        first = timeline.memory(-1)(at)
        numbers = [COUNTED[part.kind](v) for v in (first, *values)] if part.kind in COUNTED else []
        if region is None or region.quiet or len(set(numbers)) < 2 or max(map(abs, numbers)) >= MOST:
            continue
        trace.counter("memory", part.text, 0, numbers[0])
        for n, before, now in zip(times, numbers, numbers[1:], strict=False):
            if now != before:
                trace.counter("memory", part.text, n, now)
