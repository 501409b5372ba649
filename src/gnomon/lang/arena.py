"""Arena: the one reserved mapping of 64-bit words in which everything shared lives.

A reference is a word index (an int64), 0 is null. A page frame is PAGE_WORDS words, so pfn p starts at word
p * PAGE_WORDS and at byte p * PAGE_SIZE: a pfn is an offset too.  Compiled kernels see an arena as one bare pointer
(no bounds, no reference count); the interpreted twin sees the numpy view `words`, with bounds.
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np

_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # named by Python 3.13 and newer
PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PAGE_WORDS = PAGE_SIZE // 8


class Arena:
    """A private anonymous mapping of `words` int64 words; pages cost memory only once touched.

    words     numpy int64[n]: the arena as kernels see it
    octets    numpy uint8[8 n]: the same bytes
    address   host virtual address of word 0

    Raises ValueError when the size is not a positive number of whole pages, MemoryError when the host refuses the mapping.
    """

    __slots__ = ("_map", "address", "octets", "words")

    def __init__(self, words: int):
        if words <= 0 or words % PAGE_WORDS:
            raise ValueError(f"an arena is a positive number of whole pages: {words} words is not a multiple of {PAGE_WORDS}")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        try:
            self._map = mmap.mmap(-1, words * 8, flags=flags)
        except OSError as error:
            raise MemoryError(f"the host refused a mapping of {words * 8} bytes: {error.strerror}") from error
        self.octets = np.frombuffer(self._map, dtype=np.uint8)
        self.words = self.octets.view(np.int64)
        self.address = self.words.ctypes.data

    def __len__(self) -> int:
        return len(self.words)

    def release_pages(self, first: int, count: int) -> None:
        """Give the host back `count` pages from page `first`; they read as zero afterwards."""
        self._map.madvise(mmap.MADV_DONTNEED, first * PAGE_SIZE, count * PAGE_SIZE)

    def prefer_huge_pages(self, first: int) -> None:
        """Ask the host for its large pages from page `first` on; one that has none goes on with small ones."""
        with contextlib.suppress(OSError):
            self._map.madvise(mmap.MADV_HUGEPAGE, first * PAGE_SIZE)
