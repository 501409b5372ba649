"""stepper: a counterexample on the terminal, a key a step: threads side by side, the source line, and memory by name.

    → ↓ n space   step        ← ↑ p b   back        g Home, G End   begin, end        a   private accesses too        q Esc   leave

The screen is drawn anew for each key from the timeline; nothing is kept but the place in it.
"""

from __future__ import annotations

import linecache
import os
import re
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gnomon.check.timeline import Moment, Timeline, source

STYLES = ("cyan", "yellow", "magenta", "green", "blue", "red", "bright_cyan", "bright_yellow")
KEYS = {
    "next": ("n", " ", "\r", "j", "l", "\x1b[C", "\x1b[B", "\x1bOC", "\x1bOB"),
    "back": ("p", "b", "k", "h", "\x1b[D", "\x1b[A", "\x1bOD", "\x1bOA"),
    "begin": ("g", "\x1b[H", "\x1bOH", "\x1b[1~"),
    "end": ("G", "\x1b[F", "\x1bOF", "\x1b[4~"),
    "every": ("a",),
    "quit": ("q", "\x1b", "\x04"),
}
ACTIONS = {key: action for action, keys in KEYS.items() for key in keys}
HELP = "→ n step   ← p back   g begin   G end   a private accesses   q leave"
LEAST_LINES = 12


@dataclass
class Stepper:
    """Where somebody stands in a timeline: `at` is the number of the moment last shown, -1 before the first."""

    timeline: Timeline
    every: bool = False
    at: int = -1
    lines: list[Moment] = field(init=False)

    def __post_init__(self):
        self.lines = self.timeline.lines(self.every)

    def press(self, key: str) -> bool:
        """Act on a key. False when it means to leave."""
        action = ACTIONS.get(key)
        numbers = [m.number for m in self.lines]
        if action == "next":
            self.at = next((n for n in numbers if n > self.at), self._again(numbers))
        elif action == "back":
            self.at = next((n for n in reversed(numbers) if n < self.at), -1)
        elif action == "begin":
            self.at = -1
        elif action == "end":
            self.at = numbers[-1] if numbers else -1
        elif action == "every":
            self.every = not self.every
            self.lines = self.timeline.lines(self.every)
        return action != "quit"

    def _again(self, numbers: list[int]) -> int:
        """Behind the end: what goes on for ever begins anew, everything else stays there."""
        return next((n for n in numbers if n >= self.timeline.straight), self.at)

    def frame(self, width: int, height: int):
        """What the screen shows."""
        return Group(*self._head(width), *self._body(width, max(height, LEAST_LINES) - 3), Text(HELP, style="dim", no_wrap=True))

    def _head(self, width: int):
        place = sum(m.number <= self.at for m in self.lines)
        count = f"{place}/{len(self.lines)}"
        yield Text.assemble((self.timeline.head()[: width - len(count) - 2].ljust(width - len(count) - 1), "bold"), count, no_wrap=True)
        yield Text("")

    def _body(self, width: int, height: int):
        """Race above, source and words below it side by side; a third of the height each way is kept for them."""
        below = max(6, height // 3)
        yield self._race(width, height - below - 1)
        yield Text("─" * width, style="dim", no_wrap=True)
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True)
        left, right = self._source(below), self._words(below)
        for n in range(below):
            grid.add_row(left[n] if n < len(left) else "", right[n] if n < len(right) else "")
        yield grid

    def _race(self, width: int, height: int):
        threads = self.timeline.scenario.threads
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(width=4, justify="right", no_wrap=True)
        for _ in threads:
            grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        grid.add_row("", *(Text(t.name, style=f"bold {STYLES[n]}") for n, t in enumerate(threads)))
        place = sum(m.number <= self.at for m in self.lines)
        first = max(0, min(place - (height - 2) // 2, len(self.lines) - (height - 1)))
        for moment in self.lines[first : first + height - 1]:
            now, later = moment.number == self.at, moment.number > self.at
            style = "reverse" if now else "dim" if later else ""
            cells = [Text("") for _ in threads]
            colour = "red" if moment.event.broken else STYLES[moment.event.thread]
            cells[moment.event.thread] = Text(moment.text, style=f"{style} {colour}".strip())
            grid.add_row(Text(f"{'∞' if moment.looping else ''}{moment.event.step}", style=style or "dim"), *cells)
        for _ in range(height - 1 - len(self.lines[first : first + height - 1])):
            grid.add_row("")
        return grid

    def _source(self, height: int) -> list[Text]:
        if self.at < 0:
            return [Text("before the first step", style="dim")]
        event = self.timeline.moments[self.at].event
        file, line, _ = event.place
        if not file:
            return [Text("the store buffer gives its oldest store to memory", style="dim")]
        lines = linecache.getlines(file)
        first = max(1, line - (height - 2) // 2)
        shown = [Text(source(event.place), style="bold")]
        for n in range(first, min(len(lines), first + height - 2) + 1):
            shown.append(Text(f"{n:4} {lines[n - 1].rstrip()}", style="reverse" if n == line else ""))
        return shown

    def _words(self, height: int) -> list[Text]:
        """At the end what is wrong; else store buffers, and the words touched last, newest first."""
        timeline = self.timeline
        if self.lines and self.at == self.lines[-1].number:
            return [Text(line, style="red") for line in [*timeline.ending(), f"VIOLATED: {timeline.result.property}"]][:height]
        shown: list[Text] = []
        names = timeline.names_at(self.at)
        if self.at >= 0:
            for t, buffer in enumerate(timeline.moments[self.at].event.buffers):
                if buffer:
                    shown.append(Text(f"buffer of {timeline.scenario.threads[t].name}: {timeline.buffer_text(buffer)}", style=STYLES[t]))
        last = {m.event.address: m for m in timeline.moments[: self.at + 1] if m.event.known}
        for address, moment in sorted(last.items(), key=lambda pair: -pair[1].number):
            text = f"{names.word(address)} = {names.value(address, names.map.memory(address))}"
            shown.append(Text(text, style="bold" if moment.number == self.at else ""))
        return shown[:height]


def step_through(timeline: Timeline, every: bool = False) -> None:
    """Show a timeline on this terminal until somebody leaves. Redraws when the terminal is resized."""
    console, stepper = Console(), Stepper(timeline, every)
    with _raw_keys() as keys, console.screen(hide_cursor=True) as screen:
        going = True
        while going:
            width, height = console.size
            screen.update(stepper.frame(width, height - 1))
            going = all([stepper.press(key) for key in split_keys(keys())])


def split_keys(typed: str) -> list[str]:
    """The keys in what a terminal sent at once: an escape sequence is one."""
    return re.findall(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", typed, re.DOTALL)


@contextmanager
def _raw_keys():
    """A function that waits for keys and returns what was typed, "" when the terminal was resized instead."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    woken, wake = os.pipe()
    handler = signal.signal(signal.SIGWINCH, lambda *_: os.write(wake, b"."))

    def key() -> str:
        ready, _, _ = select.select([terminal, woken], [], [])
        if woken in ready:
            os.read(woken, 64)
            return ""
        typed = os.read(terminal, 32)
        return typed.decode(errors="replace") if typed else "q"  # the terminal is gone

    try:
        tty.setcbreak(terminal)
        yield key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
        os.close(woken)
        os.close(wake)
