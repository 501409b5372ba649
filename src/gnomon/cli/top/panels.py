"""panels: what each part of the screen says, as text of a given size. Figures in, text out; nothing here knows of a terminal.

Every state has a glyph of its own beside its colour, so nothing is lost where NO_COLOR is set.
"""

from __future__ import annotations

import math

from rich.text import Text

from gnomon.cli import migrate, units
from gnomon.cli.top.rates import History

EIGHTHS = " ▁▂▃▄▅▆▇█"
BAR = " ▏▎▍▌▋▊▉█"
LABEL = 17
"""Columns of a gauge's name."""
GLYPHS = {
    "d": ("█", "bold red"),
    "w": ("▓", "yellow"),
    "p": ("▒", "green"),
    "u": ("░", "blue"),
    "x": ("X", "bold magenta"),
    ".": ("·", "bright_black"),
}
NAMES = {"d": "dirty", "w": "writable", "p": "protected", "u": "unmapped", "x": "taken back", ".": "untouched"}
HEAT = ("█", "█", "█", "▇", "▇", "▆", "▆", "▅", "▄", "▄")
"""A cell with dirty pages, from ninths 9 down to 1 at the end: the taller the more of it is dirty."""


def figure(value: float) -> str:
    """'7', '950', '1.2 k', '34 M': at most five characters and a letter."""
    for unit in ("", " k", " M", " G"):
        if abs(value) < 999.5 or unit == " G":
            digits = 0 if unit == "" or abs(value) >= 99.5 else 1
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    raise AssertionError


def bar(part: float, width: int) -> str:
    """A bar of `part` (0 … 1) of `width` cells, in eighths of a cell."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (BAR[rest] if rest else "")).ljust(width)


def sparkline(values, width: int, height: int) -> list[str]:
    """The last `width` values, right-aligned, `height` lines high, scaled to the greatest of them."""
    shown = list(values)[-width:]
    most = max(shown, default=0.0)
    steps = [math.ceil(v / most * height * 8) if most > 0 else 0 for v in shown]
    lines = []
    for line in range(height - 1, -1, -1):
        lines.append("".join(EIGHTHS[min(max(step - 8 * line, 0), 8)] for step in steps).rjust(width))
    return lines


def fit(parts: list[str], width: int) -> str:
    """As many of `parts` as have room, two spaces apart."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) > width:
            break
        line += "  " + part
    return line


def title(history: History, width: int, gone: str | None) -> Text:
    """One line: who, how, since when; and what watching costs."""
    view = history.view
    if gone:
        return Text(f" {gone} · waiting for its next run", style="bold red")
    if view is None:
        return Text(" …", style="bold")
    status = view["status"]
    text = Text(f" {status['name']} ", style="bold")
    text.append(status["state"], style={"running": "bold green", "in doubt": "bold red"}.get(status["state"], "bold yellow"))
    size = units.show_size(status["memory"])
    harts = f"{status['harts']} hart{'s' * (status['harts'] != 1)}  {size}  " if status["harts"] else ""
    text.append(f"  {harts}up {units.show_duration(float(int(status['seconds'])))}  pid {status['pid']}")
    cost = f"watching takes {view['cost'] * 100:.2f} % of a core "
    if text.cell_len + len(cost) < width:
        text.append(cost.rjust(width - text.cell_len), style="dim")
    return text


def harts(history: History, width: int) -> Text:
    """A line a hart: speed, a bar of it against the fastest seen, exits from guest mode."""
    text = Text(no_wrap=True)
    found = history.rates
    if found is None:
        return Text("waiting for a second view", style="dim")
    for n, (mips, exits) in enumerate(zip(found.mips, found.exits, strict=True)):
        exits_word = f"{figure(exits):>6} exits/s"
        room = max(1, width - 14 - len(exits_word) - 1)
        text.append(f"{n:>2} {mips:>5.0f} MIPS ", style="bold")
        text.append(bar(mips / history.most_mips, room), style="green")
        text.append(f" {exits_word}\n")
    text.rstrip()
    return text


def nobody(state: str) -> Text:
    """Why there is no machine yet."""
    return Text("kernels compile, or the guest is loaded" if state == "starting" else "waits for a guest to arrive", style="dim")


def dirty(history: History, width: int, height: int) -> Text:
    """The sparkline of the dirty rate, and under it what the MMU does meanwhile."""
    found = history.rates
    text = Text(no_wrap=True)
    for line in sparkline(history.dirtied, width, max(1, height - 2)):
        text.append(line + "\n", style="red")
    if found is None:
        return text
    if found.dirtied is None:
        text.append("the dirty log is off: l turns it on\n", style="dim")
    else:
        pages, harvests = f"{figure(found.dirtied)} pages/s", f"{found.harvests:.1f} harvests/s"
        text.append(fit([f"{found.dirtied_mb:.1f} MB/s", pages, harvests], width) + "\n", style="bold")
    faults = [f"faults/s: {figure(found.fast)} fast", f"{figure(found.slow)} slow"]
    text.append(fit([*faults, f"flushes/s: {figure(found.flushes)}"], width))
    return text


def heat(picture: dict, width: int) -> Text:
    """The map of memory, row by row."""
    text = Text(no_wrap=True)
    for n, (letter, ninths) in enumerate(zip(picture["cells"], picture["dirty"], strict=True)):
        if n and n % width == 0:
            text.append("\n")
        glyph, style = GLYPHS[letter]
        if ninths != "0":
            glyph, style = HEAT[9 - int(ninths)], "bold red" if int(ninths) > 4 else "red"
        text.append(glyph, style=style)
    return text


def heat_title(picture: dict) -> str:
    """What a cell is."""
    pages = picture["pages"] / len(picture["cells"])
    sampled = "" if picture["looked"] == picture["pages"] else f", 1 in {round(picture['pages'] / picture['looked'])} looked at"
    return f"memory · {picture['pages']} pages, {pages:.1f}".removesuffix(".0") + f" a cell{sampled}"


def legend(picture: dict) -> Text:
    """Glyph, name and pages of each state that there is."""
    text = Text()
    for letter, name in NAMES.items():
        count = picture["counts"][name]
        if count or letter in "dp":
            glyph, style = GLYPHS[letter]
            text.append(" " if text else "")
            text.append(glyph, style=style)
            text.append(f" {name} {figure(count)}")
    return text


def host(history: History, width: int) -> Text:
    """Frames, shadow pages, slabs and RCU as gauges."""
    stats = history.view["stats"]
    frames, mmu = stats["frames"], stats["mmu"]
    usable = frames["total"] - frames["static"]
    gauges = [("frames", usable - frames["free"], usable, ""), ("shadow pages", mmu["shadow pages"], mmu["shadow pages limit"], "")]
    for name, cache in stats["slabs"].items():
        waiting = f" +{figure(cache['waiting'])} pages wait" if cache["waiting"] else ""
        gauges.append((f"slab {name.split()[-1]}s", cache["live"], cache["pages"] * cache["per_page"], waiting))
    numbers = [f" {figure(part)} of {figure(whole)}{waiting}" for _, part, whole, waiting in gauges]
    room = max(1, width - LABEL - max(map(len, numbers)))
    text = Text(no_wrap=True)
    for (label, part, whole, _), number in zip(gauges, numbers, strict=True):
        low = label == "frames" and frames["free"] <= frames["low"]
        text.append(label.ljust(LABEL), style="bold")
        text.append(bar(part / whole if whole else 0.0, room), style="bold red" if low else "cyan")
        text.append(number + "\n")
    grace = history.rates.grace_periods if history.rates else 0.0
    text.append("RCU".ljust(LABEL), style="bold")
    callbacks = f"{figure(stats['rcu']['callbacks_waiting'])} wait"
    text.append(fit([f"{figure(grace)} periods/s", callbacks], width - LABEL))
    return text


ROUND_COLUMNS = ("round", "pages", "time ms", "dirtied MB/s")


WIDE = 76
"""Columns from which every figure of a round has room."""


def rounds(view: dict, width: int, height: int) -> Text:
    """The newest rounds of the migration, as many as fit, as `gnomon migrate` shows them."""
    if not view["rounds"]:
        return Text(f"none seen\n\ngnomon migrate {view['status']['name']} HOST:PORT", style="dim", no_wrap=True, overflow="ellipsis")
    shown = view["rounds"][-max(1, height - 1) :]
    header = migrate.HEADER if width >= WIDE else ROUND_COLUMNS
    columns = [migrate.HEADER.index(name) for name in header]
    rows = [[str(migrate.row(r)[n]) for n in columns] for r in shown]
    widths = [max(len(cells[n]) for cells in [header, *rows]) for n in range(len(columns))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(cells, widths, strict=True)) for cells in [header, *rows]]
    text = Text(lines[0], style="bold", no_wrap=True)
    for line, r in zip(lines[1:], shown, strict=True):
        text.append("\n" + line, style="" if r["done"] else "yellow")
    return text
