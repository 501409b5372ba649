"""DirtyLog and Snapshot: the dirty pages of a machine, for Python. The work is mmu/dirty.py's; this is transactions and arrays."""

from __future__ import annotations

import threading

import numpy as np

from gnomon.errors import GnomonError
from gnomon.mmu import dirty
from gnomon.mmu.vm_words import VM


class Snapshot:
    """Pages taken by one harvest; theirs until commit() or merge_back(), exactly one of which is called.

    After a disable() there is nothing left of it, and neither call does anything.

    gfns   numpy int64[n], ascending: page indices 0 … pages - 1 (gfn - base_gfn)
    """

    def __init__(self, log: DirtyLog, gfns: np.ndarray):
        self._log, self._era = log, log.era
        self.gfns = gfns
        self.open = True

    def _close(self) -> bool:
        if not self.open:
            raise GnomonError("this snapshot was committed or merged back already")
        self.open = False
        return self._era == self._log.era

    def commit(self) -> None:
        """The pages reached their reader."""
        if self._close():
            dirty.commit(self._log.arena, self._log.vm)

    def merge_back(self) -> None:
        """The pages did not: they are dirty again."""
        if self._close():
            dirty.merge_back(self._log.arena, self._log.vm)


class DirtyLog:
    """The dirty log of one machine. As a context manager it is enabled inside and disabled after."""

    def __init__(self, arena, vm: int, thread: int, pages: int):
        self.arena, self.vm, self._thread, self.pages = arena, vm, thread, pages
        self._lock = threading.Lock()
        self.era = 0  # times the log was disabled: a snapshot from before is void

    def __enter__(self) -> DirtyLog:
        self.enable()
        return self

    def __exit__(self, *exception) -> None:
        self.disable()

    @property
    def enabled(self) -> bool:
        """Whether stores are being logged."""
        return bool(self.arena.words[self.vm + VM.logging])

    def enable(self) -> None:
        """Start logging: the first harvest returns every page that has a frame."""
        with self._lock:
            dirty.enable_dirty_log(self.arena, self.vm)

    def disable(self) -> None:
        """Stop logging; an open snapshot is forgotten."""
        with self._lock:
            self.era += 1
            dirty.disable_dirty_log(self.arena, self.vm)

    def harvest(self) -> Snapshot:
        """Take the dirty pages: written since the last harvest, and from now on logged anew. Lockless towards the harts.

        Raises GnomonError while an earlier snapshot is open, or when logging is off."""
        with self._lock:
            if not self.enabled:
                raise GnomonError("the dirty log is not enabled", hint="call enable() first")
            if dirty.harvest(self.arena, self._thread, self.vm) == dirty.BUSY:
                raise GnomonError("a snapshot of the dirty log is still open", hint="commit() or merge_back() it first")
            return Snapshot(self, self._indices(VM.snapshot))

    def get(self) -> np.ndarray:
        """The get form: page indices that are dirty now (int64), with no effect. Re-protect what you copy with clear() before copying."""
        return self._indices(VM.dirty)

    def clear(self, first: int, bitmap: np.ndarray) -> int:
        """The clear form: forget and protect the pages whose bits are set in `bitmap` (uint64, 64 pages a word) from page `first` on.

        `first` is a multiple of 64, as for KVM_CLEAR_DIRTY_LOG. Returns how many pages were dirty. Raises GnomonError otherwise."""
        words = np.ascontiguousarray(bitmap, dtype=np.uint64).view(np.int64)
        limit = (self.pages + 63) // 64
        if first % 64 or first < 0 or first // 64 + len(words) > limit:
            raise GnomonError(f"clear of {64 * len(words)} pages from page {first} does not fit 64-page words of {self.pages} pages")
        with self._lock:
            counts = [
                dirty.clear_dirty_log(self.arena, self._thread, self.vm, first // 64 + w, int(bits)) for w, bits in enumerate(words) if bits
            ]
        return sum(int(taken & 0xFFFFFFFFFFFFFFFF).bit_count() for taken in counts)

    def peek_count(self) -> int:
        """How many pages are dirty now, taking nothing."""
        return dirty.count_dirty(self.arena, self.vm)

    def _indices(self, field: int) -> np.ndarray:
        at = int(self.arena.words[self.vm + field])
        words = self.arena.words[at : at + (self.pages + 63) // 64].copy()
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: self.pages]
        return np.flatnonzero(bits).astype(np.int64)
