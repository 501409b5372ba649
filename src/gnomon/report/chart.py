"""chart: lines and bars as SVG in the colours of the page's style sheet, which follow light and dark.

A chart is drawn for its numbers to be read: axes from round number to round number, each line named at its side, every point's figures in
a tooltip. (Charting libraries fix colours when they draw; a page that follows the reader's scheme cannot have that.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 12, 40
COLOURS = 8
BAR, BAR_GAP, LABEL = 18, 8, 300

Points = Sequence[tuple[float, float]]


def lines(
    series: dict[str, Points],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    marks: dict[str, float] | None = None,
    band: tuple[str, float, float] | None = None,
    x_text: Callable[[float], str] | None = None,
) -> str:
    """A line a series, as plot() draws them, and what the colours mean."""
    parts = plot(series, x, y, log_x=log_x, log_y=log_y, marks=marks, band=band, x_text=x_text)
    if not parts:
        return "<p class=dim>nothing to draw</p>"
    keys = "".join(f'<li class="t{n % COLOURS}">{escape(name)}</li>' for n, name in enumerate(series))
    drawn = f'<svg class=chart viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{escape(y)} by {escape(x)}">{parts}</svg>'
    return f"<figure>{drawn}<ul class=keys>{keys}</ul></figure>"


def plot(
    series: dict[str, Points],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    marks: dict[str, float] | None = None,
    band: tuple[str, float, float] | None = None,
    top: float = 0.0,
    x_text: Callable[[float], str] | None = None,
) -> str:
    """Axes, marks and courses as SVG elements of WIDTH by HEIGHT, "" where there is nothing to draw.

    With a logarithmic axis, points that are not positive are left out. `marks` are named heights drawn across, `band` is a named stretch of
    the x axis. The y axis reaches `top` at least; `x_text` says what stands at a tick of the x axis."""
    marks = marks or {}
    kept = {name: [p for p in points if (p[0] > 0 or not log_x) and (p[1] > 0 or not log_y)] for name, points in series.items()}
    xs = [p[0] for points in kept.values() for p in points]
    ys = [p[1] for points in kept.values() for p in points] + [v for v in (*marks.values(), top) if v > 0 or not log_y]
    if not xs:
        return ""
    across, up = _Axis(min(xs), max(xs), log_x), _Axis(0 if not log_y else min(ys), max(ys), log_y)
    to_x = lambda v: LEFT + across.place(v) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    to_y = lambda v: HEIGHT - BOTTOM - up.place(v) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    parts = []
    if band:
        name, left, right = band[0], to_x(band[1]), to_x(band[2])
        parts.append(f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>')
        parts.append(_text((left + right) / 2, TOP + 14, name, "middle"))
    parts += [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(v):.1f}" y2="{to_y(v):.1f}"/>' for v in up.ticks]
    parts += [_text(LEFT - 6, to_y(v) + 4, number(v), "end") for v in up.ticks]
    parts += [_text(to_x(v), HEIGHT - BOTTOM + 16, (x_text or number)(v), "middle") for v in across.ticks]
    for n, (name, v) in enumerate(marks.items()):  # named at either end: two may lie close together
        at, anchor = (WIDTH - RIGHT, "end") if n % 2 == 0 else (LEFT + 4, "start")
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(v):.1f}" y2="{to_y(v):.1f}"/>')
        parts.append(_text(at, to_y(v) - 4, f"{name} {number(v)}", anchor))
    for n, (name, points) in enumerate(kept.items()):
        where = " ".join(f"{to_x(px):.1f},{to_y(py):.1f}" for px, py in points)
        parts.append(f'<polyline class="course t{n % COLOURS}" points="{where}"><title>{escape(name)}</title></polyline>')
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 6, x, "middle"))
    parts.append(_text(12, HEIGHT / 2, y, "middle", f' transform="rotate(-90 12 {HEIGHT / 2:.0f})"'))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def bars(values: Sequence[tuple[str, float]], unit: str) -> str:
    """A bar a value, on a logarithmic scale where the greatest is more than a hundred times the least."""
    if not values:
        return "<p class=dim>nothing to draw</p>"
    positive = [v for _, v in values if v > 0]
    log = bool(positive) and max(positive) > 100 * min(positive)
    axis = _Axis(min(positive) / 2 if log else 0.0, max(positive, default=1.0), log)
    height = len(values) * (BAR + BAR_GAP)
    figures = [f"{number(v)} {unit}" for _, v in values]
    room = WIDTH - LABEL - 14 - 6.5 * max(map(len, figures))
    parts = []
    for n, (name, v) in enumerate(values):
        y = n * (BAR + BAR_GAP)
        width = axis.place(v) * room if v > 0 else 0
        parts.append(
            f'<text class=tick x="{LABEL - 8}" y="{y + 13}" text-anchor=end>{escape(shorten(name))}<title>{escape(name)}</title></text>'
        )
        parts.append(f'<rect class=bar x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
        parts.append(f'<text class=tick x="{LABEL + width + 6:.1f}" y="{y + 13}">{escape(figures[n])}</text>')
    scale = " (logarithmic)" if log else ""
    label = f"{escape(unit)}{scale}"
    return f'<figure><svg class=chart viewBox="0 0 {WIDTH} {height}" role=img aria-label="{label}">{"".join(parts)}</svg></figure>'


def shares(histograms: dict[str, Points]) -> dict[str, list[tuple[float, float]]]:
    """From counts by value to percentages of what is greater or equal, all from the least value on: lines for logarithmic axes."""
    least = min(value for points in histograms.values() for value, _ in points)
    found = {}
    for name, points in histograms.items():
        total, above, course = sum(n for _, n in points), 0, []
        for value, n in sorted(points, reverse=True):
            above += n
            course.append((value, 100.0 * above / total))
        found[name] = [(least, 100.0), *reversed(course)]
    return found


def shorten(text: str, most: int = 46) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(v: float) -> str:
    """3 significant digits, with k, M, G."""
    for bound, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(v) >= bound:
            return f"{v / (1e3 if letter == 'k' else bound):.3g}{letter}"
    return f"{v:.3g}" if v < 1000 else f"{v:.0f}"


def duration(ns: float) -> str:
    """Nanoseconds in the unit that is read best: 100 ns, 1 µs, 10 ms."""
    for bound, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "\N{MICRO SIGN}s")):
        if ns >= bound:
            return f"{number(ns / bound)} {unit}"
    return f"{number(ns)} ns"


class _Axis:
    """From a round number to a round number; `place` is where a value lies, 0 to 1."""

    def __init__(self, low: float, high: float, log: bool):
        self.log = log
        if log:
            self.low, self.high = math.floor(math.log10(low)), max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1)
            self.ticks = [10.0**e for e in range(self.low, self.high + 1)]
            return
        step = _round_step((high - low) or 1.0)
        self.low, self.high = math.floor(low / step) * step, max(math.ceil(high / step) * step, low + step)
        self.ticks = [self.low + n * step for n in range(round((self.high - self.low) / step) + 1)]

    def place(self, v: float) -> float:
        at = math.log10(v) if self.log else v
        return min(1.0, max(0.0, (at - self.low) / (self.high - self.low)))


def _round_step(span: float) -> float:
    rough = span / 5
    base = 10.0 ** math.floor(math.log10(rough))
    return next(base * m for m in (1, 2, 5, 10) if base * m >= rough)
