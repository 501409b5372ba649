"""How long a guest's write fault takes while its dirty pages are harvested: the figure that no KVM metric reports.

Guest      1 … N vCPUs in S-mode on Sv39 tables, PAGES pages each, stored to at random: TLB miss, walk, write fault, walk, store
Harvester  one more thread: harvest, commit, and GAP_NS in which a migration would copy and the guest dirties its pages anew
Timed      every store that met a fast or a slow fault and began or ended while a harvest write-protected, from its TLB miss to its
           retirement, clock reads included: in a histogram of SUB buckets an octave, so a figure is exact to 1 / SUB. What the host
           scheduler takes is in it
Idle       the same stores to the same protected pages while nobody harvests: a harvest, then one pass of every vCPU, PASSES times
Stores     all vCPUs together, a second of the run
Protectors lockless; locked: the harvest holds mmu_lock and a write fault on a shadowed guest table's page takes it too, as KVM's shadow
           MMU does; rmap-bit: a bit lock an rmap
Spread     the counts of the histogram, ns and stores, are the points of a row
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import kernel
from gnomon.lang.arith import shr
from gnomon.lang.atomics import read_once, write_once, xchg
from gnomon.lang.host import cpu_ticks, futex_wait
from gnomon.lang.kernel import compile_kernel
from gnomon.mmu.dirty import commit, harvest_lock, harvest_unlock, protect_dirty
from gnomon.mmu.vcpu import VCPU, flush_remote_tlbs, guest_enter, guest_exit
from gnomon.study.crew import Crew, together
from gnomon.study.guest_tables import Tables
from gnomon.study.ram import count_ticks, store_to
from gnomon.study.rig import SUPERVISOR, Rig
from gnomon.study.row import LESS, MORE, against, missing, row

BENCH = "jitter"
PAGES = 16384
SECONDS = 2.0
LEAST_SAMPLES, PATIENCE = 1000, 5
"""Faults that a figure needs, and how many times SECONDS it waits for them where others have the CPUs."""
PASSES = 10
GAP_NS = 1_000_000
SUB_BITS = 4
SUB = 1 << SUB_BITS
BUCKETS = 64 * SUB
WINDOW = 1 << 30
SPREAD = 2497
BATCH = 8
PROTECTORS = ("lockless", "locked", "rmap-bit")
QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


@kernel
def bucket(ticks):
    """Index of the histogram's bucket of `ticks`: SUB to an octave."""
    octave = 0
    rest = ticks
    while rest >= 2 * SUB:
        rest = shr(rest, 1)
        octave += 1
    return (octave << SUB_BITS) + rest


def edge(index: int) -> float:
    """Least ticks of a bucket."""
    octave = max(0, (index >> SUB_BITS) - 1)
    return (index - (octave << SUB_BITS)) * 2.0**octave


@kernel
def dirty_passes(m, v, first, count, hist, passes, stop):
    """Store to `count` pages (a power of two) from `first` on, `passes` times or until the word at `stop` is set. Returns stores.

    Faults are timed while the word behind `stop` is set."""
    done = 0
    guest_enter(m, v)
    while passes and read_once(m, stop) == 0:
        passes -= 1
        for i in range(count):
            page = (i * SPREAD + passes) & (count - 1)
            faults = read_once(m, v + VCPU.fast_faults) + read_once(m, v + VCPU.slow_faults)
            counts = read_once(m, stop + 1)
            began = cpu_ticks()
            if store_to(m, v, first + (page << 12), i) == 0:
                done += 1
            ticks = cpu_ticks() - began
            faults -= read_once(m, v + VCPU.fast_faults) + read_once(m, v + VCPU.slow_faults)
            if faults and (counts or read_once(m, stop + 1)):
                at = hist + bucket(ticks)
                write_once(m, at, read_once(m, at) + 1)
            if i & (BATCH - 1) == 0 and read_once(m, v + VCPU.requests):
                guest_exit(m, v)
                guest_enter(m, v)
    guest_exit(m, v)
    return done


@kernel
def harvest_loop(m, t, vm, stop):
    """Harvest and commit every GAP_NS until the word at `stop` is set; the word behind it says while it protects. Returns pages taken."""
    taken = 0
    while read_once(m, stop) == 0:
        harvest_lock(m, vm)
        xchg(m, stop + 1, 1)
        taken += protect_dirty(m, t, vm)
        xchg(m, stop + 1, 0)
        harvest_unlock(m, vm)
        flush_remote_tlbs(m, vm)
        commit(m, vm)
        futex_wait(m, stop, 0, GAP_NS)
    return taken


class Measured:
    """Histograms of one run: `ns` the lower edge of each bucket, `counts` how many faults fell into it; `rate` stores a second."""

    def __init__(self, ns: np.ndarray, counts: np.ndarray, rate: float):
        self.ns, self.counts, self.rate = ns, counts, rate

    def quantile(self, q: float) -> float:
        """ns that a share `q` of the faults did not exceed."""
        total = self.counts.cumsum()
        if not total[-1]:
            raise GnomonError("no store met a write fault: nothing was measured")
        return float(self.ns[int(np.searchsorted(total, np.ceil(q * total[-1])))])

    @property
    def points(self) -> list[list[float]]:
        """[ns, faults] of the buckets that are not empty."""
        met = np.flatnonzero(self.counts)
        return [[float(self.ns[n]), int(self.counts[n])] for n in met]


class Bench:
    """A rig whose vCPUs are in S-mode, each with PAGES pages of its own."""

    def __init__(self, vcpus: int, protector: str, pages: int = PAGES):
        for k in (dirty_passes, harvest_loop, count_ticks):
            compile_kernel(k)
        self.pages = pages
        self.rig = Rig(vcpus * pages + 64 + vcpus * pages // 512, vcpus, n_max=4096, design=f"protector={protector}", debug=False)
        tables = Tables(self.rig, vcpus * pages)
        for page in range(vcpus * pages):
            tables.map(WINDOW + page * 4096, page)
        for v in self.rig.vcpus:
            self.rig.context(SUPERVISOR, tables.satp, v=v)
        self.scratch = self.rig.static(64)
        self.hist = self.rig.static(vcpus * BUCKETS)
        count_ticks(self.rig.m, 20_000_000, self.scratch)
        self.per_ns = float(self.rig.words[self.scratch]) / float(self.rig.words[self.scratch + 1])
        self.rig.words[self.scratch : self.scratch + 2] = 0
        together([self.job(n, 1) for n in range(vcpus)])
        self.rig.enable()
        self.take()

    def job(self, n: int, passes: int) -> Callable[[], int]:
        rig, first = self.rig, WINDOW + n * self.pages * 4096
        return lambda: dirty_passes(rig.m, rig.vcpus[n], first, self.pages, self.hist + n * BUCKETS, passes, self.scratch)

    def take(self) -> None:
        self.rig.harvest()
        self.rig.commit()

    def measured(self, stores: int, seconds: float) -> Measured:
        """What the histograms hold by now."""
        rig = self.rig
        counts = rig.words[self.hist : self.hist + len(rig.vcpus) * BUCKETS].reshape(-1, BUCKETS).sum(axis=0)
        ticks = np.array([edge(n) for n in range(BUCKETS)])
        return Measured(ticks / self.per_ns, counts, stores / seconds)

    def _samples(self) -> int:
        return int(self.rig.words[self.hist : self.hist + len(self.rig.vcpus) * BUCKETS].sum())

    def clear(self) -> None:
        self.rig.words[self.hist : self.hist + len(self.rig.vcpus) * BUCKETS] = 0

    def idle(self, passes: int = PASSES) -> Measured:
        """Faults while nobody harvests."""
        self.clear()
        self.rig.words[self.scratch + 1] = 1
        stores, seconds = 0, 0.0
        for _ in range(passes):
            self.take()
            took, done = together([self.job(n, 1) for n in range(len(self.rig.vcpus))])
            seconds += took
            stores += sum(done)
        self.rig.words[self.scratch + 1] = 0
        return self.measured(stores, seconds)

    def harvested(self, length: float = SECONDS) -> Measured:
        """Faults while a harvest runs, in `length` seconds of harvests."""
        self.clear()
        rig = self.rig
        jobs = [self.job(n, 1 << 40) for n in range(len(rig.vcpus))]
        jobs.append(lambda: harvest_loop(rig.m, rig.t, rig.vm, self.scratch))
        began = time.perf_counter()
        with Crew(jobs, self._stop) as crew:
            for _ in range(PATIENCE):
                time.sleep(length)
                if self._samples() >= LEAST_SAMPLES:
                    break
        seconds = time.perf_counter() - began
        rig.words[self.scratch] = 0
        if not crew.results[-1]:
            raise GnomonError(f"the harvester took no page in {seconds:.1f} s")
        return self.measured(sum(crew.results[:-1]), seconds)

    def _stop(self) -> None:
        self.rig.words[self.scratch] = 1


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    for vcpus in range(1, (os.cpu_count() or 1) + 1):
        name = f"{vcpus} vCPU{'s' * (vcpus > 1)}"
        found: dict[str, dict[str, dict]] = {}
        for protector in PROTECTORS:
            tell(f"jitter: {name}, {protector}")
            bench = Bench(vcpus, protector)
            if protector == "lockless":
                found["idle"] = figures(f"{name}, idle", bench.idle())
            try:
                found[protector] = figures(f"{name}, {protector}", bench.harvested())
            except GnomonError as error:
                labels = (*(label for label, _ in QUANTILES), "stores")
                found[protector] = {label: missing(BENCH, f"{name}, {protector}: {label}", "ns", error.message) for label in labels}
        judged = {}
        if vcpus == 2:
            ours, theirs = found["lockless"], found["locked"]
            judged["p99"] = [
                against(ours["p99"], theirs["p99"], better=LESS, target="ratio >= 10"),
                against(ours["p99"], found["idle"]["p99"], better=LESS, target=f"ratio >= {1 / 1.5:.3f}"),
            ]
            judged["stores"] = [against(ours["stores"], theirs["stores"], better=MORE, target="ratio >= 1.3")]
        for kind, lines in found.items():
            for figure, line in lines.items():
                yield from judged.get(figure, [line]) if kind == "lockless" else [line]


def figures(name: str, measured: Measured) -> dict[str, dict]:
    """The rows of one run, by what they say."""
    lines = {label: row(BENCH, f"{name}: {label}", measured.quantile(q), "ns") for label, q in QUANTILES}
    lines["p50"]["points"] = measured.points
    lines["stores"] = row(BENCH, f"{name}: stores", measured.rate / 1e6, "M/s")
    return lines
