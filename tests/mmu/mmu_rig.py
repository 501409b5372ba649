"""What the tests of mmu share: a small host with one shadow MMU and vCPUs that Python drives, in either world.

A vCPU of the rig is one nobody runs: the test calls what a hart would call. `world` is the identity for compiled kernels or
`twin` for interpreted ones; both work on the same arena.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from gnomon.hart.remote import remote_flush
from gnomon.lang import PAGE_WORDS, twin
from gnomon.mmu.dirty import merge_back
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.shadow_page import ROLE_DIRECT, SP
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.walk import REGIME_SLOT_SHIFT
from gnomon.mmu.zap import recycle
from gnomon.study import crew
from gnomon.study import rig as study
from gnomon.study.guest_tables import SV39, A, D, G, R, Tables, U, W, X, pte, satp  # noqa: F401
from gnomon.study.rig import BASE_GFN, MACHINE, SUPERVISOR, USER  # noqa: F401

BASE = 0x8000_0000
COMPILED, INTERPRETED = (lambda k: k), twin
both_worlds = pytest.mark.parametrize("world", [COMPILED, INTERPRETED], ids=["compiled", "interpreted"])
ACCESSES = {"read": TLB_READ, "write": TLB_WRITE, "exec": TLB_EXEC}


class Rig(study.Rig):
    """A rig with what a hart and a test do to it."""

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
            assert at >= 0, "XL_OK without a TLB entry"
            self.words[at // 8] = value
        self.call(guest_exit, v)
        return status

    def shadow_pages(self) -> list[int]:
        """Every shadow page in use, oldest first."""
        pages, sp = [], self.field("active_tail")
        while sp:
            pages.append(sp)
            sp = int(self.words[sp + SP.newer])
        return pages

    def may_be_stored_to(self, index: int) -> bool:
        """Whether a store to page `index` may go by unseen: it is no guest table, or only leaf tables that are unsync."""
        shadows = [sp for sp in self.shadow_pages() if self.words[sp + SP.gfn] == BASE_GFN + index]
        shadows = [sp for sp in shadows if not self.words[sp + SP.role] & ROLE_DIRECT]
        return all(self.words[sp + SP.role] & 3 == 1 and self.words[sp + SP.unsync] for sp in shadows)

    def remote_fence(self, v: int, named: int):
        """SBI's remote SFENCE.VMA, asked by vCPU `v` of number `named`."""
        self.call(remote_flush, v, 1 << named, 0)

    def sfence(self, va: int = 0, by_address: int = 0, v: int | None = None):
        v = v or self.v
        self.call(guest_enter, v)
        self.call(mmu_sfence, v, va, by_address)
        self.call(guest_exit, v)

    def peek(self, index: int, offset: int) -> int:
        pfn = int(self.backing[index])
        return int(self.words[pfn * PAGE_WORDS + offset]) if pfn else 0

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

    def clean(self):
        """Clear the machine and ask every oracle of mem: nothing poisoned was written, nothing leaks."""
        assert self.remains() == []


def slot_of(regime: int) -> int:
    return (regime - 1) >> REGIME_SLOT_SHIFT


def together(*jobs) -> list:
    """Run callables each on a thread of its own; returns what they returned, and leaves no thread behind."""
    return crew.together(jobs)[1]


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
