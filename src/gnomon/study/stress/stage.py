"""stage: a machine under stress: its vCPUs on threads that hand them to each other, whoever churns, and a migrator if one is asked for."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable
from contextlib import contextmanager

import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_WORDS
from gnomon.lang.kernel import compile_kernel
from gnomon.study.crew import Crew
from gnomon.study.guest_tables import A, D, R, Tables, V, W
from gnomon.study.rig import SUPERVISOR, Rig
from gnomon.study.stress.churn import KINDS, STEADY, churn, copy_snapshot, harvest_and_copy, migrate_loop
from gnomon.study.stress.edit import FENCE_EITHER, SWING_WINDOW, TABLE_WINDOW
from gnomon.study.stress.guest import STRIDE, WINDOW, guest_writes
from gnomon.study.stress.words import CTL, MAX_STREAMS, STREAM_WORDS, SWINGS
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.host import Host

KERNELS = (guest_writes, churn, migrate_loop, harvest_and_copy, copy_snapshot)
REGION = 512
"""Pages of 2 MiB."""
BATCHES = 4000
"""Batches of stores after which a vCPU goes on in another thread: some milliseconds."""
PATIENCE = 30.0


class Stalled(GnomonError):
    """A vCPU does not come out of guest mode, or a thread does not end: something waits for ever."""


class Stress:
    """A rig with running vCPU threads.

    aliases    > 0: S-mode on Sv39 tables of its own, each page mapped that often; 0: bare
    mega       the guest maps the first REGION of its pages by one PTE
    edits      the guest edits its tables: points entries at other pages, and fences as `fences` says (edit.py)
    churns     names of KINDS, every `nap_ns`; none: nobody churns. With "split" the host moves nothing of the first region
    alike      the guest stores few different things, so that pages hold the same now and then: for churn "share"
    ring       entries of each vCPU's dirty ring, 0: none
    migrating  a thread harvests and copies in a tight loop
    design     as of Machine
    host       share this Host with other machines"""

    def __init__(
        self,
        *,
        pages: int = 96,
        harts: int = 2,
        aliases: int = 0,
        mega: bool = False,
        edits: bool = False,
        alike: bool = False,
        fences: int = FENCE_EITHER,
        n_max: int = 256,
        design: str = "",
        churns: Iterable[str] = STEADY,
        migrating: bool = False,
        nap_ns: int = 300_000,
        seed: int = 1,
        ring: int = 0,
        host: Host | None = None,
    ):
        for k in KERNELS:
            compile_kernel(k)
        self.rig = Rig(pages + 64 + aliases, harts, n_max=n_max, design=design, host=host)
        self.m, self.words, self.stress_pages, self.harts = self.rig.m, self.rig.words, pages, harts
        if ring:
            self.rig.rings(ring)
        self.ctl = self.rig.static(CTL.size + MAX_STREAMS * STREAM_WORDS)
        self.copy_at = self.rig.static(self.rig.pages * PAGE_WORDS)
        churns = tuple(churns)
        self.set(va=RAM_BASE, aliases=max(1, aliases), pages=pages, seed=seed, nap_ns=nap_ns, iteration=2)
        self.splits = "split" in churns
        self.set(churns=sum(KINDS[name] for name in churns), fences=fences, counted=2 if alike else -1)
        self.set(movable=REGION if self.splits else 0, relog=int(self.splits and migrating))
        if aliases:
            self._map(aliases, mega, edits)
        for index in range(pages):
            self.rig.back(index)
        for number in range(harts):
            self.words[self.ctl + CTL.size + number * STREAM_WORDS] = seed + number * 977
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.jobs = [self._work for _ in range(harts + 1)]  # one more than vCPUs: who comes out of a kernel finds another vCPU next
        self.parking = harts
        if churns:
            thread = self.rig.host.thread()
            self.jobs.append(lambda: churn(self.m, self.rig.vm, thread, self.ctl))
            self.parking += 1
        if migrating:
            slot = self.rig.host.thread()
            self.jobs.append(lambda: migrate_loop(self.m, slot, self.rig.vm, self.ctl, self.copy_at))
            self.parking += 1

    def _map(self, aliases: int, mega: bool, edits: bool) -> None:
        tables = Tables(self.rig, self.stress_pages)
        for alias in range(aliases):
            at = WINDOW + alias * STRIDE
            if mega:
                tables.map(at, 0, level=2)
            for page in range(REGION if mega else 0, self.stress_pages):
                tables.map(at + page * 4096, page)
        if edits:
            for slot in range(self.harts * SWINGS):
                tables.map(SWING_WINDOW + slot * 4096, 0)
            table = tables.table(SWING_WINDOW, 1)
            self.set(swings=TABLE_WINDOW + (table - self.stress_pages) * 4096)
        tables.table(TABLE_WINDOW, 1)
        for n, index in enumerate(range(self.stress_pages, tables.next)):
            tables.map(TABLE_WINDOW + n * 4096, index, V | R | W | A | D)
        self.set(va=WINDOW, tables=tables.next - self.stress_pages)
        for v in self.rig.vcpus:
            self.rig.context(SUPERVISOR, tables.satp, v=v)

    def _work(self) -> None:
        """A thread: run whichever vCPU is free for a while, then another."""
        while not self.get("stop"):
            try:
                number = self._free.get(timeout=0.05)
            except queue.Empty:
                continue
            guest_writes(self.m, self.rig.vcpus[number], self.ctl, number, BATCHES)
            self._free.put(number)

    def set(self, **fields: int) -> None:
        for name, value in fields.items():
            self.words[self.ctl + getattr(CTL, name)] = value

    def get(self, name: str) -> int:
        return int(self.words[self.ctl + getattr(CTL, name)])

    @contextmanager
    def running(self):
        """Threads run inside the with; none is left after it. Raises Stalled if one does not end."""
        self.set(stop=0, pause=0)
        self._free = queue.SimpleQueue()
        for number in range(self.harts):
            self._free.put(number)
        with Crew(self.jobs, lambda: self.set(stop=1, pause=0)):
            yield self

    def pause(self) -> None:
        """Every vCPU (and migrator) out of guest mode between two stores. Raises Stalled if one does not come."""
        self.set(pause=1)
        limit = time.monotonic() + PATIENCE
        while self.get("parked") != self.parking:
            time.sleep(0.0005)
            if time.monotonic() > limit:
                raise Stalled(f"{self.get('parked')} of {self.parking} threads stand still after {PATIENCE:g} s, and all should")

    def resume(self) -> None:
        self.set(pause=0)
        while self.get("parked"):
            time.sleep(0.0002)

    # What the oracles look at

    def values(self) -> np.ndarray:
        """Word 0 of each stressed page."""
        return self.rig.frames()[: self.stress_pages, 0].copy()

    def take(self) -> np.ndarray:
        """Harvest, copy and commit: a mask of the stressed pages taken."""
        rig = self.rig
        if rig.harvest() < 0:
            raise GnomonError("a harvest is under way that should be over")
        at = rig.field("snapshot")
        words = self.words[at : at + (rig.pages + 63) // 64].copy()
        mask = np.unpackbits(words.view(np.uint8), bitorder="little")[: rig.pages].astype(bool)
        copy_snapshot(self.m, rig.vm, self.copy_at)
        rig.commit()
        return mask[: self.stress_pages]

    @property
    def copy(self) -> np.ndarray:
        """The destination's RAM, a row a page."""
        return self.words[self.copy_at : self.copy_at + self.rig.pages * PAGE_WORDS].reshape(-1, PAGE_WORDS)

    def lost(self) -> np.ndarray:
        """Pages whose copy is not what RAM holds. Only after a last harvest with every vCPU parked."""
        return np.flatnonzero((self.copy != self.rig.frames()).any(axis=1))
