"""ram: a machine's RAM by page indices: read, written, cleared, hashed, aged, moved to other frames, given back,
shared.

Under the machine's lock, which its staging area and its frames need (pages.py). What replaces content wants the harts parked; the rest
works while they run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import xxhash

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE, PAGE_WORDS
from gnomon.mem.frames import run_alloc_n
from gnomon.mmu.age import age
from gnomon.mmu.vm_words import VM
from gnomon.vm import frames, pages, sharing
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.image import Segment

_ZERO_RUN = bytes(2 << 20)


class GuestRam:
    """RAM of the machine whose words are at `vm`: `page_count` pages from 0x8000_0000 on.

    `thread` is the slot that works for the callers' threads. Where the pool has no frame for the staging area, _stage stays 0."""

    def __init__(self, arena, vm: int, page_count: int, thread: int):
        self.arena, self.vm, self.pages = arena, vm, page_count
        self._thread = thread
        self._stage = run_alloc_n(arena, pages.STAGE_WORDS // PAGE_WORDS) * PAGE_WORDS
        self._lock = threading.RLock()

    @property
    def running(self) -> bool:
        """Whether guest code may be executing: RAM alone has no harts."""
        return False

    def _quiet(self, what: str) -> None:
        if self.running:
            raise GnomonError(f"cannot {what} while the harts run", hint="pause() first")

    @property
    def _frames(self) -> np.ndarray:
        return self.arena.octets.reshape(-1, PAGE_SIZE)

    @property
    def _backing(self) -> np.ndarray:
        at = int(self.arena.words[self.vm + VM.backing])
        return self.arena.words[at : at + self.pages]

    def _indices(self, indices) -> np.ndarray:
        indices = np.ascontiguousarray(indices, dtype=np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < self.pages:
            raise GnomonError(f"page {int(indices.max())} is not among the machine's {self.pages}", exit_code=2)
        return indices

    def _staged(self, indices, work: Callable[[int], int]):
        """Batches of page indices through the staging area: yields (slice of indices, pfns) after `work(count)`."""
        indices = self._indices(indices)
        for first in range(0, len(indices), pages.BATCH):
            batch = indices[first : first + pages.BATCH]
            self.arena.words[self._stage : self._stage + len(batch)] = batch
            work(len(batch))
            answers = self._stage + pages.BATCH
            yield slice(first, first + len(batch)), self.arena.words[answers : answers + len(batch)].copy()

    def read_pages(self, indices, out, zero) -> None:
        """Copy pages out: `out` uint8[n * 4096] gets the non-zero ones, `zero` uint8[n] says which are all zero and were left alone.

        Harts may run meanwhile: a page written during the copy is dirty again afterwards."""
        target = np.frombuffer(out, dtype=np.uint8).reshape(-1, PAGE_SIZE)
        flags = np.frombuffer(zero, dtype=np.uint8)
        with self._lock:
            for part, pfns in self._staged(indices, lambda n: pages.find_pages(self.arena, self.vm, self._stage, n)):
                flags[part] = pfns == 0
                if pfns.all():
                    np.take(self._frames, pfns, axis=0, out=target[part], mode="clip")
                else:
                    present = np.flatnonzero(pfns)
                    target[part][present] = self._frames[pfns[present]]

    def write_pages(self, indices, data) -> None:
        """Replace whole pages of a machine whose harts do not run. Raises GnomonError when the pool is exhausted."""
        self._quiet("write pages")
        source = np.frombuffer(data, dtype=np.uint8).reshape(-1, PAGE_SIZE)
        with self._lock:

            def back(count: int) -> int:
                if pages.back_pages(self.arena, self.vm, self._thread, self._stage, count) < count:
                    raise GnomonError("the host's pool of frames is exhausted: 0 free above the minimum")
                return count

            for part, pfns in self._staged(indices, back):
                self._frames[pfns] = source[part]

    def clear_pages(self, indices) -> None:
        """Make whole pages of a machine whose harts do not run zero."""
        self._quiet("clear pages")
        with self._lock:
            work = lambda n: pages.back_only(self.arena, self.vm, self._thread, self._stage, n)  # noqa: E731
            for _, pfns in self._staged(indices, work):
                self._frames[pfns[pfns != 0]] = 0

    def move_pages(self, indices) -> int:
        """Put pages into other frames of the pool, also while the harts run; their content stays. Returns how many had a frame.

        Raises GnomonError when the pool is exhausted: those moved until then are moved, the others as they were."""
        with self._lock:
            return frames.move(self.arena, self.vm, self._thread, self._indices(indices))

    def take_back(self, indices, *, discard: bool = False) -> int:
        """Give frames of pages back to the pool, also while the harts run: of those that are all zero, or of all if `discard`.

        Such a page reads as zero and gets a frame again when it is touched. Returns how many frames were given back."""
        with self._lock:
            return frames.take_back(self.arena, self.vm, self._thread, self._indices(indices), discard)

    def share_pages(self, indices=None) -> int:
        """Have pages that hold the same share a frame, among `indices` or all, also while the harts run. Returns how many frames came back.

        A page has a frame of its own again before it is stored to. stats()["mmu"] counts shared pages and frames."""
        chosen = np.arange(self.pages) if indices is None else self._indices(indices)
        freed = 0
        for pairs in sharing.batches(self.arena.octets, chosen, self._backing.copy()):
            with self._lock:
                freed += sharing.merge(self.arena, self.vm, self._thread, self._stage, pairs)
        return freed

    def ram_hash(self) -> tuple[int, str]:
        """(pages, xxh3-64 hex digest) of all RAM in order; pages never touched count as zero."""
        with self._lock:
            return self.pages, self._digest(self._backing.copy())

    def _digest(self, backing: np.ndarray) -> str:
        digest = xxhash.xxh3_64()
        step = np.where(backing[:-1] == 0, backing[1:] == 0, backing[1:] == backing[:-1] + 1)
        edges = np.flatnonzero(~step) + 1
        octets = memoryview(self.arena.octets)
        for first, last in zip([0, *edges], [*edges, self.pages], strict=True):
            pfn, size = int(backing[first]), int(last - first) * PAGE_SIZE
            if pfn:
                digest.update(octets[pfn * PAGE_SIZE : pfn * PAGE_SIZE + size])
            else:
                for start in range(0, size, len(_ZERO_RUN)):
                    digest.update(_ZERO_RUN[: min(len(_ZERO_RUN), size - start)])
        return digest.hexdigest()

    def _place(self, segment: Segment) -> None:
        start = segment.gpa - RAM_BASE
        first, last = start // PAGE_SIZE, (start + segment.size - 1) // PAGE_SIZE
        offset = start % PAGE_SIZE
        for page in range(first, last + 1, pages.BATCH):
            count = min(pages.BATCH, last + 1 - page)
            content = np.zeros(count * PAGE_SIZE, dtype=np.uint8)
            self.read_pages(np.arange(page, page + count), content, np.zeros(count, dtype=np.uint8))
            low = offset if page == first else 0
            done = max(0, (page - first) * PAGE_SIZE - offset)
            take = min(segment.size - done, count * PAGE_SIZE - low)
            piece = np.frombuffer(segment.data[done : done + take], dtype=np.uint8)
            content[low : low + take] = 0
            content[low : low + len(piece)] = piece
            self.write_pages(np.arange(page, page + count), content)

    def age(self) -> np.ndarray:
        """Indices of the pages that were accessed since the last call, about: no TLB is flushed, as in the kernel (mmu/age.py)."""
        found = []
        with self._lock:
            words = -(-self.pages // 64)
            for first in range(0, words, pages.STAGE_WORDS):
                count = min(pages.STAGE_WORDS, words - first)
                age(self.arena, self._thread, self.vm, first, count, self._stage)
                found.append(self.arena.words[self._stage : self._stage + count].copy())
        bits = np.unpackbits(np.concatenate(found).view(np.uint8), bitorder="little")[: self.pages]
        return np.flatnonzero(bits).astype(np.int64)
