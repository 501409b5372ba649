"""DirtyLog and Snapshot: the dirty pages of a machine, for Python. The work is mmu/dirty.py's; this is transactions and arrays."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from gnomon.errors import GnomonError
from gnomon.mmu import dirty, dirty_ring, log_modes
from gnomon.mmu.ring import RING_ENTRY_WORDS, RING_RESERVED
from gnomon.mmu.setup import static_words
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM

INITIALLY_SET, WRITE_PROTECT, MANUAL_PROTECT = "initially-set", "write-protect", "manual-protect"
MODES = (INITIALLY_SET, WRITE_PROTECT, MANUAL_PROTECT, f"{MANUAL_PROTECT},{INITIALLY_SET}")
"""How logging begins and who protects.

initially-set    every page that has a frame is dirty at first, nothing is protected: what a copy of all of RAM wants
write-protect    nothing is dirty at first, everything is protected: what an increment to a copy made before wants
manual-protect   as write-protect, and pages are taken by get() and clear() only; with initially-set, as that at first
"""
MOST_ENTRIES = 65536


class Snapshot:
    """Pages taken by one harvest or clear; theirs until commit() or merge_back(), exactly one of which is called.

    After a disable() there is nothing left of it, and neither call does anything.

    gfns   numpy int64[n], ascending: page indices 0 … pages - 1 (gfn - base_gfn)
    """

    def __init__(self, log: DirtyLog, gfns: np.ndarray):
        self._log, self.era = log, log.era
        self._parts = [gfns]
        self.open = True

    @property
    def gfns(self) -> np.ndarray:
        if len(self._parts) > 1:
            self._parts = [np.unique(np.concatenate(self._parts))]
        return self._parts[0]

    def add(self, gfns: np.ndarray) -> None:
        """More pages were taken: DirtyLog.take_into()."""
        self._parts.append(gfns)

    def _close(self) -> bool:
        if not self.open:
            raise GnomonError("this snapshot was committed or merged back already")
        self.open = False
        return self.era == self._log.era

    def commit(self) -> None:
        """The pages reached their reader."""
        if self._close():
            dirty.commit(self._log.arena, self._log.vm)

    def merge_back(self) -> None:
        """The pages did not: they are dirty again."""
        if self._close():
            dirty.merge_back(self._log.arena, self._log.vm)


class DirtyLog:
    """The dirty log of one machine. As a context manager it is enabled inside and disabled after.

    mode     one of MODES
    entries  of each vCPU's dirty ring, 0 without rings"""

    def __init__(self, arena, vm: int, thread: int, pages: int, slabs: AbstractContextManager | None = None):
        self.arena, self.vm, self._thread, self.pages = arena, vm, thread, pages
        self.mode, self.entries = INITIALLY_SET, 0
        self._slabs = slabs or nullcontext()  # excludes others who allocate and free as `thread`; taken before _lock
        self._lock = threading.Lock()
        self._made = 0  # entries that the rings' memory is for
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

    def choose(self, mode: str, entries: int = 0) -> DirtyLog:
        """Log in this mode, with rings of that many entries, from the next enable() on. Raises GnomonError while another one is in use."""
        if mode not in MODES:
            raise GnomonError(f"no such mode of the dirty log: {mode}", hint=f"known: {'; '.join(MODES)}", exit_code=2)
        if entries and (entries & (entries - 1) or not 2 * RING_RESERVED <= entries <= MOST_ENTRIES):
            raise GnomonError(f"a dirty ring has a power of two of {2 * RING_RESERVED} to {MOST_ENTRIES} entries: {entries}", exit_code=2)
        with self._lock:
            if (mode, entries) != (self.mode, self.entries):
                if self.enabled:
                    raise GnomonError(f"the dirty log is in use: {self.mode}, rings of {self.entries}", hint="disable() it first")
                if entries:
                    self._make_rings(entries)
                self.mode, self.entries = mode, entries
        return self

    def _make_rings(self, entries: int) -> None:
        """Memory for the rings, which stays with the machine: a frame for 256 entries. Raises GnomonError when there is none."""
        words = self.arena.words
        vcpus = [int(words[self.vm + VM.vcpus + n]) for n in range(int(words[self.vm + VM.harts]))]
        if self._made and entries > self._made:
            raise GnomonError(f"the machine's dirty rings have {self._made} entries, {entries} are too many", exit_code=2)
        for v in () if self._made else vcpus:
            ring = static_words(self.arena, entries * RING_ENTRY_WORDS)
            if ring == 0:
                raise GnomonError(f"the host's pool has no room for dirty rings of {entries} entries for {len(vcpus)} vCPUs")
            words[v + VCPU.ring] = ring
        self._made = self._made or entries

    def enable(self) -> None:
        """Start logging, as the mode says."""
        with self._slabs, self._lock:
            if self.entries:
                dirty_ring.rings_on(self.arena, self._thread, self.vm, self.entries)
            if self.mode.endswith(INITIALLY_SET):
                dirty.enable_dirty_log(self.arena, self._thread, self.vm)
            else:
                log_modes.enable_protected(self.arena, self._thread, self.vm)

    def disable(self) -> None:
        """Stop logging; an open snapshot is forgotten."""
        with self._slabs, self._lock:
            self.era += 1
            dirty.disable_dirty_log(self.arena, self._thread, self.vm)
            dirty_ring.rings_off(self.arena, self.vm)

    def harvest(self) -> Snapshot:
        """Take the dirty pages: written since the last harvest, and from now on logged anew. Lockless towards the harts.

        Raises GnomonError while an earlier snapshot is open, when logging is off, or in a manual mode."""
        with self._lock:
            if not self.enabled:
                raise GnomonError("the dirty log is not enabled", hint="call enable() first")
            if self.mode.startswith(MANUAL_PROTECT):
                raise GnomonError("the dirty log is in manual-protect mode", hint="get() what is dirty, take() it, then copy")
            harvest = dirty_ring.harvest_rings if self.entries else dirty.harvest
            if harvest(self.arena, self._thread, self.vm) == dirty.BUSY:
                raise GnomonError("a snapshot of the dirty log is still open", hint="commit() or merge_back() it first")
            return Snapshot(self, self._indices(VM.snapshot))

    def get(self) -> np.ndarray:
        """The get form: page indices whose bit is set now (int64), with no effect. take() or clear() them before copying."""
        return self._indices(VM.dirty)

    def clear(self, first: int, bitmap: np.ndarray) -> int:
        """take() for who needs no transaction: returns how many of the pages were dirty."""
        snapshot = self.take(first, bitmap)
        snapshot.commit()
        return len(snapshot.gfns)

    def take(self, first: int, bitmap: np.ndarray) -> Snapshot:
        """The clear form: forget and protect the dirty ones of the pages set in `bitmap` (uint64, 64 pages a word) from page `first` on.

        `first` is a multiple of 64, as for KVM_CLEAR_DIRTY_LOG. Copy them after this call. Raises GnomonError otherwise, and while an
        earlier snapshot is open."""
        self._named(first, bitmap)
        snapshot = self.begin()
        self.take_into(snapshot, first, bitmap)
        return snapshot

    def begin(self) -> Snapshot:
        """A snapshot of no pages, which take_into() adds to: a clear in parts is one transaction.

        Raises GnomonError when logging is off, or while an earlier snapshot is open."""
        with self._lock:
            if not self.enabled:
                raise GnomonError("the dirty log is not enabled", hint="call enable() first")
            if log_modes.clear_begin(self.arena, self.vm) == dirty.BUSY:
                raise GnomonError("a snapshot of the dirty log is still open", hint="commit() or merge_back() it first")
            return Snapshot(self, np.zeros(0, dtype=np.int64))

    def take_into(self, snapshot: Snapshot, first: int, bitmap: np.ndarray) -> np.ndarray:
        """As take(), into a snapshot that is open. Returns the indices of the pages taken now; copy them after this call."""
        words = self._named(first, bitmap)
        with self._lock:
            if not snapshot.open or snapshot.era != self.era:
                raise GnomonError("this snapshot is not open any more")
            at = int(self.arena.words[self.vm + VM.snapshot]) + first // 64
            held = self.arena.words[at : at + len(words)]
            before = held.copy()
            held[:] = words
            log_modes.clear_dirty_log(self.arena, self._thread, self.vm, first // 64, len(words))
            taken = self._set(held) + first
            held |= before
            snapshot.add(taken)
            return taken

    def _named(self, first: int, bitmap: np.ndarray) -> np.ndarray:
        """`bitmap` as words of the arena. Raises GnomonError where they are not whole words of this machine's pages."""
        words = np.ascontiguousarray(bitmap, dtype=np.uint64).view(np.int64)
        limit = (self.pages + 63) // 64
        if first % 64 or first < 0 or first // 64 + len(words) > limit:
            raise GnomonError(f"clear of {64 * len(words)} pages from page {first} does not fit 64-page words of {self.pages} pages")
        return words

    def peek_count(self) -> int:
        """How many pages are dirty now, taking nothing: entries of rings that were not collected and bits; a page may be both."""
        return dirty.count_dirty(self.arena, self.vm)

    def _indices(self, field: int) -> np.ndarray:
        at = int(self.arena.words[self.vm + field])
        return self._set(self.arena.words[at : at + (self.pages + 63) // 64])

    @staticmethod
    def _set(words: np.ndarray) -> np.ndarray:
        """Numbers of the bits that are set: in time that grows with them, but for one look at each word."""
        found = words.copy()
        dirty = np.flatnonzero(found)
        which, bit = np.nonzero(np.unpackbits(found[dirty].view(np.uint8), bitorder="little").reshape(-1, 64))
        return dirty[which] * 64 + bit
