"""shard_log: what every shard has entered, in files of the process that drives the exploration: fingerprints, and where states come from.

24 bytes a state, written level by level, read when a worker takes a shard over and when a counterexample is told.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from gnomon.errors import GnomonError

FINGERPRINT, ORIGIN = 16, 8


class Log:
    """One pair of files a shard, in a folder that goes with it."""

    def __init__(self, shards: int):
        self.folder = tempfile.TemporaryDirectory(prefix="gnomon-shards-")
        place = Path(self.folder.name)
        self.counts = [0] * shards
        self.fingerprint_files = [os.open(place / f"{shard}.fingerprints", os.O_RDWR | os.O_CREAT) for shard in range(shards)]
        self.origin_files = [os.open(place / f"{shard}.origins", os.O_RDWR | os.O_CREAT) for shard in range(shards)]

    def append(self, shard: int, fingerprints: np.ndarray, origins: np.ndarray) -> None:
        """A shard's next states."""
        at = self.counts[shard]
        _write(self.fingerprint_files[shard], fingerprints, FINGERPRINT * at)
        _write(self.origin_files[shard], origins, ORIGIN * at)
        self.counts[shard] += len(origins)

    def fingerprints(self, shard: int) -> bytes:
        """Of all states that a shard has entered, in order."""
        return _read(self.fingerprint_files[shard], FINGERPRINT * self.counts[shard], 0)

    def origin(self, shard: int, index: int) -> tuple[int, int]:
        """(parent, action) of a state."""
        word = int.from_bytes(_read(self.origin_files[shard], ORIGIN, ORIGIN * index), "little")
        return word >> 8, word & 255

    def close(self) -> None:
        for file in (*self.fingerprint_files, *self.origin_files):
            os.close(file)
        self.fingerprint_files, self.origin_files = [], []
        self.folder.cleanup()


def _write(file: int, words: np.ndarray, at: int) -> None:
    left = memoryview(words).cast("B") if len(words) else memoryview(b"")
    try:
        while left:
            done = os.pwrite(file, left, at)
            left, at = left[done:], at + done
    except OSError as error:
        raise GnomonError(
            f"the states cannot be written down in {tempfile.gettempdir()}: {error.strerror}", "TMPDIR=… names another place"
        ) from None


def _read(file: int, size: int, at: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = os.pread(file, size - len(found), at + len(found))
        if not part:
            raise GnomonError(f"a file of states ends at byte {at + len(found)}, not {at + size}", "leave the folder in TMPDIR alone")
        found += part
    return bytes(found)
