"""ram: guest pages that are really mapped and really writable, dirtied by the very path a hart's store takes.

A hart's store is a TLB probe; on a miss mmu_translate: hardware walk, guest_exit, page fault, guest_enter, hardware walk; then the
store. These kernels do that for many pages, with no instructions to decode in between, on a vCPU of a machine that was not started.
"""

from __future__ import annotations

import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE, PAGE_WORDS, kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.lang.host import cpu_ticks, monotonic_ns
from gnomon.lang.kernel import compile_kernel
from gnomon.mem.frames import run_alloc_n
from gnomon.mmu import dirty
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.translate import XL_OK, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.machine import Machine

SPREAD = 40503
"""An odd number: i * SPREAD mod a power of two visits every page once, in an order that no prefetcher follows."""


@kernel
def store_to(m, v, va, value):
    """Store `value` at `va` as a hart does. In guest mode. Returns 0, or -1 if the MMU refused."""
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    while at < 0:
        if mmu_translate(m, v, va, TLB_WRITE) != XL_OK:
            return -1
        at = tlb_host(m, v, va, TLB_WRITE, regime)
    store64(m, at, value)
    return 0


@kernel
def store_pages(m, v, first, count, stride, spread, value):
    """Store to `count` pages, page (i * spread mod count) * stride of the page at `first`. Returns how many. `count` is a power of two."""
    done = 0
    guest_enter(m, v)
    for i in range(count):
        page = ((i * spread) & (count - 1)) * stride
        if store_to(m, v, first + (page << 12), value) == 0:
            done += 1
    guest_exit(m, v)
    return done


@kernel
def time_stores(m, v, first, count, stride, spread, ticks):
    """As store_pages, with the ticks that each store took, its two clock reads included, in the words from `ticks` on."""
    done = 0
    guest_enter(m, v)
    for i in range(count):
        page = ((i * spread) & (count - 1)) * stride
        began = cpu_ticks()
        if store_to(m, v, first + (page << 12), i) == 0:
            done += 1
        write_once(m, ticks + i, cpu_ticks() - began)
    guest_exit(m, v)
    return done


@kernel
def count_ticks(m, ns, out):
    """Ticks of cpu_ticks() and ns of monotonic_ns() in a span of at least `ns`: the words at `out` and behind it."""
    began = monotonic_ns()
    ticks = cpu_ticks()
    now = began
    while now - began < ns:
        now = monotonic_ns()
    write_once(m, out, cpu_ticks() - ticks)
    write_once(m, out + 1, now - began)
    return 0


class Ram:
    """A machine with one hart and `count` pages (a power of two) that a bench dirties, one in `stride`.

    Raises GnomonError where the machine does not do what the bench would then claim to time."""

    def __init__(self, count: int, stride: int = 1):
        self.count, self.stride = count, stride
        memory = count * stride * PAGE_SIZE
        self.machine = Machine(memory, 1)
        self.arena, self.vm, self.v = self.machine.arena, self.machine.vm, self.machine.vcpus[0]
        self.log = self.machine.dirty_log()
        self.scratch = run_alloc_n(self.arena, count // PAGE_WORDS + 1) * PAGE_WORDS
        if not self.scratch:
            raise GnomonError(f"the machine's pool has no room for {count} samples")
        for k in (store_pages, time_stores, count_ticks):
            compile_kernel(k)
        self.dirty_all()
        self.log.enable()

    def dirty_all(self, spread: int = 1) -> None:
        """A store to every page of the selection."""
        if store_pages(self.arena, self.v, RAM_BASE, self.count, self.stride, spread, 1) != self.count:
            raise GnomonError(f"the machine refused stores to some of {self.count} pages")

    def harvest(self) -> int:
        """The compiled harvest, its snapshot open. Returns pages."""
        return dirty.harvest(self.arena, self.machine._thread, self.vm)

    def commit(self) -> None:
        dirty.commit(self.arena, self.vm)

    def merge_back(self) -> None:
        dirty.merge_back(self.arena, self.vm)

    def clean(self) -> None:
        """Everything committed, everything write-protected."""
        self.harvest()
        self.commit()

    def counter(self, field: int) -> int:
        """A counter of the machine."""
        return int(self.arena.words[self.vm + field])

    def hart_counter(self, field: int) -> int:
        """A counter of the hart."""
        return int(self.arena.words[self.v + field])

    def frames(self) -> np.ndarray:
        """pfns behind the selected pages, in order of page."""
        backing = int(self.arena.words[self.vm + VM.backing])
        return self.arena.words[backing : backing + self.count * self.stride : self.stride].copy()

    def addresses(self) -> np.ndarray:
        """Host virtual addresses of the selected pages."""
        return self.arena.address + self.frames() * PAGE_SIZE

    def touch(self) -> None:
        """Write to every selected page as an ordinary program would: the host has it present and writable."""
        at = self.frames() * PAGE_WORDS
        self.arena.words[at] = self.arena.words[at] + 1

    def ticks_per_ns(self) -> float:
        """How fast cpu_ticks() counts."""
        count_ticks(self.arena, 50_000_000, self.scratch)
        ticks, ns = self.arena.words[self.scratch : self.scratch + 2]
        return float(ticks) / float(ns)
