"""The rig of the migration tests: a proxy that knows frames, and two machines with it between them.

Nothing here depends on how fast the machine is. A guest goes on until a key is typed into it, whoever waits does so for LONG, a pause may
be as long as it gets, and a phase that a test needs is brought about: by the number of rounds, or by a proxy that holds a frame."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from unittest import mock

from fake_machine import Machine

from gnomon import guests
from gnomon.migrate import Options, Receiver, migrate, rounds, source, wire
from gnomon.migrate.wire import Type

ELF = Path(guests.path("dirty"))
FORWARD, BACK = "forward", "back"
LONG = 240.0
"""Seconds that nothing here takes, however busy the machine is: who waits as long has met a fault."""

FOREVER = "pages=200 keys=1 rate=2000"
"""A guest that goes on until finishes() types a key."""

NO_DOWNTIME = 1e-9
"""No pause is that short: rounds follow each other, at least nine before the migration is given up."""

TO_DESTINATION = (Type.HELLO, Type.PAGES, Type.ROUND_END, Type.STATE, Type.FINISH, Type.COMMIT, Type.RELEASE)
TO_SOURCE = (Type.WELCOME, Type.ROUND_DONE, Type.PREPARED, Type.ACK, Type.STARTED)
FRAMES = [(FORWARD, kind) for kind in TO_DESTINATION] + [(BACK, kind) for kind in TO_SOURCE]
BEFORE_COMMIT = [f for f in FRAMES if f[1] not in (Type.COMMIT, Type.ACK, Type.RELEASE, Type.STARTED)]


class Proxy:
    """Passes frames on. For the nth frame of a kind in a direction it calls `act(header + body)`, which returns what to send instead:
    bytes, or None to cut the connection. `hold` as act keeps the frame back until release(), or the end."""

    def __init__(self, target: str, *, direction: str = FORWARD, kind: Type | None = None, nth: int = 1, act: Callable | None = None):
        self._target, self._direction, self._kind, self._nth, self._act = target, direction, kind, nth, act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.met = threading.Event()
        self._released = threading.Event()
        self._over = False
        self.seen: list[tuple[str, Type]] = []
        self.recorded = bytearray()
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() alone does not
        self._listener.close()
        self.release()
        self._over = True
        self.cut()
        self._thread.join(LONG)

    def release(self):
        self._released.set()

    def cut(self):
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        host, _, port = self._target.rpartition(":")
        with near, suppress(OSError), socket.create_connection((host, int(port))) as far:
            self._ends += [near, far]
            for end in self._ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._over:
                return
            ways = [threading.Thread(target=self._pass_on, args=way, daemon=True) for way in ((FORWARD, near, far), (BACK, far, near))]
            for way in ways:
                way.start()
            for way in ways:
                way.join()
        # closed, as at a process's death: who still sends hears of it at once, where shutdown() leaves him with a full buffer

    def _pass_on(self, direction: str, source: socket.socket, sink: socket.socket):
        count = 0
        try:
            data = read(source, wire.PREAMBLE.size)
            if direction == FORWARD:
                self.recorded += data
            sink.sendall(data)
            while True:
                header = read(source, wire.HEADER.size)
                kind, _, length = struct.unpack_from("<HHI", header)
                data = header + read(source, length)
                self.seen.append((direction, Type(kind)))
                if direction == FORWARD:
                    self.recorded += data
                if direction == self._direction and kind == self._kind:
                    count += 1
                    if count == self._nth:
                        self.met.set()
                        if self._act is hold:
                            self._released.wait()
                        data = self._act(data)
                        if data is None:
                            return self.cut()
                sink.sendall(data)
        except (OSError, EOFError):
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def hold(data):
    """For a proxy to act: what it passes on at last."""
    return data


def read(source: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        got = source.recv(min(size - len(found), 1 << 20))
        if not got:
            raise EOFError
        found += got
    return bytes(found)


class Pair:
    """A running machine here, a receiver there."""

    def __init__(self, *, memory=16 << 20, harts=2, timeout=LONG, args=FOREVER):
        self.timeout = timeout
        self.source = Machine(memory, harts, name="vm1").load(ELF, bootargs=args)
        self.receiver = Receiver("127.0.0.1:0", machine=self._make, timeout=timeout)
        self.made: Machine | None = None
        self.arrival = None
        self.failure = None
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _make(self, memory, harts, **options):
        self.made = Machine(memory, harts, **options)
        return self.made

    def _receive(self):
        try:
            self.arrival = self.receiver.receive()
        except Exception as error:
            self.failure = error

    def __enter__(self):
        self.source.start()
        pages = self.source._state["args"]["pages"]
        while self.source.exit_code is None and self.source.touched.sum() < pages // 2:
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self.receiver._cancel.set()
        self._thread.join(LONG)
        self.receiver.close()
        for machine in (self.source, self.made):
            if machine:
                machine.stop()

    def migrate(self, address: str | None = None, *, after: int | None = None, progress=None, cancel=None, **options):
        """Give the guest away: after so many rounds, or as soon as `max_downtime` allows, which is at once where it is not said."""
        options = Options(**{"timeout": self.timeout, "max_downtime": LONG, **options})
        deciding = mock.patch.object(source, "Convergence", lambda *_: Exactly(after)) if after else nullcontext()
        with deciding:
            return migrate(self.source, address or self.receiver.address, options=options, progress=progress, cancel=cancel)

    def received(self):
        """What the destination says, once it has said it."""
        self._thread.join(LONG)
        assert not self._thread.is_alive()
        return self.failure or self.arrival

    @property
    def both_run(self):
        return self.source.running and self.made is not None and self.made.running


class Exactly(rounds.Convergence):
    """Lets the guest run for so many rounds, whatever they take."""

    def __init__(self, count: int):
        super().__init__(LONG)
        self._count = count

    def after_round(self, number, dirty):
        return rounds.Verdict("finish" if number >= self._count else "copy", self.estimate(dirty), self.throttle)


def goes_on(machine) -> bool:
    """Whether both its harts write on, and find every page as they left it."""
    harts = machine._state["harts"]
    before, end = [hart["next"] for hart in harts], time.monotonic() + LONG
    while any(hart["next"] <= was for hart, was in zip(harts, before, strict=True)) and time.monotonic() < end:
        time.sleep(0.002)
    return all(hart["next"] > was for hart, was in zip(harts, before, strict=True)) and machine.wrong_pages() == []


def finishes(machine) -> int | None:
    """Type a key, which ends the guest; returns the exit code of its own check."""
    machine.send_console(b"\n")
    return machine.wait(LONG)
