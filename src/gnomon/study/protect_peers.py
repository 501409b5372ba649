"""What the host kernel offers to write-protect pages of its own process: mprotect(2) and userfaultfd's UFFDIO_WRITEPROTECT.

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


class Userfault:
    """UFFDIO_WRITEPROTECT over spans of pages that are registered for it."""

    def __init__(self, addresses: np.ndarray, spans: np.ndarray):
        if _USERFAULTFD is None:
            raise GnomonError(f"userfaultfd's number is not known on {platform.machine()}")
        self._fd = _libc.syscall(_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK | _UFFD_USER_MODE_ONLY)
        if self._fd < 0:
            raise GnomonError(f"userfaultfd: {os.strerror(ctypes.get_errno())}")
        self._start, self._size = _whole(addresses)
        try:
            self._call("UFFDIO_API", _API, [_UFFD_API, _FEATURE_WP, 0])
            self._call("UFFDIO_REGISTER", _REGISTER, [self._start, self._size, _MODE_WP, 0])
        except GnomonError:
            os.close(self._fd)
            raise
        modes = np.ones((len(spans), 1), np.int64)
        self._protect = np.ascontiguousarray(np.concatenate([spans, modes], axis=1), dtype=np.int64)

    def _call(self, name: str, request: int, words: list[int]) -> None:
        argument = np.array(words, dtype=np.int64)
        if _libc.ioctl(self._fd, ctypes.c_ulong(request), ctypes.c_void_p(argument.ctypes.data)):
            raise GnomonError(f"{name}: {os.strerror(ctypes.get_errno())}")

    def protect(self) -> None:
        if failed := _ioctl_each(self._fd, _WRITEPROTECT, self._protect.ctypes.data, 24, len(self._protect)):
            raise GnomonError(f"UFFDIO_WRITEPROTECT failed on {failed} spans")

    def unprotect(self) -> None:
        self._call("UFFDIO_WRITEPROTECT", _WRITEPROTECT, [self._start, self._size, 0])

    def close(self) -> None:
        self.unprotect()
        self._call("UFFDIO_UNREGISTER", _UNREGISTER, [self._start, self._size])
        os.close(self._fd)
