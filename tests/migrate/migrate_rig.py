"""The rig of the migration tests: a proxy that knows frames, and two machines with it between them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fake_machine import Machine

from gnomon import guests
from gnomon.migrate import Options, Receiver, migrate, wire
from gnomon.migrate.wire import Type

ELF = Path(guests.path("dirty"))
FORWARD, BACK = "forward", "back"

TO_DESTINATION = (Type.HELLO, Type.PAGES, Type.ROUND_END, Type.STATE, Type.FINISH, Type.COMMIT, Type.RELEASE)
TO_SOURCE = (Type.WELCOME, Type.ROUND_DONE, Type.PREPARED, Type.ACK, Type.STARTED)
FRAMES = [(FORWARD, kind) for kind in TO_DESTINATION] + [(BACK, kind) for kind in TO_SOURCE]
BEFORE_COMMIT = [f for f in FRAMES if f[1] not in (Type.COMMIT, Type.ACK, Type.RELEASE, Type.STARTED)]


class Proxy:
    """Passes frames on. For the nth frame of a kind in a direction it calls `act(header + body)`, which returns what to send instead:
    bytes, or None to cut the connection."""

    def __init__(self, target: str, *, direction: str = FORWARD, kind: Type | None = None, nth: int = 1, act: Callable | None = None):
        self._target, self._direction, self._kind, self._nth, self._act = target, direction, kind, nth, act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.met = threading.Event()
        self.seen: list[tuple[str, Type]] = []
        self.recorded = bytearray()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()

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
        far = socket.create_connection((host, int(port)))
        self._ends += [near, far]
        for end in self._ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for way in ((FORWARD, near, far), (BACK, far, near)):
            self._threads.append(threading.Thread(target=self._pass_on, args=way, daemon=True))
            self._threads[-1].start()

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
                        data = self._act(data)
                        if data is None:
                            return self.cut()
                sink.sendall(data)
        except (OSError, EOFError):
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


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

    def __init__(self, *, memory=16 << 20, harts=2, timeout=1.0, args="pages=200 ms=600 rate=2000"):
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
        self._thread.join(5)
        self.receiver.close()
        for machine in (self.source, self.made):
            if machine:
                machine.stop()

    def migrate(self, address: str | None = None, *, progress=None, cancel=None, **options):
        return migrate(
            self.source,
            address or self.receiver.address,
            options=Options(**{"timeout": self.timeout, **options}),
            progress=progress,
            cancel=cancel,
        )

    def received(self):
        """What the destination says, once it has said it."""
        self._thread.join(5)
        assert not self._thread.is_alive()
        return self.failure or self.arrival

    @property
    def both_run(self):
        return self.source.running and self.made is not None and self.made.running


def goes_on(machine, within=2.0) -> bool:
    """Whether both its harts write on, and find every page as they left it."""
    harts = machine._state["harts"]
    before, end = [hart["next"] for hart in harts], time.monotonic() + within
    while any(hart["next"] <= was for hart, was in zip(harts, before, strict=True)) and time.monotonic() < end:
        time.sleep(0.002)
    return all(hart["next"] > was for hart, was in zip(harts, before, strict=True)) and machine.wrong_pages() == []


def finishes(machine, within=5.0) -> int | None:
    """The exit code of the guest's own check."""
    end = time.monotonic() + within
    while machine.exit_code is None and time.monotonic() < end:
        time.sleep(0.005)
    return machine.exit_code
