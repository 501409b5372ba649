"""machine_trace: what a running machine does over time, as a trace for Perfetto.

Taken by looking, not by telling: a thread reads the words that the kernels keep anyway, every PERIOD seconds. The kernels know nothing
of it, so a machine without a trace pays nothing; with one it pays for that thread. What begins and ends between two looks is counted.

    harts           a slice while a hart retires instructions, waits, or is paused; counters: MIPS, faults and exits a second
    protector       a slice for each look in which harvests ended: how many, pages taken, sptes protected
    RCU             a span a grace period that lasted over a look
    slab, frames    counters: pages and objects of each cache, pages that wait for a grace period, free frames
    migration       a slice a round, as the source reports it
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path

from gnomon import __version__
from gnomon.errors import GnomonError
from gnomon.hart.state import HART
from gnomon.lang.fixed import CACHE_WORDS, CACHES_AT, FRAMES_AT, RCU_AT
from gnomon.mem.pool import POOL
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE
from gnomon.mem.slab_page import CACHE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.report.perfetto import Trace
from gnomon.sync.state import RCU

PERIOD = 0.002
COUNTED_EVERY = 0.05
"""Seconds between two values of a counter."""
MOST_EVENTS = 400_000
"""About an hour; then the trace ends and says so."""
CACHES = {"shadow pages": CACHE_SP, "rmap descriptors": CACHE_DESC, "page tables": CACHE_TABLE}
RATES = {"fast faults/s": VCPU.fast_faults, "slow faults/s": VCPU.slow_faults, "walks/s": VCPU.walks}
HARVEST = {
    "harvests": VM.harvests,
    "pages": VM.harvested,
    "protected": VM.protected,
    "rmap walks": VM.rmap_walks,
    "restarts": VM.rmap_restarts,
}


class MachineTrace:
    """Looks at one machine, from start() until stop()."""

    def __init__(self, name: str):
        self.trace = Trace(gnomon=__version__, machine=name)
        self._began = time.perf_counter()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._doing: dict[int, tuple[str, float]] = {}
        self._periods: dict[int, float] = {}
        self._words: dict[str, int] = {}
        self.full = False

    def now(self) -> float:
        """Microseconds since the trace began."""
        return (time.perf_counter() - self._began) * 1e6

    def start(self, machine) -> None:
        """Begin to look at `machine`; its memory must stay until stop()."""
        self._machine = machine
        self._seen = {n: int(machine.arena.words[v + HART.instret]) for n, v in enumerate(machine.vcpus)}
        self._harvested = self._of_vm(HARVEST)
        self._looked = self.now()
        self._counted = (self._looked, self._of_harts())
        self._thread = threading.Thread(target=self._look_on, name="trace", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look for the last time, and end what is still going on."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            with self._lock:
                at = self.now()
                self._harts(at, ending=True)
                if not self.full:  # what came after the thread's last look, which a busy host may have kept from looking
                    self._protector(at)
                    self._grace_periods(at)
                    if at - self._counted[0] >= PERIOD * 1e6:
                        self._counters(at)
                for number, since in self._periods.items():
                    self.trace.span("RCU", "grace periods", f"grace period {number}", since, self.now(), ended=False)

    def round(self, record) -> None:
        """A migration reports a round (migrate.rounds.Round)."""
        if record.done:
            end = self.now()
            with self._lock:
                add_round(self.trace, record, max(0.0, end - record.seconds * 1e6))

    def _look_on(self) -> None:
        while not self._over.wait(PERIOD):
            with self._lock:
                at = self.now()
                if len(self.trace) > MOST_EVENTS:
                    self.full = True
                    self.trace.instant(self.trace.track("machine", "life"), f"the trace ends here: {MOST_EVENTS:,} events", at)
                    return
                self._harts(at)
                self._protector(at)
                self._looked = at
                self._grace_periods(at)
                if at - self._counted[0] >= COUNTED_EVERY * 1e6:
                    self._counters(at)

    def _of_vm(self, fields: dict[str, int]) -> dict[str, int]:
        return {name: int(self._machine.arena.words[self._machine.vm + at]) for name, at in fields.items()}

    def _of_harts(self) -> list[dict[str, int]]:
        words = self._machine.arena.words
        fields = {"instructions": HART.instret, "exits": VCPU.mode, **RATES}
        return [{name: int(words[v + at]) for name, at in fields.items()} for v in self._machine.vcpus]

    def _harts(self, at: float, ending: bool = False) -> None:
        words, paused = self._machine.arena.words, self._machine.paused
        for n, v in enumerate(self._machine.vcpus):
            retired = int(words[v + HART.instret])
            doing = "paused" if paused else "running" if retired != self._seen[n] else "waiting"
            self._seen[n] = retired
            was, since = self._doing.setdefault(n, (doing, at))
            if was != doing or ending:
                self.trace.slice(self.trace.track("harts", f"hart {n}"), was, since, at - since)
                self._doing[n] = (doing, at)

    def _protector(self, at: float) -> None:
        done = self._of_vm(HARVEST)
        if done["harvests"] != self._harvested["harvests"]:
            more = {name: value - self._harvested[name] for name, value in done.items()}
            self.trace.span("protector", "harvests", f"{more['pages']} pages harvested", self._looked, at, **more)
            self._harvested = done

    def _grace_periods(self, at: float) -> None:
        words = self._machine.arena.words
        begun, completed = int(words[RCU_AT + RCU.counter]), int(words[RCU_AT + RCU.completed])
        if begun > completed:
            self._periods.setdefault(begun, at)
        for number in [n for n in self._periods if n <= completed]:
            self.trace.span("RCU", "grace periods", f"grace period {number}", self._periods.pop(number), at)

    def _counters(self, at: float) -> None:
        before, was = self._counted
        now, seconds = self._of_harts(), (at - before) / 1e6
        for n, (old, new) in enumerate(zip(was, now, strict=True)):
            group = f"hart {n}"
            self.trace.counter(group, f"{group} MIPS", at, (new["instructions"] - old["instructions"]) / seconds / 1e6)
            self.trace.counter(group, f"{group} exits/s", at, (new["exits"] - old["exits"]) / 2 / seconds)
            for name in RATES:
                self.trace.counter(group, f"{group} {name}", at, (new[name] - old[name]) / seconds)
        self._counted = (at, now)
        words = self._machine.arena.words
        levels = {("frames", "free frames"): int(words[FRAMES_AT + POOL.free])}
        for name, cache in CACHES.items():
            for word, field in (("pages", CACHE.pages), ("objects out", CACHE.out), ("pages waiting for RCU", CACHE.waiting)):
                levels["slab", f"{name}: {word}"] = int(words[CACHES_AT + cache * CACHE_WORDS + field])
        for (group, name), level in levels.items():
            if self._words.get(name) != level:
                self._words[name] = level
                self.trace.counter(group, name, at, level)


@contextmanager
def machine_trace(path: Path, name: str):
    """A MachineTrace that is written to `path` at the end, however that comes. Raises GnomonError at once where it cannot be written."""
    tracer = MachineTrace(name)
    _write(tracer.trace, path)
    try:
        yield tracer
    finally:
        tracer.stop()
        _write(tracer.trace, path)


def _write(trace: Trace, path: Path) -> None:
    try:
        trace.write(path)
    except OSError as error:
        raise GnomonError(f"the trace {path} cannot be written: {error.strerror}") from None


def rounds_trace(report: dict) -> Trace:
    """The trace of a migration's report, as `gnomon migrate --json` prints it: its rounds one after another, then the downtime."""
    trace, at = Trace(gnomon=__version__, migration=str(report["name"]), to=str(report["peer"])), 0.0
    for record in report["rounds"]:
        add_round(trace, _Round(record), at)
        at += record["seconds"] * 1e6
    trace.slice(
        trace.track("migration", "downtime"), "the guest stands still", max(0.0, at - report["downtime"] * 1e6), report["downtime"] * 1e6
    )
    return trace


def add_round(trace: Trace, record, start: float) -> None:
    """One round as a slice; on the counter track, what the guest dirtied meanwhile."""
    details = {name: getattr(record, name) for name in ("pages", "zero", "bytes", "dirty_rate", "throttle", "paused")}
    kind = "last round" if record.paused else "round"
    trace.span("migration", "rounds", f"{kind} {record.number}", start, start + record.seconds * 1e6, **details)


class _Round:
    """A round as it comes over the control socket."""

    def __init__(self, fields: dict):
        self.__dict__.update(fields)
