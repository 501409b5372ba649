"""destination: take a guest over. Nothing is believed before it is checked, nothing runs before it is owned.

Owns       the machine it builds, until it hands it to the caller
Guarantees D1  no machine is built before the introduction is valid, and its memory fits this host
           D2  a page is written only after its frame passed every check (wire.W2); in any round, no other page changes
           D3  whatever goes wrong before COMMIT discards the machine and tells the source why
           D4  after COMMIT only RELEASE, or a person, starts a vCPU here, see handover.py
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

import msgspec
import numpy as np

import gnomon
from gnomon.errors import GnomonError
from gnomon.migrate import handover, wire
from gnomon.migrate.channel import TIMEOUT, Channel, Lost, Refused, listen, show_address
from gnomon.migrate.handover import Destination, Event
from gnomon.migrate.source import Cancelled
from gnomon.migrate.wire import BATCH, PAGE, Type, WireError

AHEAD = 4
"""Batches that may have arrived and are not written yet: memory that is touched for the first time stops the writer now and then."""

HARTS_MOST = 64
LEAST_SHADOW_PAGES = 64
"""Those of vm/machine.py, which is imported when a machine is made."""
"""A small guest may have that many, more than it has pages."""

WAKE = 0.1
"""Seconds between looks at `cancel` while nobody has connected."""


class Arrival(msgspec.Struct):
    """A guest that came here. `machine` is started if `running`, else it was paused at the source and waits for start()."""

    machine: object
    name: str
    peer: str
    running: bool
    rounds: int
    bytes: int
    pages: int
    digest: str
    seconds: float


class InDoubt(GnomonError):
    """COMMIT came, RELEASE did not: the guest is paused and whole here, in `arrival`."""

    def __init__(self, message: str, hint: str, side: handover.Side, arrival: Arrival):
        super().__init__(message, hint, exit_code=3)
        self.side = side
        self.arrival = arrival


def _default_machine(memory: int, harts: int, *, shadow_pages: int, name: str):
    from gnomon.vm.machine import Machine

    return Machine(memory, harts, shadow_pages=shadow_pages, name=name or None)


class Receiver:
    """Listens at once; `receive()` waits for one guest."""

    def __init__(
        self,
        address: str,
        *,
        machine: Callable = _default_machine,
        timeout: float = TIMEOUT,
        cancel: threading.Event | None = None,
    ):
        self._listener = listen(address)
        self.address = show_address(self._listener.getsockname())
        self._make = machine
        self._timeout = timeout
        self._cancel = cancel or threading.Event()

    def close(self) -> None:
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def receive(self) -> Arrival:
        """Wait for a source, take its guest over and start it.

        Raises destination.InDoubt with the guest paused and whole where the hand-over broke after COMMIT; after every other error
        nothing is left of it here."""
        sock, peer = self._accept()
        self.close()
        return Reception(Channel(sock, self._timeout, peer), self._make, self._cancel).run()

    def _accept(self) -> tuple[socket.socket, str]:
        self._listener.settimeout(WAKE)
        while not self._cancel.is_set():
            try:
                sock, place = self._listener.accept()
            except TimeoutError:
                continue
            return sock, show_address(place)
        raise Cancelled("nobody came before the receiver was told to stop")


class Reception:
    """One guest coming in."""

    def __init__(self, channel: Channel, make: Callable, cancel: threading.Event):
        self.channel = channel
        self.side = handover.destination()
        self.machine = None
        self._make = make
        self._cancel = cancel
        self._writer = ThreadPoolExecutor(1, "gnomon-write")
        self._writing: deque[Future] = deque()
        self._written: np.ndarray | None = None
        self._buffers = [np.empty(BATCH * PAGE, np.uint8) for _ in range(AHEAD)]
        self._turn = 0
        self._state_digest = ""
        self._rounds = 0
        self._bytes = 0

    def run(self) -> Arrival:
        began = time.perf_counter()
        channel, side = self.channel, self.side
        arrival = None
        try:
            hello = self._meet()
            self._copy()
            identity = self._prepare()
            arrival = Arrival(
                self.machine, hello.name, channel.peer, hello.running, self._rounds, self._bytes, identity.pages, identity.digest, 0.0
            )
            channel.expect(Type.COMMIT)
            side.on(Event.COMMIT)
            channel.send(Type.ACK)
            channel.expect(Type.RELEASE)
            side.on(Event.RELEASE)
            self._start(arrival)
        except BaseException as error:
            self._give_up(error, arrival)
            raise
        finally:
            self._writer.shutdown(wait=False)
        arrival.seconds = time.perf_counter() - began
        return arrival

    def _meet(self) -> wire.Hello:
        channel = self.channel
        channel.send_preamble()  # before judging theirs, so that a source of another version learns ours
        channel.receive_preamble()
        _, hello = channel.expect(Type.HELLO)
        self._judge(hello)
        try:
            self.machine = self._make(hello.memory, hello.harts, shadow_pages=hello.shadow_pages, name=hello.name)
        except (ValueError, MemoryError, OSError) as error:
            raise GnomonError(f"no machine can be made here for {hello.name or 'the guest'}: {error}") from None
        self._written = np.zeros(self.machine.pages, bool)
        channel.send(Type.WELCOME, wire.Welcome(hello.session, hello.name, gnomon.__version__))
        return hello

    def _judge(self, hello: wire.Hello) -> None:
        """Everything the introduction says is bounded before anything is built from it (D1)."""
        if len(hello.session) != 16:
            raise WireError(f"a session is named by 16 bytes, not by {len(hello.session)}")
        if hello.page != PAGE:
            raise WireError(f"the guest is sent in pages of {hello.page} bytes, and pages here are {PAGE}")
        if not 1 <= hello.harts <= HARTS_MOST:
            raise WireError(f"a guest has 1 to {HARTS_MOST} harts, and this one says {hello.harts}")
        if hello.memory <= 0 or hello.memory % PAGE:
            raise WireError(f"the memory of a guest is a multiple of {PAGE} bytes, and this one says {hello.memory}")
        host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if hello.memory > host:
            raise WireError(f"the guest has {hello.memory} bytes of memory and this host has {host}")
        most = max(LEAST_SHADOW_PAGES, hello.memory // PAGE)
        if not LEAST_SHADOW_PAGES <= hello.shadow_pages <= most:
            raise WireError(
                f"a guest of {hello.memory // PAGE} pages has {LEAST_SHADOW_PAGES} to {most} shadow pages, "
                f"and this one says {hello.shadow_pages}"
            )
        if len(hello.name) > 64 or not hello.name.isprintable():
            raise WireError(f"the name of a guest is at most 64 printable characters: {hello.name[:64]!r}")

    # Rounds

    def _copy(self) -> None:
        """Take rounds in until the state follows."""
        channel = self.channel
        pages = zero = 0
        after = -1
        while True:
            header = channel.header()
            channel.check_order(header, Type.PAGES, Type.ROUND_END, Type.STATE)
            if self._cancel.is_set():
                raise Cancelled("the receiver was told to stop")
            if header.kind is Type.PAGES:
                index = self._take(header, after)
                after = int(index.gfns[-1])
                pages, zero = pages + len(index.gfns), zero + int(index.zero.sum())
                continue
            body = channel.head(header)
            self._written_out()
            if header.kind is Type.STATE:
                self._check_state(bytes(body), pages)
                return
            said = wire.decode(header.kind, bytes(body))
            self._rounds += 1
            if said != wire.RoundEnd(self._rounds, pages, zero):
                raise WireError(
                    f"round {said.number} ends with {said.pages} pages, {said.zero} of them zero; "
                    f"what arrived is round {self._rounds} with {pages} and {zero}"
                )
            channel.send(Type.ROUND_DONE, wire.RoundDone(self._rounds))
            pages = zero = 0
            after = -1

    def _take(self, header: wire.Header, after: int) -> wire.Index:
        """Receive one batch; it is checked and written while the next ones come in."""
        channel = self.channel
        index = wire.unpack_index(header, memoryview(channel.head(header)), self.machine.pages, after)
        self._written_out(AHEAD - 1)
        buffer = memoryview(self._buffers[self._turn % AHEAD])[: header.length - header.head]
        self._turn += 1
        channel.body(buffer)
        self._bytes += wire.HEADER.size + header.length
        self._writing.append(self._writer.submit(self._write, header, index, buffer))
        return index

    def _write(self, header: wire.Header, index: wire.Index, data: memoryview) -> None:
        """Check a batch, then change the guest's memory by it (D2)."""
        if header.flags & wire.LZ4:
            data = wire.decompress(data, index.kept, index.packed_sum)
        wire.check_pages(index, data)
        carried = index.gfns[~index.zero]
        if len(carried):
            self.machine.write_pages(carried, data)
            self._written[carried] = True
        cleared = index.gfns[index.zero]
        cleared = cleared[self._written[cleared]]  # a page never written here is zero already, and stays unallocated
        if len(cleared):
            self.machine.clear_pages(cleared)

    def _written_out(self, but: int = 0) -> None:
        """Wait until all batches but so many are in the guest's memory."""
        while len(self._writing) > but:
            self._writing.popleft().result()

    def _check_state(self, state: bytes, pages: int) -> None:
        if pages or not self._rounds:
            raise WireError(f"the state comes after whole rounds, and this one comes after {self._rounds} and {pages} pages more")
        try:
            self.machine.set_state(state)
            self._state_digest = wire.state_digest(state)
        except ValueError as error:
            raise WireError(f"the state of the harts and devices is not valid: {error}") from None

    def _prepare(self) -> wire.Identity:
        """All is here: hash it, compare, say so."""
        ours = wire.Identity(*self.machine.ram_hash(), self._state_digest)
        _, theirs = self.channel.expect(Type.FINISH)
        if ours != theirs:
            raise WireError(
                f"memory or state differs after the copy: {theirs.pages} pages with xxh3 {theirs.digest} and {theirs.state} at the source, "
                f"{ours.pages} pages with {ours.digest} and {ours.state} here"
            )
        self.side.on(Event.FINISH)
        self.channel.send(Type.PREPARED, ours)
        return ours

    def _start(self, arrival: Arrival) -> None:
        if arrival.running:
            self.machine.start()
        with suppress(Lost):  # then it runs here all the same, and the source stays paused until a person discards it
            self.channel.send(Type.STARTED)
        self.channel.close()

    # When it fails

    def _give_up(self, error: BaseException, arrival: Arrival | None) -> None:
        side = self.side
        if side.state is Destination.ACCEPTED:
            side.on(Event.LOST)
            self.channel.close()
            raise self._in_doubt(error, arrival) from error
        wait(self._writing)
        if self.machine is not None:
            self.machine.stop()
        if side.state is Destination.OWNER:
            side.on(Event.DISCARD)  # it could not be started: the source is told below, and takes it back
        else:
            side.on(Event.REFUSED if isinstance(error, Refused) else Event.LOST)
        if isinstance(error, Refused):
            self.channel.close()
            raise Refused(f"{self.channel.peer} gave up sending: {error.message}", "what had arrived is discarded") from None
        if isinstance(error, Lost):
            self.channel.close()
            raise Lost(error.message, error.hint or "what had arrived is discarded") from None
        self.channel.abort(error.message if isinstance(error, GnomonError) else f"the destination failed: {type(error).__name__}")

    def _in_doubt(self, error: BaseException, arrival: Arrival) -> InDoubt:
        reason = error.message if isinstance(error, GnomonError) else type(error).__name__
        name = arrival.name or "the guest"
        return InDoubt(
            f"{arrival.peer} committed {name} and has not released it: {reason}; it may own it still, {name} stays paused and whole here",
            "look at the source: if it is paused there, discard it on one side and resume it on the other",
            self.side,
            arrival,
        )
