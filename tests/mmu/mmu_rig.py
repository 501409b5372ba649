"""What the tests of mmu share: a small host with one shadow MMU and vCPUs that Python drives, in either world.

A vCPU of the rig is one nobody runs: the test calls what a hart would call. `world` is the identity for compiled kernels or
`twin` for interpreted ones; both work on the same arena.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from gnomon.lang import PAGE_WORDS, twin
from gnomon.lang.fixed import FRAMES_AT
from gnomon.mem.debug import leak_check
from gnomon.mem.pool import POOL
from gnomon.mem.shrinker import mem_callbacks, shrink_all
from gnomon.mmu import designs
from gnomon.mmu.context import mmu_set_context, mmu_sfence
from gnomon.mmu.dirty import commit, disable_dirty_log, enable_dirty_log, harvest, merge_back
from gnomon.mmu.setup import static_words, vcpu_create, vm_clear, vm_create
from gnomon.mmu.slot import backing_fault
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import REGIME_SLOT_SHIFT
from gnomon.mmu.zap import recycle
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.vm.host import Host

BASE = 0x8000_0000
BASE_GFN = BASE >> 12
COMPILED, INTERPRETED = (lambda k: k), twin
both_worlds = pytest.mark.parametrize("world", [COMPILED, INTERPRETED], ids=["compiled", "interpreted"])
R, W, X, U, G, A, D = 2, 4, 8, 16, 32, 64, 128
SV39 = 8 << 60
USER, SUPERVISOR, MACHINE = 0, 1, 3
ACCESSES = {"read": TLB_READ, "write": TLB_WRITE, "exec": TLB_EXEC}


def satp(gfn: int) -> int:
    """The signed word of an Sv39 satp."""
    return (SV39 | gfn) - (1 << 64)


def pte(gfn: int, bits: int) -> int:
    """A guest PTE."""
    return gfn << 10 | bits


class Rig:
    """`pages` pages of RAM from BASE and `harts` vCPUs; every method uses the kernels of `world`."""

    def __init__(self, pages=64, harts=1, *, n_max=64, world=COMPILED, design="", debug=True, frames=None, host=None):
        self.world, self.pages = world, pages
        self.host = host or Host(frames or pages + 3600, debug=debug)
        self.m = self.host.arena
        self.words = self.m.words
        self.t = self.host.thread()
        self.vm = world(vm_create)(self.m, BASE_GFN, pages, n_max)
        assert self.vm
        self.threads = [self.host.thread() for _ in range(harts)]
        self.vcpus = [world(vcpu_create)(self.m, self.vm, t) for t in self.threads]
        self.v = self.vcpus[0]
        self.words[self.vm + VM.design] = designs.parse(design)

    def call(self, kernel, *arguments) -> int:
        """A kernel of this world on this arena."""
        return self.world(kernel)(self.m, *(int(a) for a in arguments))

    def field(self, name: str) -> int:
        return int(self.words[self.vm + getattr(VM, name)])

    def count(self, name: str, v: int | None = None) -> int:
        return int(self.words[(v or self.v) + getattr(VCPU, name)])

    @contextmanager
    def locked(self):
        self.call(spin_lock, self.vm + VM.mmu_lock)
        yield
        self.call(spin_unlock, self.vm + VM.mmu_lock)

    # The guest

    def context(self, privilege=MACHINE, root=0, sum_mxr=0, v=None):
        self.call(mmu_set_context, v or self.v, privilege, privilege, root, sum_mxr)

    def access(self, va: int, kind: int, v: int | None = None) -> tuple[int, int]:
        """(status, byte offset or -1) of one access as a hart does it."""
        v = v or self.v
        self.call(guest_enter, v)
        regime = self.words[v + (VCPU.fetch_regime if kind == TLB_EXEC else VCPU.data_regime)]
        at, status = self.call(tlb_host, v, va, kind, regime), XL_OK
        if at < 0:
            status = self.call(mmu_translate, v, va, kind)
            at = self.call(tlb_host, v, va, kind, regime) if status == XL_OK else -1
            assert status != XL_OK or at >= 0, "XL_OK without a TLB entry"
        self.call(guest_exit, v)
        return status, at

    def store(self, va: int, value: int, v: int | None = None) -> int:
        """A 64-bit guest store. Returns the status it met; a tracked store is carried out."""
        v = v or self.v
        self.call(guest_enter, v)
        regime = self.words[v + VCPU.data_regime]
        status = XL_OK
        at = self.call(tlb_host, v, va, TLB_WRITE, regime)
        if at < 0:
            status = self.call(mmu_translate, v, va, TLB_WRITE)
            at = self.call(tlb_host, v, va, TLB_WRITE, regime) if status == XL_OK else -1
        if status == XL_TRACKED:
            at = self.call(tracked_begin, v)
            self.words[at // 8] = value
            self.call(tracked_end, v, at, 8)
        elif status == XL_OK:
            self.words[at // 8] = value
        self.call(guest_exit, v)
        return status

    def sfence(self, va: int = 0, by_address: int = 0, v: int | None = None):
        self.call(mmu_sfence, v or self.v, va, by_address)

    # The host

    def back(self, index: int) -> int:
        """pfn behind page `index`."""
        with self.locked():
            return self.call(backing_fault, self.vm, self.t, index)

    def poke(self, index: int, offset: int, value: int):
        """Write a word of guest RAM behind everybody's back (before anything shadows it)."""
        self.words[self.back(index) * PAGE_WORDS + offset] = value

    def peek(self, index: int, offset: int) -> int:
        pfn = int(self.backing[index])
        return int(self.words[pfn * PAGE_WORDS + offset]) if pfn else 0

    @property
    def backing(self) -> np.ndarray:
        at = self.field("backing")
        return self.words[at : at + self.pages]

    def frames(self) -> np.ndarray:
        """All of RAM as a copy, a row a page, of zeroes where nothing is."""
        return np.where(self.backing[:, None] != 0, self.words.reshape(-1, PAGE_WORDS)[self.backing], 0)

    def enable(self):
        self.call(enable_dirty_log, self.vm)

    def disable(self):
        self.call(disable_dirty_log, self.vm)

    def harvest(self) -> int:
        return self.call(harvest, self.t, self.vm)

    def commit(self):
        self.call(commit, self.vm)

    def merge_back(self):
        self.call(merge_back, self.vm)

    def bits(self, name: str) -> set[int]:
        """Indices of the pages whose bit is set in bitmap `name`."""
        at = self.field(name)
        words = self.words[at : at + (self.pages + 63) // 64].copy()
        return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())

    def take(self) -> set[int]:
        """Harvest and commit: the pages taken."""
        assert self.harvest() >= 0
        taken = self.bits("snapshot")
        self.commit()
        return taken

    def recycle(self, count: int) -> int:
        with self.locked():
            return self.call(recycle, self.vm, self.t, count)

    def clear(self):
        self.call(vm_clear, self.vm, self.t)

    def settle(self):
        """Let every callback run and every empty slab page go home."""
        for t in [self.t, *self.threads]:
            self.call(shrink_all, t)
        deadline = time.monotonic() + 20
        while self.pending():
            self.call(mem_callbacks, self.t, 1000)
            assert time.monotonic() < deadline, "slab pages wait for a grace period that does not end"
        self.call(shrink_all, self.t)
        while self.pending():
            self.call(mem_callbacks, self.t, 1000)

    def pending(self) -> int:
        from gnomon.mem.debug import cache_stats
        from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE

        return sum(cache_stats(self.m, cache)["waiting"] for cache in (CACHE_DESC, CACHE_SP, CACHE_TABLE))

    def clean(self):
        """Clear the machine and ask every oracle of mem: nothing poisoned was written, nothing leaks."""
        self.clear()
        self.settle()
        faults = {name: self.pool(name) for name in ("write_after_free", "not_constructed", "double_free")}
        assert faults == dict.fromkeys(faults, 0)
        assert self.call(leak_check) == 0

    def pool(self, name: str) -> int:
        return int(self.words[FRAMES_AT + getattr(POOL, name)])

    def static(self, words: int) -> int:
        return self.call(static_words, words)


class Tables:
    """Guest page tables in RAM pages of a rig, written before anything shadows them."""

    def __init__(self, rig: Rig, first: int):
        self.rig, self.next = rig, first
        self.root = self.page()
        self.below: dict[tuple[int, ...], int] = {}

    def page(self) -> int:
        self.next += 1
        self.rig.back(self.next - 1)
        return self.next - 1

    def table(self, va: int, level: int) -> int:
        """Page index of the table of `level` for `va`, made if need be."""
        if level == 3:
            return self.root
        key = (level, va >> (12 + 9 * level))
        if key not in self.below:
            made = self.page()
            self.below[key] = made
            self.rig.poke(self.table(va, level + 1), (va >> (12 + 9 * level)) & 511, pte(BASE_GFN + made, 1))
        return self.below[key]

    def map(self, va: int, index: int, bits: int = 1 | R | W | X | A | D, level: int = 1):
        """Map `va` to page `index` with a leaf at `level`."""
        self.rig.poke(self.table(va, level), self.slot(va, level), pte(BASE_GFN + index, bits))

    @staticmethod
    def slot(va: int, level: int) -> int:
        return (va >> (12 + 9 * (level - 1))) & 511

    @property
    def satp(self) -> int:
        return satp(BASE_GFN + self.root)


def slot_of(regime: int) -> int:
    return (regime - 1) >> REGIME_SLOT_SHIFT


def together(*jobs, limit: float = 120.0) -> list:
    """Run callables each on a thread of its own; returns what they returned, and leaves no thread behind."""
    results: list = [None] * len(jobs)
    failures: list[BaseException] = []

    def work(n, job):
        try:
            results[n] = job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n, job), daemon=True) for n, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit)
        assert not thread.is_alive(), "a thread did not come back"
    if failures:
        raise failures[0]
    return results


@contextmanager
def swapped(kernel, **names):
    """For the length of a with: the interpreted twin of `kernel` sees other functions under these global names.

    Twins of one module share their globals, so every twin of that module is affected: what a step of another thread between two
    accesses would look like is then one Python call."""
    scope = twin(kernel).__globals__
    before = {name: scope[name] for name in names}
    scope.update(names)
    try:
        yield scope
    finally:
        scope.update(before)
