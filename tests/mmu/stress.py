"""Guests of compiled code for stress on real threads: they store through TLB, walk and faults exactly as a hart does.

Every store is checked against the frame that belongs there (`wrong` counts), and leaves the current iteration in word 0 of its
page and a count of its own in another word, so that a harvester's copy can be compared with RAM.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
from mmu_rig import BASE, SUPERVISOR, A, D, R, Rig, Tables, W

from gnomon.lang import PAGE_WORDS, kernel, record
from gnomon.lang.arith import ctz, mul, shr, urem, wrap
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import copy_page, load64, store64
from gnomon.lang.host import futex_wait, sched_yield
from gnomon.lang.kernel import compile_kernel
from gnomon.mem.shrinker import mem_callbacks, shrink_all
from gnomon.mmu.dirty import commit, harvest
from gnomon.mmu.slot import backing
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import commit_zap, prepare_zap, recycle
from gnomon.sync.spinlock import spin_lock, spin_unlock

BATCH = 8
TABLE_EVERY = 64
STRIDE = 1 << 21
WINDOW = 1 << 30
TABLE_WINDOW = 3 << 30

CTL = record(
    "STRESS_CTL",
    "What the threads of a stress share.",
    iteration=8,
    stop=8,
    pause=8,
    parked=8,
    va=1,  # where page 0 lies for the guest, aliases STRIDE apart
    aliases=1,
    pages=1,
    tables=1,  # pages of guest tables at TABLE_WINDOW
    seed=1,
    nap_ns=1,
    zaps=1,
    harvests=1,
    wrong=8,  # stores that were led to another frame than the page's
    starved=8,
    stores=8,
)


@kernel
def next_random(x):
    """A step of a 64-bit linear congruential generator."""
    return wrap(mul(x, 6364136223846793005) + 1442695040888963407)


@kernel
def park(m, v, ctl):
    """Out of guest mode until the pause is over."""
    guest_exit(m, v)
    fetch_add(m, ctl + CTL.parked, 1)
    while read_once(m, ctl + CTL.pause) and read_once(m, ctl + CTL.stop) == 0:
        futex_wait(m, ctl + CTL.pause, 1, 200_000)
    fetch_add(m, ctl + CTL.parked, -1)
    return guest_enter(m, v)


@kernel
def store_page(m, v, ctl, number, x, count):
    """One store of vCPU `number` to a random page through a random alias. In guest mode before and after."""
    page = urem(shr(x, 33), read_once(m, ctl + CTL.pages))
    alias = urem(shr(x, 20) & 8191, read_once(m, ctl + CTL.aliases))
    va = read_once(m, ctl + CTL.va) + alias * STRIDE + page * 4096
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        if mmu_translate(m, v, va, TLB_WRITE) != XL_OK:
            fetch_add(m, ctl + CTL.starved, 1)
            guest_exit(m, v)
            sched_yield()
            return guest_enter(m, v)
        at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at >> 12 != backing(m, read_once(m, v + VCPU.vm), page):
        fetch_add(m, ctl + CTL.wrong, 1)
        return 0
    store64(m, at + 8 + number * 8, count * 2)
    return store64(m, at, read_once(m, ctl + CTL.iteration))


@kernel
def rewrite_table(m, v, ctl, x):
    """Store an entry of a guest table again as it is: through the tracking of guest tables."""
    va = TABLE_WINDOW + urem(shr(x, 33), read_once(m, ctl + CTL.tables)) * 4096 + (shr(x, 20) & 511) * 8
    at = tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime))
    if at < 0:
        if mmu_translate(m, v, va, TLB_WRITE) != XL_TRACKED:
            return 0
        at = tracked_begin(m, v)
        store64(m, at, load64(m, at))
        return tracked_end(m, v, at, 8)
    return 0


@kernel
def guest_writes(m, v, ctl, number):
    """Store until told to stop; look at requests between batches of stores, as a hart does."""
    x = read_once(m, ctl + CTL.seed) + number * 977
    count = 0
    guest_enter(m, v)
    while read_once(m, ctl + CTL.stop) == 0:
        for _ in range(BATCH):
            x = next_random(x)
            count += 1
            store_page(m, v, ctl, number, x, count)
        if read_once(m, ctl + CTL.tables) and count & (TABLE_EVERY - 1) == 0:
            rewrite_table(m, v, ctl, next_random(x))
        if read_once(m, ctl + CTL.pause):
            park(m, v, ctl)
        elif read_once(m, v + VCPU.requests):
            guest_exit(m, v)
            guest_enter(m, v)
    guest_exit(m, v)
    fetch_add(m, ctl + CTL.stores, count)
    return count


@kernel
def zap_all(m, vm, t):
    """Zap every shadow page, roots too, and free them. Under mmu_lock."""
    zapped = 0
    sp = read_once(m, vm + VM.active_head)
    while sp:
        if sp == read_once(m, vm + VM.direct_root):
            write_once(m, vm + VM.direct_root, 0)
        zapped = prepare_zap(m, vm, t, sp, zapped)
        sp = read_once(m, vm + VM.active_head)
    return commit_zap(m, vm, t, zapped)


@kernel
def churn(m, vm, t, ctl):
    """Recycle some shadow pages, now and then all of them, shrink the slabs and run RCU callbacks, until told to stop."""
    x = read_once(m, ctl + CTL.seed) ^ 4711
    while read_once(m, ctl + CTL.stop) == 0:
        x = next_random(x)
        spin_lock(m, vm + VM.mmu_lock)
        if shr(x, 40) & 7 == 0:
            zap_all(m, vm, t)
        else:
            recycle(m, vm, t, 1 + (shr(x, 44) & 7))
        spin_unlock(m, vm + VM.mmu_lock)
        if shr(x, 50) & 3 == 0:
            shrink_all(m, t)
        mem_callbacks(m, t, 64)
        fetch_add(m, ctl + CTL.zaps, 1)
        futex_wait(m, ctl + CTL.stop, 0, read_once(m, ctl + CTL.nap_ns))
    return 0


@kernel
def migrate_loop(m, t, vm, ctl, copy):
    """Harvest, copy the pages taken to the words at `copy`, commit, and again, as fast as it goes, until told to stop or pause."""
    while read_once(m, ctl + CTL.stop) == 0:
        if read_once(m, ctl + CTL.pause):
            fetch_add(m, ctl + CTL.parked, 1)
            while read_once(m, ctl + CTL.pause) and read_once(m, ctl + CTL.stop) == 0:
                futex_wait(m, ctl + CTL.pause, 1, 200_000)
            fetch_add(m, ctl + CTL.parked, -1)
        harvest_and_copy(m, t, vm, copy)
        fetch_add(m, ctl + CTL.harvests, 1)
    return 0


@kernel
def harvest_and_copy(m, t, vm, copy):
    """One round of a migration into the words at `copy`. Returns pages taken."""
    taken = harvest(m, t, vm)
    for w in range((read_once(m, vm + VM.pages) + 63) >> 6):
        bits = read_once(m, read_once(m, vm + VM.snapshot) + w)
        while bits:
            index = (w << 6) + ctz(bits)
            bits = wrap(bits & wrap(bits - 1))
            copy_page(m, (copy << 3) + (index << 12), backing(m, vm, index) << 12)
    commit(m, vm)
    return taken


KERNELS = (guest_writes, churn, migrate_loop, harvest_and_copy)


class Stress:
    """A rig with running vCPU threads. `aliases` > 0: S-mode on Sv39 tables of its own, each page mapped that often; 0: bare."""

    def __init__(self, *, pages=96, harts=2, aliases=0, n_max=256, design="", churning=True, migrating=False, nap_ns=300_000, seed=1):
        for k in KERNELS:
            compile_kernel(k)
        self.rig = Rig(pages + 64 + aliases, harts, n_max=n_max, design=design)
        self.m, self.words, self.stress_pages, self.harts = self.rig.m, self.rig.words, pages, harts
        self.ctl = self.rig.static(CTL.size)
        self.copy_at = self.rig.static(self.rig.pages * PAGE_WORDS)
        self.set(va=BASE, aliases=max(1, aliases), pages=pages, seed=seed, nap_ns=nap_ns, iteration=2)
        if aliases:
            self._map(aliases)
        for index in range(pages):
            self.rig.back(index)
        self.jobs = [(guest_writes, self.m, v, self.ctl, n) for n, v in enumerate(self.rig.vcpus)]
        self.parking = harts
        if churning:
            self.jobs.append((churn, self.m, self.rig.vm, self.rig.host.thread(), self.ctl))
        if migrating:
            self.jobs.append((migrate_loop, self.m, self.rig.host.thread(), self.rig.vm, self.ctl, self.copy_at))
            self.parking += 1
        self.failure: list[BaseException] = []

    def _map(self, aliases: int):
        tables = Tables(self.rig, self.stress_pages)
        for alias in range(aliases):
            for page in range(self.stress_pages):
                tables.map(WINDOW + alias * STRIDE + page * 4096, page)
        tables.table(TABLE_WINDOW, 1)
        for n, index in enumerate(range(self.stress_pages, tables.next)):
            tables.map(TABLE_WINDOW + n * 4096, index, 1 | R | W | A | D)
        self.set(va=WINDOW, tables=tables.next - self.stress_pages)
        for v in self.rig.vcpus:
            self.rig.context(SUPERVISOR, tables.satp, v=v)

    def set(self, **fields):
        for name, value in fields.items():
            self.words[self.ctl + getattr(CTL, name)] = value

    def get(self, name: str) -> int:
        return int(self.words[self.ctl + getattr(CTL, name)])

    @contextmanager
    def running(self):
        """Threads run inside the with; none is left after it."""

        def work(k, *arguments):
            try:
                k(*arguments)
            except BaseException as error:
                self.failure.append(error)

        self.set(stop=0, pause=0)
        threads = [threading.Thread(target=work, args=job, daemon=True) for job in self.jobs]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.set(stop=1, pause=0)
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive(), "a stress thread hangs"
        assert not self.failure, self.failure

    def pause(self):
        """Every vCPU (and migrator) out of guest mode between two stores."""
        self.set(pause=1)
        limit = time.monotonic() + 30
        while self.get("parked") != self.parking:
            time.sleep(0.0005)
            assert time.monotonic() < limit, "a vCPU does not park"

    def resume(self):
        self.set(pause=0)
        while self.get("parked"):
            time.sleep(0.0002)

    # What the oracles look at

    def values(self) -> np.ndarray:
        """Word 0 of each stressed page."""
        return self.words[self.rig.backing[: self.stress_pages] * PAGE_WORDS].copy()

    def take(self) -> np.ndarray:
        """Harvest, copy and commit: a mask of the pages taken."""
        rig = self.rig
        assert rig.harvest() >= 0
        at = rig.field("snapshot")
        words = self.words[at : at + (rig.pages + 63) // 64].copy()
        mask = np.unpackbits(words.view(np.uint8), bitorder="little")[: rig.pages].astype(bool)
        self.copy[mask] = self.words.reshape(-1, PAGE_WORDS)[rig.backing[mask]]
        rig.commit()
        return mask[: self.stress_pages]

    @property
    def copy(self) -> np.ndarray:
        """The destination's RAM, a row a page."""
        return self.words[self.copy_at : self.copy_at + self.rig.pages * PAGE_WORDS].reshape(-1, PAGE_WORDS)

    def lost(self) -> np.ndarray:
        """Pages whose copy is not what RAM holds. Only after a last harvest with every vCPU parked."""
        backed = self.rig.backing != 0
        return np.flatnonzero(backed & (self.copy != self.rig.frames()).any(axis=1))


def new_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    """dirty_log_test since 2025: over both bitmaps of an iteration, dirty <=> the page holds this iteration. And the copy is whole."""
    found = []
    for n in range(rounds):
        iteration = 4 + 2 * n
        stress.set(iteration=iteration)
        stress.resume()
        time.sleep(interval)
        dirty = stress.take()
        time.sleep(interval / 4)
        stress.pause()
        dirty |= stress.take()
        values = stress.values()
        if n:
            found += [f"round {n}: page {p} is dirty and holds {values[p]}" for p in np.flatnonzero(dirty & (values != iteration))]
        found += [f"round {n}: page {p} is clean and holds {values[p]}" for p in np.flatnonzero(~dirty & (values >= iteration))]
        found += [f"round {n}: page {p} was lost" for p in stress.lost()]
        if found:
            break
    return found


def old_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    """dirty_log_test until 2024: one harvest while the guest runs; what it misses of this iteration must be in the next."""
    found: list[str] = []
    owed = np.zeros(stress.stress_pages, dtype=bool)
    for n in range(rounds):
        iteration = 4 + 2 * n
        stress.set(iteration=iteration)
        stress.resume()
        time.sleep(interval)
        dirty = stress.take()
        time.sleep(interval / 4)
        stress.pause()
        values = stress.values()
        found += [f"round {n}: page {p} should be dirty by now" for p in np.flatnonzero(owed & ~dirty)]
        if n:
            bad = dirty & (values != iteration) & (values != iteration - 2)
            found += [f"round {n}: page {p} is dirty and holds {values[p]}" for p in np.flatnonzero(bad)]
        found += [f"round {n}: page {p} is clean and holds {values[p]}" for p in np.flatnonzero(~dirty & (values > iteration))]
        owed = ~dirty & (values == iteration)
        if found:
            break
    return found


def migration_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    """A migrator harvests and copies in a tight loop; whenever everybody is parked, a last harvest makes the copy equal to RAM."""
    found: list[str] = []
    for n in range(rounds):
        stress.set(iteration=4 + 2 * n)
        stress.resume()
        time.sleep(interval)
        stress.pause()
        stress.take()
        found = [f"round {n}: page {p} was lost" for p in stress.lost()] + ["a store was led to another page's frame"] * bool(
            stress.get("wrong")
        )
        if found:
            break
    return found


ORACLES = {"new": new_oracle, "old": old_oracle, "migration": migration_oracle}


def trial(oracle: str, rounds: int, interval: float, **shape) -> tuple[list[str], Stress]:
    """What `oracle` found in `rounds` rounds of a stress of this shape."""
    stress = Stress(migrating=oracle == "migration", **shape)
    stress.rig.enable()
    stress.set(pause=1)
    with stress.running():
        stress.pause()
        found = ORACLES[oracle](stress, rounds, interval)
        if stress.get("wrong"):
            found.append(f"{stress.get('wrong')} stores were led to another page's frame")
    return found, stress
