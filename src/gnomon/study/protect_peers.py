"""What the host kernel offers to write-protect pages of its own process: mprotect(2), userfaultfd's UFFDIO_WRITEPROTECT, PAGEMAP_SCAN.

The calls are made from compiled loops without the GIL, so that a page's cost is the system call's and not Python's. The process is
otherwise idle on one thread: no other CPU has to be told to flush its TLB, which favours the peers.
"""

from __future__ import annotations

import ctypes
import os
import platform

import numba
import numpy as np

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE

_libc = ctypes.CDLL(None, use_errno=True)
_mprotect = _libc.mprotect
_mprotect.argtypes, _mprotect.restype = (ctypes.c_int64, ctypes.c_int64, ctypes.c_int), ctypes.c_int
_ioctl = ctypes.CDLL(None).ioctl
_ioctl.argtypes, _ioctl.restype = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64), ctypes.c_int

PROT_READ, PROT_WRITE = 1, 2
_USERFAULTFD = {"x86_64": 323, "aarch64": 282, "riscv64": 282}.get(platform.machine())
_UFFD_API, _UFFD_USER_MODE_ONLY, _FEATURE_WP, _MODE_WP = 0xAA, 1, 1, 2
_IOWR, _IOR = 3, 2
_FEATURE_WP_UNPOPULATED, _FEATURE_WP_ASYNC = 1 << 13, 1 << 15
_SCAN_BYTES = 96
_PAGEMAP_SCAN = 3 << 30 | _SCAN_BYTES << 16 | ord("f") << 8 | 16
_SCAN_WP_MATCHING, _SCAN_CHECK_WPASYNC, _PAGE_IS_WRITTEN = 1, 2, 2
_MAX_MAP_COUNT = "/proc/sys/vm/max_map_count"


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0xAA << 8 | number


_API, _REGISTER = _request(_IOWR, 0x3F, 24), _request(_IOWR, 0x00, 32)
_UNREGISTER, _WRITEPROTECT = _request(_IOR, 0x01, 16), _request(_IOWR, 0x06, 24)


@numba.njit(nogil=True)
def _mprotect_each(spans, protection):
    failed = 0
    for n in range(len(spans)):
        if _mprotect(spans[n, 0], spans[n, 1], protection) != 0:
            failed += 1
    return failed


@numba.njit(nogil=True)
def _ioctl_each(fd, request, address, size, count):
    failed = 0
    for n in range(count):
        if _ioctl(fd, request, address + n * size) != 0:
            failed += 1
    return failed


def pages(addresses: np.ndarray) -> np.ndarray:
    """A span (address, bytes) a page."""
    return np.stack([addresses, np.full_like(addresses, PAGE_SIZE)], axis=1)


def ranges(addresses: np.ndarray) -> np.ndarray:
    """A span for each range of neighbouring pages."""
    first = np.flatnonzero(np.concatenate([[True], np.diff(addresses) != PAGE_SIZE]))
    sizes = np.diff(np.append(first, len(addresses))) * PAGE_SIZE
    return np.stack([addresses[first], sizes], axis=1)


def _whole(addresses: np.ndarray) -> tuple[int, int]:
    return int(addresses.min()), int(addresses.max() - addresses.min()) + PAGE_SIZE


class Mprotect:
    """mprotect(PROT_READ) over spans of pages."""

    def __init__(self, addresses: np.ndarray, spans: np.ndarray):
        with open(_MAX_MAP_COUNT) as file:
            limit = int(file.read())
        if 2 * len(ranges(addresses)) + 1024 > limit:
            raise GnomonError(f"vm.max_map_count allows too few mappings: {limit}")
        self._addresses, self._spans = addresses, spans

    def protect(self) -> None:
        if failed := _mprotect_each(self._spans, PROT_READ):
            raise GnomonError(f"mprotect failed on {failed} spans")

    def unprotect(self) -> None:
        start, size = _whole(self._addresses)
        if _mprotect(start, size, PROT_READ | PROT_WRITE):
            raise GnomonError(f"mprotect cannot restore: {os.strerror(ctypes.get_errno())}")

    close = unprotect


class Registered:
    """A range of pages registered with a userfaultfd for write protection, with `features` of UFFDIO_API."""

    def __init__(self, addresses: np.ndarray, features: int):
        if _USERFAULTFD is None:
            raise GnomonError(f"userfaultfd's number is not known on {platform.machine()}")
        self._fd = _libc.syscall(_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | _UFFD_USER_MODE_ONLY)
        if self._fd < 0:
            raise GnomonError(f"userfaultfd: {os.strerror(ctypes.get_errno())}")
        self._start, self._size = _whole(addresses)
        try:
            self._call("UFFDIO_API", _API, [_UFFD_API, features, 0])
            self._call("UFFDIO_REGISTER", _REGISTER, [self._start, self._size, _MODE_WP, 0])
        except GnomonError:
            os.close(self._fd)
            raise

    def _call(self, name: str, request: int, words: list[int]) -> None:
        argument = np.array(words, dtype=np.int64)
        if _libc.ioctl(self._fd, ctypes.c_ulong(request), ctypes.c_void_p(argument.ctypes.data)):
            raise GnomonError(f"{name}: {os.strerror(ctypes.get_errno())}")

    def unprotect(self) -> None:
        self._call("UFFDIO_WRITEPROTECT", _WRITEPROTECT, [self._start, self._size, 0])

    def close(self) -> None:
        self.unprotect()
        self._call("UFFDIO_UNREGISTER", _UNREGISTER, [self._start, self._size])
        os.close(self._fd)


class Userfault(Registered):
    """UFFDIO_WRITEPROTECT over spans of pages that are registered for it."""

    def __init__(self, addresses: np.ndarray, spans: np.ndarray):
        super().__init__(addresses, _FEATURE_WP)
        modes = np.ones((len(spans), 1), np.int64)
        self._protect = np.ascontiguousarray(np.concatenate([spans, modes], axis=1), dtype=np.int64)

    def protect(self) -> None:
        if failed := _ioctl_each(self._fd, _WRITEPROTECT, self._protect.ctypes.data, 24, len(self._protect)):
            raise GnomonError(f"UFFDIO_WRITEPROTECT failed on {failed} spans")


class PagemapScan(Registered):
    """PAGEMAP_SCAN with PM_SCAN_WP_MATCHING: one call that says which pages were written and write-protects them, a harvest of the host's.

    The range is registered for asynchronous write protection (Linux 6.7): a write to a protected page needs nobody."""

    def __init__(self, addresses: np.ndarray, spans: np.ndarray):
        super().__init__(addresses, _FEATURE_WP_ASYNC | _FEATURE_WP_UNPOPULATED)
        self._pages = len(addresses)
        self._regions = np.zeros((len(addresses), 3), np.int64)
        self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
        self._scan(np.zeros((self._size // PAGE_SIZE, 3), np.int64))  # pages never protected count as written

    def protect(self) -> None:
        found = self._scan(self._regions)
        if found != self._pages:
            raise GnomonError(f"PAGEMAP_SCAN protected {found} pages of {self._pages}")

    def _scan(self, found: np.ndarray) -> int:
        """Protect what was written and put its regions into `found`. Returns pages."""
        words = [_SCAN_BYTES, _SCAN_WP_MATCHING | _SCAN_CHECK_WPASYNC, self._start, self._start + self._size, 0]
        words += [found.ctypes.data, len(found), 0, 0, _PAGE_IS_WRITTEN, 0, _PAGE_IS_WRITTEN]
        argument = np.array(words, dtype=np.int64)
        regions = _libc.ioctl(self._pagemap, ctypes.c_ulong(_PAGEMAP_SCAN), ctypes.c_void_p(argument.ctypes.data))
        if regions < 0:
            raise GnomonError(f"PAGEMAP_SCAN: {os.strerror(ctypes.get_errno())}")
        return int((found[:regions, 1] - found[:regions, 0]).sum()) // PAGE_SIZE

    def unprotect(self) -> None:
        """Nothing to do: the next write does it."""

    def close(self) -> None:
        os.close(self._pagemap)
        super().close()
