"""run: one reclaim under pressure, and what came of it.

Machines   VMS machines on one host, each with a vCPU in S-mode that stores at random through ALIASES mappings of its pages, under an
           n_max far below what that needs: every fault recycles shadow pages. A protector each harvests and copies without a pause,
           each harvest in one read section: the readers that grace periods wait for
Consumer   in the middle third of the time it takes every frame that the pool gives, and keeps asking. The first machine sleeps then,
           its shadow pages zapped: what it leaves in slabs is of use to the consumer only if it gets back to the pool
Shrinker   when the pool is below low, every machine zaps its oldest shadow pages and empty slab pages go back, by way of a grace period
Callbacks  a thread runs batches as the softirq does: blimit callbacks each until a queue passes qhimark
Sampled    every SAMPLE_S: live shadow pages, deferred ones, frames that slabs keep free, frames free in the pool
Counted    by the kernels: the most frames that each slab cache ever had. No moment between two samples escapes that
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from gnomon.lang import PAGE_SIZE
from gnomon.lang.fixed import FRAMES_AT, RCU_AT
from gnomon.lang.kernel import compile_kernel
from gnomon.mem.debug import cache_stats, mem_stats
from gnomon.mem.pool import POOL
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE
from gnomon.mmu import designs
from gnomon.mmu.design import RECLAIM, RECLAIM_THROTTLED
from gnomon.mmu.rmap import DESC_SPTES
from gnomon.mmu.vcpu import SPARE_DESCS
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import reclaim
from gnomon.study.crew import Crew
from gnomon.study.pressure.consumer import CTL, consume, softirq
from gnomon.study.rig import Rig
from gnomon.study.stress.churn import zap_all
from gnomon.study.stress.stage import Stress
from gnomon.sync.state import RCU
from gnomon.sync.stats import sync_stats
from gnomon.vm.host import LOW_FRAMES, Host

VMS, ALIASES, PAGES, N_MAX = 2, 120, 32, 64
CACHES = {CACHE_TABLE: "page tables", CACHE_SP: "headers", CACHE_DESC: "descriptors"}
DESCRIPTORS = PAGES * -(-N_MAX // DESC_SPTES) + SPARE_DESCS
"""Descriptors of a machine at most. A leaf table maps each page once, so an rmap has n_max entries at most; the vCPU has spare ones."""
SAMPLE_S = 0.02
WHOLE_SLOT = -1
SLAB = "typesafe-slab"
SPARE_FRAMES = 700
"""Frames of the pool when every machine has its RAM: shadow pages, slabs, the consumer's."""


@dataclass(frozen=True)
class Sample:
    """Frames at one moment: `seconds` since the beginning."""

    seconds: float
    live: int
    deferred: int
    cached: int
    free: int
    held: int  # by the consumer


@dataclass(frozen=True)
class Cache:
    """The frames of a slab cache: `peak` of them at most, those that wait for a grace period too; `filled` hold the objects that n_max
    shadow pages are, or need."""

    name: str
    peak: int
    filled: int


@dataclass
class Outcome:
    """One reclaim: how far each figure went, and what was counted."""

    reclaim: str
    shrinker: bool
    seconds: float
    n_max: int  # of all machines
    threads: int  # that have magazines: each is a CPU to the slab
    caches: tuple[Cache, ...]
    samples: list[Sample] = field(repr=False)
    counts: dict[str, int]
    lost: tuple[str, ...]

    def peak(self, name: str) -> int:
        return max(getattr(s, name) for s in self.samples)

    @property
    def peak_pages(self) -> int:
        """Frames of page tables at most: live, deferred, kept by the slab. Of slabs as counted, else as sampled."""
        return self.caches[0].peak or max(s.live + s.deferred for s in self.samples)

    @property
    def bound(self) -> int:
        """What the frames of page tables stay within: n_max, and one a thread."""
        return self.within(self.caches[0])

    def within(self, cache: Cache) -> int:
        """What the frames of `cache` stay within: those that its objects fill when most are live, and one a thread (S9 of mem/slab.py).

        A frame is got only by a thread that has seen, under the cache's lock, that no page has a free object and no page waits. At that
        moment every object of the cache's P pages is live or in a magazine. Of the T threads, B have decided to get a frame, or have one
        on the way: their magazines are empty. Each of the T - B others holds at most one page's worth of objects, for a magazine is no
        larger. With n objects a page and at most L ever live, of which the wanted one is not live yet: P <= (L - 1) / n + T - B, and
        with the B frames to come there are (L - 1) / n + T. One frame more may be on its way back to the pool: the cache's one callback
        gives its pages back one by one. (L - 1) / n and one, in whole frames, is what L objects fill. Frames come at such moments only,
        so the bound holds at all others, too. `slab/waiting` and `slab/hand-over` ask the checker the same, in every state."""
        return cache.filled + self.threads

    @property
    def is_bounded(self) -> bool:
        """Whether every cache stayed within its bound (C2): n_max, and one slab page a cache and CPU."""
        return all(cache.peak <= self.within(cache) for cache in self.caches)

    @property
    def title(self) -> str:
        return self.reclaim if self.shrinker else f"{self.reclaim}, no shrinker"

    @property
    def low(self) -> int:
        """The pool's low watermark."""
        return LOW_FRAMES

    @property
    def is_right(self) -> bool:
        """Whether the reclaim is said to lose nothing."""
        return not designs.wrongs(designs.parse(f"reclaim={self.reclaim}"))

    def document(self) -> dict:
        """For machines."""
        told = {"peak_pages": self.peak_pages, "bound": self.bound, "bounds": {c.name: self.within(c) for c in self.caches}}
        return asdict(self) | told | {"least_free": self.least_free}

    @property
    def least_free(self) -> int:
        return min(s.free for s in self.samples)


def plans(names: list[str]) -> list[tuple[str, bool]]:
    """(reclaim, shrinker) of the runs: each with the shrinker, and the slab without it too (C5)."""
    return [(name, True) for name in names] + [(SLAB, False)] * (SLAB in names)


def run(
    name: str, seconds: float, *, shrinker: bool = True, pressed: bool = True, spare_frames: int = SPARE_FRAMES, seed: int = 1
) -> Outcome:
    """Press the machines of reclaim `name` for `seconds`; with `pressed` false no other consumer comes and no machine sleeps.

    `spare_frames` are in the pool when every machine has its RAM."""
    for k in (consume, softirq, zap_all):
        compile_kernel(k)
    per_machine = PAGES + 64 + ALIASES
    host = Host(VMS * (2 * per_machine + 80) + spare_frames + 2200, debug=pressed)
    stresses = [
        Stress(
            pages=PAGES,
            harts=1,
            aliases=ALIASES,
            n_max=N_MAX,
            design=f"reclaim={name}",
            churns=(),
            migrating=True,
            seed=seed + n,
            host=host,
        )
        for n in range(VMS)
    ]
    rig = stresses[0].rig
    m, words = rig.m, rig.words
    ctl = rig.static(CTL.size)
    take_all_but(stresses[0].rig, spare_frames)
    for stress in stresses:
        words[stress.rig.vm + VM.section] = WHOLE_SLOT
        stress.rig.enable()
    slots = [host.thread() for _ in range(3)]
    before = counted(stresses)
    samples: list[Sample] = []
    over = threading.Event()
    runs = 0

    def kswapd() -> None:
        nonlocal runs
        while not over.wait(SAMPLE_S / 4):
            if host.low:
                runs += 1
                for stress in stresses:
                    reclaim(m, stress.rig.vm, slots[2])

    def stop() -> None:
        over.set()
        words[ctl + CTL.stop] = 1

    jobs = [lambda: consume(m, slots[0], ctl), lambda: softirq(m, slots[1], ctl)] + ([kswapd] if shrinker else [])
    sample(0.0, stresses, ctl)  # compiled before the clock runs
    with ExitStack() as stack:
        for stress in stresses:
            stack.enter_context(stress.running())
        stack.enter_context(Crew(jobs, stop))
        began = time.monotonic()
        for wanted, end in ((False, seconds / 3), (pressed, seconds * 2 / 3), (False, seconds)):  # each is seen, however slow the host
            if wanted != bool(words[ctl + CTL.wanted]):
                put_to_sleep(stresses[0]) if wanted else stresses[0].resume()
                words[ctl + CTL.wanted] = int(wanted)
            while True:
                samples.append(sample(time.monotonic() - began, stresses, ctl))
                time.sleep(SAMPLE_S)
                if time.monotonic() - began >= end:
                    break
        lost: list[str] = []
        for stress in stresses:
            stress.pause()
            stress.take()
            lost += [f"page {page} was lost" for page in stress.lost()]
            if stress.get("wrong"):
                lost.append(f"{stress.get('wrong')} stores were led to another page's frame")
    counts = {name: value - before[name] for name, value in counted(stresses).items()}
    counts |= {"stores": sum(stress.get("stores") for stress in stresses), "starved stores": sum(s.get("starved") for s in stresses)}
    counts |= {"shrinker runs": runs, "refused to the consumer": int(words[ctl + CTL.refused])}
    counts["slab-cached while it was"] = max((s.cached for s in samples if s.held), default=0)
    counts |= {name: rig.pool(name.replace(" ", "_")) for name in ("write after free", "not constructed", "double free")}
    threads = int(words[RCU_AT + RCU.threads])
    return Outcome(name, shrinker, time.monotonic() - began, N_MAX * VMS, threads, caches(rig), samples, counts, tuple(lost[:8]))


def caches(rig: Rig) -> tuple[Cache, ...]:
    """What each slab cache came to; that of page tables first."""
    objects = {CACHE_TABLE: N_MAX * VMS, CACHE_SP: N_MAX * VMS, CACHE_DESC: DESCRIPTORS * VMS}
    found = []
    for cache, name in CACHES.items():
        stats = cache_stats(rig.m, cache)
        found.append(Cache(name, stats["peak"], -(-objects[cache] // stats["per_page"])))
    return tuple(found)


def put_to_sleep(stress: Stress) -> None:
    """Park a machine's vCPUs and zap its shadow pages."""
    stress.pause()
    with stress.rig.locked():
        stress.rig.call(zap_all, stress.rig.vm, stress.rig.t)


def take_all_but(rig: Rig, frames: int) -> None:
    """Take away what the pool has beyond `frames`."""
    excess = rig.pool("free") - frames
    if excess > 0:
        rig.static(excess * PAGE_SIZE // 8)


def sample(at: float, stresses: list[Stress], ctl: int) -> Sample:
    rig = stresses[0].rig
    deferred = sum(s.rig.field("deferred") for s in stresses)
    in_use = sum(s.rig.field("n_used") for s in stresses)
    if rig.field("design") & RECLAIM == RECLAIM_THROTTLED:
        in_use -= deferred  # charged until they are free
    cached = 0
    for stats in (cache_stats(rig.m, cache) for cache in CACHES):
        cached += max(0, stats["pages"] + stats["waiting"] - -(-stats["live"] // stats["per_page"]))
    free, held = -1, int(rig.words[ctl + CTL.held])
    while free < 0 or held != int(rig.words[ctl + CTL.held]):  # of one moment: what is taken or given back in between counts once
        held = int(rig.words[ctl + CTL.held])
        free = int(rig.words[FRAMES_AT + POOL.free])
    return Sample(at, max(0, in_use), deferred, cached, free, held)


def counted(stresses: list[Stress]) -> dict[str, int]:
    """Counters of pool, RCU and machines."""
    rig = stresses[0].rig
    pool, sync = mem_stats(rig.m), sync_stats(rig.m)
    found = {"low crossings": pool["low_crossings"], "min crossings": pool["min_crossings"], "failed allocations": pool["failures"]}
    found |= {"grace periods": sync["grace_periods_completed"], "callbacks": sync["callbacks_invoked"], "floods": sync["floods"]}
    found["slab pages taken back"] = sum(cache_stats(rig.m, cache)["taken_back"] for cache in CACHES)
    for name in ("zaps", "stalls", "harvests"):
        found[name] = sum(s.rig.field(name) for s in stresses)
    return found
