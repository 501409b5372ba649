"""timeline: a counterexample run again and kept: every access in words, and memory as it was at each of them.

What text, page, terminal viewer and trace have in common; none of them knows how a schedule is run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gnomon.check.context import BLOCKED
from gnomon.check.form import LOCKED, Place
from gnomon.check.machine import Machine, compile_scenario
from gnomon.check.names import Names
from gnomon.check.result import Result
from gnomon.check.scenario import Call, Scenario
from gnomon.check.trace import Event, Replay
from gnomon.lang import Arena


@dataclass(frozen=True)
class Moment:
    """One access. `number` is its place among all of them, `looping` that it belongs to the part repeated for ever."""

    number: int
    event: Event
    text: str
    worth: bool  # a line of its own; the others are private to their thread
    looping: bool


class Timeline:
    """The moments of a violated result; of what is repeated for ever, one turn. `straight` moments come before it, `cycle` actions
    bring back the very state that the search met."""

    def __init__(self, scenario: Scenario, result: Result):
        """Raises ValueError when the schedule does not fit the program."""
        self.scenario, self.result = scenario, result
        self.machine = replay_machine(scenario, result)
        replay = Replay(self.machine)
        replay.run(result.schedule)
        self.straight = len(replay.events)
        self.cycle = len(result.loop)
        events = replay.run_turn(result.loop)
        self.closed = replay.closed
        self.written: dict[int, tuple[list[int], list[int]]] = {}
        for n, event in enumerate(events):
            if event.known:
                times, values = self.written.setdefault(event.address, ([], []))
                times.append(n)
                values.append(event.after)
        self.names = Names(scenario, self.memory(-1))
        self.moments = [
            Moment(n, e, describe(e, self.names.at(self.memory(n))), worth_a_line(e, scenario), n >= self.straight)
            for n, e in enumerate(events)
        ]

    def memory(self, number: int) -> Callable[[int], int]:
        """Memory as it was after moment `number`; before the first for -1."""
        initial, size = self.machine.initial, len(self.machine.initial)

        def word(at: int) -> int:
            if at in self.written:
                times, values = self.written[at]
                n = bisect_right(times, number)
                if n:
                    return values[n - 1]
            return int(initial[at]) if 0 <= at < size else 0

        return word

    def changes(self, number: int) -> bool:
        """Whether moment `number` left memory other than it was."""
        event = self.moments[number].event
        return event.known and self.memory(number - 1)(event.address) != event.after

    def names_at(self, number: int) -> Names:
        """Names as of moment `number`."""
        return self.names.at(self.memory(number))

    def lines(self, every: bool = False) -> list[Moment]:
        """The moments worth showing; `every`: the private ones too."""
        return [m for m in self.moments if every or m.worth]

    def end(self) -> int:
        """Number of the last moment."""
        return len(self.moments) - 1

    def confirm(self) -> None:
        """Raises ValueError unless the schedule does end in the violation that the result names."""
        property = self.result.property
        claims = {p.name: p.call for p in self.scenario.always_properties + self.scenario.end_properties}
        if property == "progress":
            shown = self.closed
        elif property == "deadlock":
            waiting = [t for t in range(self.machine.threads) if self.machine.pc(t)]
            self.machine["time"] = 0  # nobody counts on it
            self.machine["peek"] = 0  # the last action may have ended in a look at what comes next
            shown = bool(waiting) and all(self.machine.step(t) == BLOCKED and not self.machine.buffered(t) for t in waiting)
        elif property in claims:
            shown = self._holds(claims[property]) == 0
        else:
            shown = bool(self.moments) and self.moments[-1].event.broken.startswith(property)
        if not shown:
            raise ValueError(f"the schedule of {self.result.scenario} does not end in what it says it violates: {property}")

    def _holds(self, claim: Call) -> int:
        """What a property says of memory as it is at the end."""
        arena = Arena(len(self.scenario.arena))
        arena.words[:] = self.machine.initial
        for at, (_, values) in self.written.items():
            arena.words[at] = values[-1]
        return int(self.scenario.source.interpreted(claim.kernel)(arena, *claim.args))

    def head(self) -> str:
        """What was found, in one line."""
        r = self.result
        return f"{r.scenario or self.scenario.name}  model={r.model}  violated: {r.property}, {len(r.schedule)} steps"

    def waiting_at(self, thread: int) -> Place | None:
        """Where a thread stands at the end, None when it has finished."""
        pc, points = self.machine.pc(thread), self.machine.compiled.layout.points
        return points[pc].op.place if pc and pc < len(points) else None

    def ending(self) -> list[str]:
        """What is wrong at the end, in sentences: what waits in store buffers, what was lost, who never comes to an end."""
        names, threads, lines = self.names_at(self.end()), self.scenario.threads, []
        for t, thread in enumerate(threads):
            if self.machine.buffered(t):
                lines.append(f"still in the store buffer of {thread.name}: {self.buffer_text(self.machine.buffered(t))}")
        if self.result.property in ("deadlock", "progress"):
            for t, thread in enumerate(threads):
                place = self.waiting_at(t)
                if place and self.machine.asleep(t):
                    lines.append(f"{thread.name} sleeps on {names.word(self.machine.asleep(t))} at {source(place)}: nobody wakes it")
                elif place:
                    lines.append(f"{thread.name} is at {source(place)}" + (", for ever" if self.loops(t) or not self.result.loop else ""))
        lines += [text for _, text in self.lost()]
        word = names.map.memory
        touched = [r for r in self.scenario.regions if r.words == 1 and r.first in self.written]
        values = [f"{r.label} = {names.value(r.first, word(r.first))}" for r in touched]
        if values:
            lines.append("in the end: " + ", ".join(dict.fromkeys(values)))
        return lines

    def loops(self, thread: int) -> bool:
        """Whether a thread takes steps in the part repeated for ever."""
        return any(m.event.thread == thread for m in self.moments[self.straight :])

    def lost(self) -> list[tuple[int, str]]:
        """Pages whose copy at the destination is not what the source holds at the end, when the scenario has both."""
        names, word = self.names_at(self.end()), self.memory(self.end())
        copies = next((r for r in self.scenario.regions if r.label == "destination"), None)
        if copies is None or not names.vm or self.result.property != "nothing lost":
            return []
        found = []
        for index in range(copies.words):
            page = names.page(index)
            here, there = word(page) if page else 0, word(copies.first + index)
            dirty = names.is_dirty(index)
            if here != there and not dirty:
                found.append((index, f"page {index} holds {here}, its copy at the destination {there}: LOST"))
        return found

    def buffer_text(self, pairs) -> str:
        """Stores that wait in a buffer, oldest first."""
        return ", ".join(f"{self.names.word(a)}{part_text(part)} = {v if part else self.names.value(a, v)}" for a, v, part in pairs)


def describe(event: Event, names: Names) -> str:
    """One access in words."""
    where, value = names.word(event.address), names.value(event.address, event.value)
    if event.kind == "read":
        text = f"{where} -> {value}"
    elif event.kind == "write":
        waits = (event.address, event.value, 0) in event.buffers[event.thread]
        text = f"{where} = {value}" + (" (buffered)" if waits else "")
    elif event.kind == "read_part":
        text = f"{where}{part_text(event.bytes)} -> {event.value}"
    elif event.kind == "write_part":
        waits = (event.address, event.value, event.bytes) in event.buffers[event.thread]
        text = f"{where}{part_text(event.bytes)} = {event.value}" + (" (buffered)" if waits else "")
    elif event.kind == "drain":
        text = f"{where} = {value} reaches memory"
    elif event.kind == "cmpxchg" and event.value == event.after:
        text = f"cmpxchg {where}: stays {value}"
    elif event.kind == "note":
        text = f"notes {where} = {names.value(event.address, event.after)}"
    elif event.kind in LOCKED:
        text = f"{event.kind} {where}: {names.change(event.address, event.value, event.after)}"
    elif event.kind == "choose":
        text = f"chooses {event.value}"
    elif event.kind in ("mb", "membarrier", "start"):
        text = event.kind
    else:
        text = f"{event.kind}: {where} = {names.value(event.address, event.after)}"
    return f"{text}  !! {event.broken}" if event.broken else text


def part_text(part: int) -> str:
    """` byte 3` or ` bytes 4-7` of a set of bytes, nothing for the whole word."""
    if not part:
        return ""
    low, high = (part & -part).bit_length() - 1, part.bit_length() - 1
    return f" byte {low}" if low == high else f" bytes {low}-{high}"


def source(place: Place) -> str:
    """`mmu/rmap.py:45 spte_protect`, empty for what has no line."""
    file, line, function = place
    return f"{Path(file).parent.name}/{Path(file).name}:{line} {function}" if file else ""


def replay_machine(scenario: Scenario, result: Result) -> Machine:
    """A machine in which the result's schedule means what it meant in the search."""
    visible = set(result.visible) if result.reduced else None
    return Machine(scenario, compile_scenario(scenario), result.model, result.bounds.get("buffer", 0), 4096, visible)


def worth_a_line(event: Event, scenario: Scenario) -> bool:
    """What others can see, what breaks, and changes of words that the scenario named one by one; not what goes on in private."""
    if event.visible or event.broken:
        return True
    if event.kind in ("read", "read_part", "mb", "membarrier"):
        return False
    return any(r.layout is None and not r.quiet and 0 <= event.address - r.first < r.words for r in scenario.regions)
