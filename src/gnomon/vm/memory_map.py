"""memory_map: what state the pages of a running machine are in, as a picture of so many cells.

Read with plain loads over the arena's words by numpy: no lock, no read section, no vCPU stopped. Every word is exact, the picture is not
one moment; a descriptor that is freed while it is looked at can show one page wrongly in one picture, and nothing else can happen.
Above MOST_LOOKED_AT pages one in `stride` is looked at, another one in each picture, so the cost does not grow with the guest.
"""

from __future__ import annotations

import numpy as np

from gnomon.mmu.rmap import DESC, DESC_SPTES, RMAP_LOCKED
from gnomon.mmu.shadow_page import TABLE_ENTRIES
from gnomon.mmu.spte import PRESENT, WRITABLE
from gnomon.mmu.vm_words import VM

STATES = ("dirty", "writable", "protected", "unmapped", "taken back", "untouched")
"""dirty: in the dirty log. writable: a store to it goes unseen until the log protects it. protected: mapped, and no spte has W.
unmapped: it has a frame and no spte. taken back: it had a frame and the host took it. untouched: it never had one."""
DIRTY, MAPPED, PROTECTED, UNMAPPED, TAKEN_BACK, UNTOUCHED = range(len(STATES))
LETTERS = "dwpux."
"""A letter for each state, in that order."""

MOST_LOOKED_AT = 1 << 16
DIRTY_STEPS = 9


class MemoryMap:
    """Takes pictures of one machine; remembers which pages it has seen with a frame, to know those that lost theirs."""

    def __init__(self, arena, vm: int, pages: int):
        self._words, self._vm, self._pages = arena.words, vm, pages
        self._had_frame = np.zeros(self._pages, dtype=bool)
        self._turn = 0

    def picture(self, cells: int) -> dict:
        """At most `cells` cells of equally many pages, in the order of addresses.

        cells   a letter of LETTERS a cell: the state that most of its pages are in, dirty ones left out
        dirty   a digit a cell: the part of its pages that are dirty in ninths, rounded up
        looked  how many pages were looked at, of `pages`; `counts` are theirs, by state
        logged  pages in the dirty log now, all of them counted"""
        cells = max(1, min(cells, self._pages))
        stride = -(-self._pages // MOST_LOOKED_AT)
        self._turn = (self._turn + 1) % stride
        looked = np.arange(self._turn, self._pages, stride)
        states = self._states(looked)
        cell = looked * cells // self._pages
        counts = np.bincount(cell * len(STATES) + states, minlength=cells * len(STATES)).reshape(cells, len(STATES))
        seen = np.maximum(counts.sum(axis=1), 1)
        ninths = -(-counts[:, DIRTY] * DIRTY_STEPS // seen)
        others = counts.copy()
        others[:, DIRTY] = 0
        letters = np.where(counts[:, DIRTY] == seen, DIRTY, others.argmax(axis=1))
        total = counts.sum(axis=0)
        return {
            "pages": self._pages,
            "looked": len(looked),
            "logged": int(np.bitwise_count(self._bitmap().view(np.uint64)).sum()),
            "counts": {name: int(total[n]) for n, name in enumerate(STATES)},
            "cells": "".join(LETTERS[n] for n in letters),
            "dirty": "".join(map(str, ninths)),
        }

    def _of_vm(self, field: int) -> int:
        return int(self._words[self._vm + field])

    def _bitmap(self) -> np.ndarray:
        at = self._of_vm(VM.dirty)
        return self._words[at : at + (self._pages + 63) // 64]

    def _states(self, pages: np.ndarray) -> np.ndarray:
        words = self._words
        framed = words[self._of_vm(VM.backing) + pages] != 0
        self._had_frame[pages[framed]] = True
        heads = words[self._of_vm(VM.rmap) + pages] & ~RMAP_LOCKED
        large = words[self._of_vm(VM.region_rmap) + (pages + self._of_vm(VM.base_gfn) % TABLE_ENTRIES) // TABLE_ENTRIES]
        dirty = (self._bitmap()[pages >> 6] >> (pages & 63)) & 1 != 0
        writable = self._writable(heads) | self._writable(large)
        return np.select(
            [dirty & framed, writable, (heads | large) != 0, framed, self._had_frame[pages]],
            [DIRTY, MAPPED, PROTECTED, UNMAPPED, TAKEN_BACK],
            UNTOUCHED,
        )

    def _writable(self, heads: np.ndarray) -> np.ndarray:
        """Whether an spte that the rmap word leads to, one of the newest DESC_SPTES where it is a chain, has W."""
        found = np.zeros(len(heads), dtype=bool)
        single = np.flatnonzero((heads != 0) & (heads & 1 == 0))
        found[single] = self._has_w(heads[single] >> 1)
        chained = np.flatnonzero(heads & 1)
        slots = (heads[chained] >> 1)[:, None] + DESC.sptes + np.arange(DESC_SPTES)
        entries = self._at(slots)
        found[chained] = (self._has_w(entries) & (entries != 0)).any(axis=1)
        return found

    def _has_w(self, sptes_at: np.ndarray) -> np.ndarray:
        return self._at(sptes_at) & (PRESENT | WRITABLE) == PRESENT | WRITABLE

    def _at(self, where: np.ndarray) -> np.ndarray:
        """The words at `where`; what lies outside the arena was read from a descriptor that is one no more."""
        return self._words[np.clip(where, 0, len(self._words) - 1)]
