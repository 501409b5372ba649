"""trace: run a schedule again and write down every access it makes."""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.check.context import AT, BLOCKED, FINISHED, INVISIBLE, VIOLATED, VIOLATIONS, VISIBLE
from gnomon.check.form import Place
from gnomon.check.machine import Machine
from gnomon.check.search import MERGE_LIMIT


@dataclass(frozen=True)
class Event:
    """One access: `value` is what was read or stored; a locked operation leaves `after` in memory."""

    step: int  # number of the scheduled action, from 1
    thread: int
    kind: str  # read, write, drain, choose, mb, membarrier, or a locked operation
    address: int
    value: int
    after: int
    visible: bool
    place: Place
    buffers: tuple[tuple[tuple[int, int], ...], ...]  # of all threads, after the event
    broken: str = ""  # "expectation" …, when this access ends the run


class Replay:
    """Runs a schedule on a machine that was made as for the search, collecting events."""

    def __init__(self, machine: Machine):
        self.machine, self.events = machine, []
        machine.start()

    def run(self, schedule: list[int]) -> list[Event]:
        """Raises ValueError when the schedule does not fit the program."""
        for number, action in enumerate(schedule, 1):
            self.act(number, action)
        return self.events

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
            pc = machine.pc(thread)
            status = machine.step(thread)
            if status in (BLOCKED, FINISHED) and not merged and not seen:
                raise ValueError(f"step {number} of the schedule moves thread {thread}, which has to wait there")
            if status not in (VISIBLE, INVISIBLE, VIOLATED):
                break
            self._step_event(number, thread, pc, status)
            if status == VIOLATED:
                break
            seen |= status == VISIBLE
            merged += status == INVISIBLE

    def _step_event(self, number: int, thread: int, pc: int, status: int) -> None:
        points = self.machine.compiled.layout.points
        if pc < len(points):
            op = points[pc].op
            self._note(number, thread, op.kind, op.place, status != INVISIBLE, status == VIOLATED)
        elif status == VIOLATED:
            self._note(number, thread, "start", ("", 0, ""), True, True)

    def _note(self, number, thread, kind, place, visible, violated=False) -> None:
        machine = self.machine
        address = machine["address"]
        known = 0 <= address < machine["words"]
        buffers = tuple(tuple(machine.buffered(t)) for t in range(machine.threads))
        broken = VIOLATIONS[machine["violation"]] if violated else ""
        if broken == "expectation":
            broken = f"expectation of line {machine['line']}"
        after = machine.word(address) if known else 0
        self.events.append(Event(number, thread, kind, address, machine["value"], after, visible, place, buffers, broken))
