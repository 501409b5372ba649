"""render: a counterexample as the kernel's locking.rst prints races: a column a thread, a line a step, source beside."""

from __future__ import annotations

from pathlib import Path

from gnomon.check.form import LOCKED
from gnomon.check.machine import Machine, compile_scenario
from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.trace import Event, Replay

LEAST_WIDTH, MOST_WIDTH = 18, 46


class Names:
    """Names of words, from a scenario's labels: `vcpu.mode`, `spte[3]`, `node 1.next`; `word 812` for the rest."""

    def __init__(self, scenario: Scenario):
        self.regions = sorted(scenario.regions, key=lambda r: r.words)

    def word(self, address: int) -> str:
        for region in self.regions:
            over = address - region.first
            if 0 <= over < region.words:
                return region.label + self._inside(region, over)
        return f"word {address}"

    @staticmethod
    def _inside(region, over: int) -> str:
        if region.layout is None:
            return f"[{over}]" if region.words > 1 else ""
        fields = sorted(((getattr(region.layout, f), f) for f in region.layout._fields if f != "size"), reverse=True)
        start, name = next((at, f) for at, f in fields if at <= over)
        following = min([at for at, _ in fields if at > start], default=region.layout.size)
        return f".{name}[{over - start}]" if following - start > 1 else f".{name}"

    def value(self, value: int) -> str:
        for region in self.regions:
            if region.first == value and value >= 1 << 10:
                return f"&{region.label}"
        return str(value) if -4096 < value < 4096 else f"{value & (1 << 64) - 1:#x}"


def describe(event: Event, names: Names) -> str:
    """One access in words."""
    where, value, after = names.word(event.address), names.value(event.value), names.value(event.after)
    if event.kind == "read":
        text = f"{where} -> {value}"
    elif event.kind == "write":
        waits = (event.address, event.value) in event.buffers[event.thread]
        text = f"{where} = {value}" + (" (buffered)" if waits else "")
    elif event.kind == "drain":
        text = f"{where} = {value} reaches memory"
    elif event.kind == "cmpxchg":
        text = f"cmpxchg {where}: " + (f"{value} -> {after}" if event.value != event.after else f"stays {value}")
    elif event.kind in LOCKED:
        text = f"{event.kind} {where}: {value} -> {after}"
    elif event.kind == "choose":
        text = f"chooses {value}"
    else:
        text = event.kind
    return f"{text}  !! {event.broken}" if event.broken else text


def replay_machine(scenario: Scenario, result: Result) -> Machine:
    """A machine in which the result's schedule means what it meant in the search."""
    visible = set(result.visible) if result.reduced else None
    return Machine(scenario, compile_scenario(scenario), result.model, result.bounds.get("buffer", 0), 4096, visible)


def worth_a_line(event: Event, scenario: Scenario) -> bool:
    """What others can see, what breaks, and changes of words that the scenario named one by one; not what goes on in private."""
    if event.visible or event.broken:
        return True
    if event.kind in ("read", "mb", "membarrier"):
        return False
    return any(r.layout is None and not r.quiet and 0 <= event.address - r.first < r.words for r in scenario.regions)


def render(scenario: Scenario, result: Result, every: bool = False) -> str:
    """The counterexample of a violated result as text; `every` shows private accesses too."""
    names = Names(scenario)
    machine = replay_machine(scenario, result)
    replay = Replay(machine)
    events = replay.run(result.schedule)
    loop_from = len(events)
    events = replay.run(result.loop)
    lines = [(e, describe(e, names)) for e in events if every or worth_a_line(e, scenario)]
    widths = []
    for t, thread in enumerate(scenario.threads):
        longest = max((len(text) for e, text in lines if e.thread == t), default=0)
        widths.append(min(MOST_WIDTH, max(LEAST_WIDTH, longest, len(thread.name))))
    what = f"violated: {result.property}, {len(result.schedule)} steps"
    out = [f"{scenario.name}  model={result.model}  {what}", ""]
    out.append("     " + "  ".join(t.name.ljust(w) for t, w in zip(scenario.threads, widths, strict=True)).rstrip())
    out.append("     " + "  ".join("-" * w for w in widths))
    last = 0
    for event, text in lines:
        if loop_from < len(events) and event is events[loop_from]:
            out.append("     and then for ever:")
        number = f"{event.step:>3}" if event.step != last else "   "
        last = event.step
        cells = [(text if t == event.thread else "").ljust(w) for t, w in enumerate(widths)]
        file, line, function = event.place
        source = f"{Path(file).parent.name}/{Path(file).name}:{line} {function}" if file else ""
        out.append(f"{number}  {'  '.join(cells)}  {source}".rstrip())
    out += ["", *_ending(scenario, result, machine, names)]
    return "\n".join(out) + "\n"


def _ending(scenario, result: Result, machine: Machine, names: Names) -> list[str]:
    lines = []
    for t, thread in enumerate(scenario.threads):
        if machine.buffered(t):
            waiting = ", ".join(f"{names.word(a)} = {names.value(v)}" for a, v in machine.buffered(t))
            lines.append(f"     still in the store buffer of {thread.name}: {waiting}")
        if result.property in ("deadlock", "progress") and machine.pc(t):
            point = machine.compiled.layout.points[machine.pc(t)] if machine.pc(t) < len(machine.compiled.layout.points) else None
            if point:
                file, line, function = point.op.place
                lines.append(f"     {thread.name} is at {Path(file).parent.name}/{Path(file).name}:{line} {function}")
    values = [f"{r.label} = {names.value(machine.word(r.first))}" for r in scenario.regions if r.words == 1]
    if values:
        lines.append("     in the end: " + ", ".join(values))
    return [*lines, f"     VIOLATED: {result.property}"]
