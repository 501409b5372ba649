"""rig: a machine that nobody runs: a host, one shadow MMU, vCPUs that compiled loops or tests drive in the place of harts.

`world` is the identity for compiled kernels or `twin` for interpreted ones; both work on the same arena.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_WORDS
from gnomon.lang.fixed import FRAMES_AT
from gnomon.mem.debug import cache_stats, leak_check
from gnomon.mem.pool import POOL
from gnomon.mem.shrinker import shrink_all
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE
from gnomon.mmu import designs
from gnomon.mmu.context import mmu_set_context
from gnomon.mmu.dirty import commit, disable_dirty_log, enable_dirty_log, harvest
from gnomon.mmu.dirty_ring import harvest_rings, rings_on
from gnomon.mmu.release import run_callbacks
from gnomon.mmu.ring import RING_ENTRY_WORDS
from gnomon.mmu.setup import static_words, vcpu_create, vm_clear, vm_create
from gnomon.mmu.slot import backing_fault
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.host import Host

BASE_GFN = RAM_BASE >> 12
USER, SUPERVISOR, MACHINE = 0, 1, 3
SPARE_FRAMES = 3600
"""Frames of a rig's own host beyond its RAM: tables, shadow pages, slabs, what tests allocate."""
PATIENCE = 20.0


class Rig:
    """`pages` pages of RAM from RAM_BASE and `harts` vCPUs, each with a thread slot; every method uses the kernels of `world`.

    host   share this Host; None for one of its own with `frames` frames
    debug  poison freed memory and count what writes to it
    Raises GnomonError for an unknown design, and where the pool has no room."""

    def __init__(self, pages=64, harts=1, *, n_max=64, world=lambda k: k, design="", debug=True, frames=None, host=None):
        self.world, self.pages = world, pages
        word = designs.parse(design)
        self.host = host or Host(frames or pages + SPARE_FRAMES, debug=debug)
        self.m = self.host.arena
        self.words = self.m.words
        self.t = self.host.thread()
        self.vm = world(vm_create)(self.m, BASE_GFN, pages, n_max)
        self.threads = [self.host.thread() for _ in range(harts)]
        self.vcpus = [self.vm and world(vcpu_create)(self.m, self.vm, t) for t in self.threads]
        if not self.vm or not all(self.vcpus):
            raise GnomonError(f"the host's pool has no room for the tables of {pages} pages and {harts} vCPUs")
        self.v = self.vcpus[0]
        self.words[self.vm + VM.design] = word

    def call(self, kernel, *arguments) -> int:
        """A kernel of this world on this arena."""
        return self.world(kernel)(self.m, *(int(a) for a in arguments))

    def field(self, name: str) -> int:
        """A word of the machine."""
        return int(self.words[self.vm + getattr(VM, name)])

    def count(self, name: str, v: int | None = None) -> int:
        """A word of a vCPU."""
        return int(self.words[(v or self.v) + getattr(VCPU, name)])

    def pool(self, name: str) -> int:
        """A word of the pool."""
        return int(self.words[FRAMES_AT + getattr(POOL, name)])

    def static(self, words: int) -> int:
        """Zeroed words that stay for as long as the host."""
        at = self.call(static_words, words)
        if not at:
            raise GnomonError(f"the host's pool has no room for {words} more words")
        return at

    @contextmanager
    def locked(self):
        """mmu_lock held."""
        self.call(spin_lock, self.vm + VM.mmu_lock)
        yield
        self.call(spin_unlock, self.vm + VM.mmu_lock)

    def context(self, privilege=MACHINE, root=0, sum_mxr=0, v=None) -> None:
        """Set the translation regime of a vCPU: `root` is its satp."""
        self.call(mmu_set_context, v or self.v, privilege, privilege, root, sum_mxr)

    # RAM

    def back(self, index: int) -> int:
        """pfn behind page `index`, allocated now if need be."""
        with self.locked():
            return self.call(backing_fault, self.vm, self.t, index)

    def poke(self, index: int, offset: int, value: int) -> None:
        """Write a word of guest RAM behind everybody's back (before anything shadows it)."""
        self.words[self.back(index) * PAGE_WORDS + offset] = value

    @property
    def backing(self) -> np.ndarray:
        """pfn of each page, 0 where nothing is."""
        at = self.field("backing")
        return self.words[at : at + self.pages]

    def frames(self) -> np.ndarray:
        """All of RAM as a copy, a row a page, of zeroes where nothing is."""
        return np.where(self.backing[:, None] != 0, self.words.reshape(-1, PAGE_WORDS)[self.backing], 0)

    # The log

    def rings(self, entries: int) -> None:
        """Give every vCPU a dirty ring of `entries`, a power of two, in use from the next enable() on."""
        for v in self.vcpus:
            self.words[v + VCPU.ring] = self.static(entries * RING_ENTRY_WORDS)
        self.call(rings_on, self.t, self.vm, entries)

    def enable(self) -> None:
        self.call(enable_dirty_log, self.t, self.vm)

    def disable(self) -> None:
        self.call(disable_dirty_log, self.t, self.vm)

    def harvest(self) -> int:
        return self.call(harvest_rings if self.field("ring_size") else harvest, self.t, self.vm)

    def commit(self) -> None:
        self.call(commit, self.vm)

    # The end

    def clear(self) -> None:
        """Zap every shadow page and free every guest frame."""
        self.call(vm_clear, self.vm, self.t)

    def settle(self) -> None:
        """Let every callback run and every empty slab page go home. Raises GnomonError if a grace period does not end."""
        for t in [self.t, *self.threads]:
            self.call(shrink_all, t)
        for _ in range(2):
            deadline = time.monotonic() + PATIENCE
            while self.waiting():
                self.call(run_callbacks, self.t, 1000)
                if time.monotonic() > deadline:
                    raise GnomonError(f"{self.waiting()} pages wait for a grace period that does not end")
            self.call(shrink_all, self.t)

    def waiting(self) -> int:
        """Slab pages and shadow pages that wait for a grace period, or for a callback whose pages were all taken back."""
        stats = [cache_stats(self.m, cache) for cache in (CACHE_DESC, CACHE_SP, CACHE_TABLE)]
        return sum(s["waiting"] or s["queued"] for s in stats) + self.field("deferred")

    def remains(self) -> list[str]:
        """Clear the machine and ask every oracle of mem: what was written after its free, freed twice, or leaks."""
        self.clear()
        self.settle()
        faults = [f"{self.pool(name)} x {name.replace('_', ' ')}" for name in ("write_after_free", "not_constructed", "double_free")]
        found = [fault for fault in faults if not fault.startswith("0 ")]
        leaked = self.call(leak_check)
        return found + ([f"the leak check says {leaked}"] if leaked else [])
