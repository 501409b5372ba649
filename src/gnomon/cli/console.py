"""console: the guest's serial line. What it writes goes to stdout, what comes on stdin goes to it.

Neither may hold up a vCPU: output is queued and written by a thread of its own, up to HELD bytes behind a reader who does not read.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import deque
from collections.abc import Callable

from gnomon.cli import say

HELD = 16 << 20
WAKE = 0.1


class Output:
    """The sink of a machine's console. In `json` mode every piece becomes one line {"event": "console", "text": …}."""

    def __init__(self, *, json: bool = False, fd: int = 1):
        self.broken = threading.Event()
        """Set when nobody reads stdout any more."""

        self._fd, self._json = fd, json
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._write_out, name="gnomon-console", daemon=True).start()

    def __call__(self, data: bytes) -> None:
        """Take bytes of the guest."""
        self._queue(say.json_line({"event": "console", "text": bytes(data).decode(errors="replace")}) if self._json else bytes(data))

    def event(self, name: str, /, **fields: object) -> None:
        """In `json` mode, say something else on the same stream."""
        if self._json:
            self._queue(say.json_line({"event": name, **fields}))

    def flush(self, timeout: float) -> None:
        """Wait until all is written; give up on a reader who has taken nothing for `timeout` seconds, not on a writer who is late."""
        with self._changed:
            while not self._changed.wait_for(lambda: not self._size or self.broken.is_set(), timeout):
                if not select.select([], [self._fd], [], 0)[1]:
                    return

    def _queue(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._size < HELD or self.broken.is_set())
            if data and not self.broken.is_set():
                self._pieces.append(data)
                self._size += len(data)
                self._changed.notify_all()

    def _write_out(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                taken = b"".join(self._pieces)
                self._pieces.clear()
            try:
                rest = memoryview(taken)
                while rest:
                    try:
                        rest = rest[os.write(self._fd, rest) :]
                    except BlockingIOError:
                        select.select([], [self._fd], [], WAKE)
            except OSError:
                self.broken.set()
            with self._changed:
                self._size = 0 if self.broken.is_set() else self._size - len(taken)
                self._changed.notify_all()


def feed(send: Callable[[bytes], None], fd: int = 0) -> None:
    """Pass stdin to the guest from a thread, while it is there to be read."""
    try:
        os.fstat(fd)
    except OSError:
        return
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background, reading a terminal fails instead of stopping the process

    def read_on():
        while True:
            try:
                ready, _, _ = select.select([fd], [], [], 1.0)
                data = os.read(fd, 4096) if ready else None
            except OSError:
                threading.Event().wait(0.5)
                continue
            if data == b"":
                return
            if data:
                try:
                    send(data)
                except Exception:
                    return

    threading.Thread(target=read_on, name="gnomon-stdin", daemon=True).start()
