"""trace: run a schedule again and write down every access it makes."""

from __future__ import annotations

import linecache
from dataclasses import dataclass

from gnomon.check.context import AT, BLOCKED, FINISHED, INVISIBLE, VIOLATED, VIOLATIONS, VISIBLE
from gnomon.check.form import FUTEX, LOCKED, PART, Place
from gnomon.check.machine import Machine, part_of
from gnomon.check.space import MERGE_LIMIT


@dataclass(frozen=True)
class Event:
    """One access: `value` is what was read or stored; a locked operation leaves `after` in memory."""

    step: int  # number of the scheduled action, from 1
    thread: int
    kind: str  # read, write, drain, choose, mb, membarrier, a locked operation, or what a futex operation came to
    address: int
    value: int
    after: int
    visible: bool
    place: Place
    buffers: tuple[tuple[tuple[int, int, int], ...], ...]  # of all threads, after the event
    known: bool  # whether `address` is a word of the arena
    broken: str = ""  # what this access violates, when it ends the run
    bytes: int = 0  # of the word, a bit each, when it is an access to a part of it


class Replay:
    """Runs a schedule on a machine that was made as for the search, collecting events."""

    def __init__(self, machine: Machine):
        self.machine, self.events = machine, []
        self.closed = False  # whether a loop came back to where it began
        machine.start()

    def run(self, schedule: list[int]) -> list[Event]:
        """Raises ValueError when the schedule does not fit the program."""
        for number, action in enumerate(schedule, 1):
            self.act(number, action)
        return self.events

    def run_turn(self, loop: list[int]) -> list[Event]:
        """Run the part of a loop after which it stands where it began, every actor of it having acted: where a state is told from
        another by a counter in a register, the search's own cycle may be many such turns."""
        actors, acted, began = {action & 31 for action in loop}, set(), self._standing()
        for number, action in enumerate(loop, 1):
            self.act(number, action)
            acted.add(action & 31)
            if acted == actors and self._standing() == began:
                self.closed = True
                break
        return self.events

    def _standing(self) -> tuple:
        """Where every thread is, what waits in store buffers, and what memory has changed."""
        machine = self.machine
        buffers = [machine.buffered(t) for t in range(machine.threads)]
        slots = machine["slots"]
        memory = dict(zip(machine.address_of[:slots].tolist(), machine.memory[:slots].tolist(), strict=True))
        changed = {at: value for at, value in memory.items() if value != machine.initial[at]}
        places = [(machine.pc(t), machine.asleep(t)) for t in range(machine.threads)]
        return places, buffers, changed

    def act(self, number: int, action: int) -> None:
        machine, thread = self.machine, (action & 31) >> 1
        if thread >= machine.threads:
            raise ValueError(f"step {number} of the schedule moves thread {thread}, the scenario has {machine.threads}")
        machine.context[AT["choice"]] = action >> 5
        if action & 1:
            if machine.drain(thread):
                raise ValueError(f"step {number} of the schedule drains an empty store buffer of thread {thread}")
            self._note(number, thread, "drain", ("", 0, ""), True)
            return
        merged, seen = 0, False
        while machine.pc(thread) and merged < MERGE_LIMIT:
            machine["peek"] = int(seen)
            pc, before, slept = machine.pc(thread), self._memory(), [machine.asleep(t) for t in range(machine.threads)]
            status = machine.step(thread)
            if status in (BLOCKED, FINISHED) and not merged and not seen:
                raise ValueError(f"step {number} of the schedule moves thread {thread}, which has to wait there")
            if status not in (VISIBLE, INVISIBLE, VIOLATED):
                break
            self._step_event(number, thread, pc, status, before, slept)
            if status == VIOLATED:
                break
            seen |= status == VISIBLE
            merged += status == INVISIBLE

    def _memory(self):
        """The word at an index as it is now, also once it has changed."""
        machine = self.machine
        was = machine.memory[: machine["slots"]].copy()

        def word(at: int) -> int:
            slot = int(machine.map[at])
            return int(was[slot]) if 0 <= slot < len(was) else int(machine.initial[at])

        return word

    def _step_event(self, number: int, thread: int, pc: int, status: int, before, slept: list[int]) -> None:
        points = self.machine.compiled.layout.points
        if pc < len(points):
            op = points[pc].op
            if op.kind == "choose" and self.machine["choice"] >= max(1, self.machine["fanout"]):
                raise ValueError(f"step {number} of the schedule makes choice {self.machine['choice']} of {self.machine['fanout']}")
            kind = self._sleeping(op.kind, thread, status, slept) if op.kind in FUTEX else op.kind
            self._note(number, thread, kind, op.place, status != INVISIBLE, status == VIOLATED, before)
        elif status == VIOLATED:
            self._note(number, thread, "start", ("", 0, ""), True, True)

    def _sleeping(self, kind: str, thread: int, status: int, slept: list[int]) -> str:
        """What a futex operation turned out to be; `slept` are the words that threads slept on before."""
        if kind == "futex_wake":
            return f"wakes {sum(bool(was) and not self.machine.asleep(t) for t, was in enumerate(slept)) or 'nobody'}"
        if self.machine.asleep(thread):
            return "sleeps"
        return "time is up" if slept[thread] else "is woken" if status == INVISIBLE else "stays awake"

    def _value(self, thread: int, kind: str, address: int, before) -> int:
        """What was read, or what was stored. The context's own `value` is the thread's result once it has finished."""
        machine = self.machine
        if kind in LOCKED:
            return before(address)
        if kind in ("read", "write"):
            waiting = [value for at, value, _ in machine.buffered(thread) if at == address]
            return waiting[-1] if waiting else before(address) if kind == "read" else machine.word(address)
        if kind in ("read_part", "write_part"):
            wanted = machine["bytes"]
            waiting = [(v, b) for at, v, b in machine.buffered(thread) if at == address and (not b or b & wanted)]
            if not waiting:
                return part_of(before(address) if kind == "read_part" else machine.word(address), wanted)
            value, held = waiting[-1]
            return part_of(value << 8 * ((held & -held).bit_length() - 1) if held else value, wanted)
        return machine["value"]

    def _note(self, number, thread, kind, place, visible, violated=False, before=None) -> None:
        machine = self.machine
        address = machine["address"]
        known = 0 <= address < machine["words"]
        value = self._value(thread, kind, address, before) if known and before else machine["value"]
        buffers = tuple(tuple(machine.buffered(t)) for t in range(machine.threads))
        broken = VIOLATIONS[machine["violation"]] if violated else ""
        if broken == "expectation":
            broken = f"expectation of line {machine['line']}: {linecache.getline(place[0], machine['line']).strip()}".rstrip(": ")
        after = machine.word(address) if known else 0
        part = machine["bytes"] if kind in PART else 0
        self.events.append(Event(number, thread, kind, address, value, after, visible, place, buffers, known, broken, part))
