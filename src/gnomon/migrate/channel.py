"""channel: frames over one TCP connection. Every operation has a timeout, and a deadline can bound several at once.

Guarantees H1  no send or receive waits longer than `timeout` without progress, nor past `deadline` at all
           H2  a frame that could not be sent whole was surely not received: send() raising an OSError-born error says so
           H3  nothing is allocated for a frame before its header is right (wire.W1)
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import contextmanager, suppress

from gnomon.errors import GnomonError
from gnomon.migrate import wire
from gnomon.migrate.wire import Header, Type, WireError

TIMEOUT = 10.0


class Lost(GnomonError):
    """The connection is broken, or the peer stalls."""


class Refused(GnomonError):
    """The peer said ABORT."""


def parse_address(text: str) -> tuple[str, int]:
    """HOST and PORT of 'HOST:PORT', '[::1]:7000'."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise GnomonError(f"an address is HOST:PORT, and this is not: {text!r}", "such as 127.0.0.1:7000", exit_code=2)
    return host, int(port)


def show_address(address: tuple) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(text: str, *, listening: bool = False):
    host, port = parse_address(text)
    flags = socket.AI_PASSIVE if listening else 0
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise GnomonError(f"host {host!r} cannot be found: {reason}") from None


def connect(address: str, timeout: float = TIMEOUT) -> Channel:
    """Connect to a receiver."""
    failure: OSError | None = None
    for family, kind, protocol, _, place in _resolve(address):
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(timeout)
        try:
            sock.connect(place)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return Channel(sock, timeout, address)
    if isinstance(failure, TimeoutError):
        raise Lost(f"{address} does not answer within {timeout:g} s")
    if isinstance(failure, ConnectionRefusedError):
        raise Lost(f"nobody listens on {address}: {failure.strerror}", f"start a receiver there first: gnomon receive {address}")
    raise Lost(f"{address} cannot be reached: {failure.strerror if failure else 'no address'}")


def listen(address: str) -> socket.socket:
    """A listening socket on `address`; port 0 takes any free one."""
    family, kind, protocol, _, place = _resolve(address, listening=True)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(1)
    except OSError as error:
        sock.close()
        raise GnomonError(f"cannot listen on {address}: {error.strerror}", "take another port, or port 0 for any free one") from None
    return sock


class Channel:
    """One end of a migration connection."""

    def __init__(self, sock: socket.socket, timeout: float, peer: str):
        self.peer = peer
        self.timeout = timeout
        self.deadline: float | None = None
        self.sent_bytes = 0
        self._sock = sock
        self._next_out = 0
        self._next_in = 0
        self._cut = False
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._sock.close()

    def cut(self) -> None:
        """End the connection under an operation of another thread."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @contextmanager
    def within(self, seconds: float):
        """All operations inside are over after `seconds`, however slowly the peer trickles."""
        self.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = None

    def _arm(self, doing: str) -> None:
        left = self.timeout
        if self.deadline is not None:
            left = min(left, self.deadline - time.monotonic())
            if left <= 0:
                raise Lost(f"{self.peer} is too slow: {doing} was not over before the pause had to end")
        self._sock.settimeout(left)

    def _late(self, did: str) -> Lost:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return Lost(f"{self.peer} is too slow: it {did} too little before the pause had to end")
        return Lost(f"{self.peer} stalls: it {did} nothing for {self.timeout:g} s")

    # Sending

    def send_preamble(self) -> None:
        self._write([memoryview(wire.preamble())], "the preamble")

    def send(self, kind: Type, message=None) -> None:
        """Send a control frame; `message` is one of wire's, bytes, or nothing."""
        body = b"" if message is None else message if isinstance(message, bytes) else wire.encode(message)
        if len(body) > wire.LIMITS.get(kind, wire.CONTROL_LIMIT):
            raise WireError(
                f"a {kind.name} frame of {len(body)} bytes is longer than its limit: {wire.LIMITS.get(kind, wire.CONTROL_LIMIT)}"
            )
        self._send(kind, 0, body, None)

    def send_pages(self, index: bytes, data, flags: int = 0) -> None:
        self._send(Type.PAGES, flags, index, data)

    def _send(self, kind: Type, flags: int, head: bytes, data) -> None:
        size = len(head) + (len(data) if data is not None else 0)
        header = wire.pack_header(kind, flags, size, head, self._next_out)
        parts = [memoryview(header + head)]
        if data is not None and len(data):
            parts.append(memoryview(data))
        self._next_out += 1
        self._write(parts, f"a {kind.name} frame")

    def _write(self, parts: list[memoryview], what: str) -> None:
        whole = False
        try:
            while parts:
                self._arm(f"sending {what}")
                sent = self._sock.sendmsg(parts)
                self.sent_bytes += sent
                while parts and sent >= len(parts[0]):
                    sent -= len(parts.pop(0))
                if parts and sent:
                    parts[0] = parts[0][sent:]
            whole = True
        except TimeoutError:
            raise self._late("took") from None
        except OSError as error:
            raise Lost(f"the connection to {self.peer} broke: {error.strerror or error}") from None
        finally:
            self._cut = self._cut or not whole

    # Receiving

    def receive_preamble(self) -> None:
        found = bytearray(wire.PREAMBLE.size)
        self._read(memoryview(found), "the preamble")
        wire.check_preamble(bytes(found), self.peer)

    def header(self) -> Header:
        """The next frame's header; an ABORT is read whole and raised as Refused."""
        found = bytearray(wire.HEADER.size)
        self._read(memoryview(found), "a frame")
        header = wire.unpack_header(found, self._next_in)
        self._next_in += 1
        if header.kind is Type.ABORT:
            reason = wire.decode(header.kind, self.head(header)).reason
            raise Refused("".join(c for c in reason if c.isprintable())[:1000])
        return header

    def head(self, header: Header) -> bytearray:
        """The summed part of the frame."""
        found = bytearray(header.head)
        self._read(memoryview(found), f"a {header.kind.name} frame")
        wire.check_head(header, found)
        return found

    def body(self, into: memoryview) -> None:
        self._read(into, "pages")

    def expect(self, *kinds: Type) -> tuple[Type, object]:
        """The next frame, which must be a control frame of one of `kinds`."""
        header = self.header()
        self.check_order(header, *kinds)
        body = self.head(header)
        return header.kind, bytes(body) if header.kind is Type.STATE else wire.decode(header.kind, body)

    def check_order(self, header: Header, *kinds: Type) -> None:
        if header.kind not in kinds:
            raise WireError(f"{self.peer} sent {header.kind.name} where {' or '.join(k.name for k in kinds)} belongs")

    def _read(self, into: memoryview, what: str) -> None:
        at, size = 0, len(into)
        try:
            while at < size:
                self._arm(f"receiving {what}")
                got = self._sock.recv_into(into[at:])
                if got == 0:
                    raise Lost(f"{self.peer} closed the connection {f'after {at} of {size} bytes of {what}' if at else 'too early'}")
                at += got
        except TimeoutError:
            raise self._late("sent") from None
        except OSError as error:
            raise Lost(f"the connection to {self.peer} broke: {error.strerror or error}") from None

    # Ends

    @property
    def readable(self) -> bool:
        """Whether something is there to read, or the peer is gone."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def check_peer(self) -> None:
        """Raise if the peer said ABORT or is gone; it has nothing else to say now."""
        if self.readable:
            header = self.header()
            raise WireError(f"{self.peer} sent {header.kind.name} where it has nothing to say")

    def explain(self, error: GnomonError) -> GnomonError:
        """Sending failed: the peer's own reason, where it managed to send one."""
        if not isinstance(error, Lost) or not self.readable:
            return error
        try:
            self.deadline = time.monotonic() + 0.5
            while True:
                header = self.header()
                self._read(memoryview(bytearray(header.length)), "a frame")
        except Refused as refusal:
            return refusal
        except (GnomonError, OSError):
            return error
        finally:
            self.deadline = None

    def abort(self, reason: str) -> None:
        """Tell the peer why this side gives up, if it still listens; then close without cutting off what was just said."""
        try:
            if not self._cut:
                self.deadline = time.monotonic() + 0.5
                self._send(Type.ABORT, 0, wire.encode(wire.Abort(reason[:1000])), None)
                self._sock.shutdown(socket.SHUT_WR)
                sink = memoryview(bytearray(1 << 20))
                while True:  # closing with unread bytes would reset the connection and lose the ABORT
                    self._arm("closing")
                    if self._sock.recv_into(sink) == 0:
                        break
        except (GnomonError, OSError):
            pass
        finally:
            self.deadline = None
            self.close()
