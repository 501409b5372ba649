"""control: a named machine answers on a UNIX socket. One request a connection: a JSON line in, JSON lines out, the last one `done`.

$XDG_RUNTIME_DIR/gnomon/NAME.sock, or /tmp/gnomon-UID/NAME.sock       mode 0700, ours or refused
NAME.lock beside it is held with flock() as long as the machine's process lives, so the kernel itself tells who is alive:
a socket whose lock can be taken belonged to a dead process, and is removed by whoever finds it.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from gnomon.errors import GnomonError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
PATH_LIMIT = 107
"""Bytes of a UNIX socket's path, by the kernel."""

REQUEST_LIMIT = 64 << 10
REQUEST_TIMEOUT = 5.0
LAST_ANSWERS = 5.0
"""Seconds that answers under way have when the machine ends: only a client who does not read needs them, or a host that is very busy."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    arguments: dict = {}


class Line(msgspec.Struct, omit_defaults=True):
    """An event on the way, or, where `done`, the result or the error."""

    done: bool = False
    event: object = None
    result: object = None
    error: str | None = None
    hint: str | None = None
    exit_code: int = 1


def directory() -> Path:
    """Where the sockets are, made if it is missing; refused if it belongs to someone else."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) / "gnomon" if runtime else Path(f"/tmp/gnomon-{os.getuid()}")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise GnomonError(
            f"control sockets cannot be kept in {place}: {error.strerror}", "set XDG_RUNTIME_DIR to a folder of yours"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise GnomonError(
            f"{place} must be a folder of yours that nobody else can enter: owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}",
            f"remove it, or chmod 700 {place}",
        )
    return place


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise GnomonError(
            f"not a name of a machine: {name!r}",
            "1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
            exit_code=2,
        )
    return name


class Claim:
    """The name, ours until close() or death."""

    def __init__(self, name: str):
        self.name = check_name(name)
        place = directory()
        self.path, self._lock_path = place / f"{name}.sock", place / f"{name}.lock"
        if len(os.fsencode(self.path)) > PATH_LIMIT:
            raise GnomonError(
                f"the path of the control socket has {len(os.fsencode(self.path))} bytes, more than {PATH_LIMIT}: {self.path}"
            )
        self._lock = _try_lock(self._lock_path)
        if self._lock is None:
            raise GnomonError(
                f"the name is taken by process {_owner(self._lock_path)}: {name}",
                "choose another with --name; gnomon ps shows those in use",
            )
        os.ftruncate(self._lock, 0)
        os.write(self._lock, str(os.getpid()).encode())
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        self._lock_path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def claim_free(name: str) -> Claim:
    """`name`, or where it is taken `name-2`, `name-3` …"""
    for n in range(1, 1000):
        try:
            return Claim(name if n == 1 else f"{name}-{n}")
        except GnomonError as error:
            if n == 999 or "taken" not in error.message:
                raise
    raise AssertionError


def _try_lock(path: Path) -> int | None:
    """A held lock on `path`, or None where another process holds it."""
    while True:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        with suppress(FileNotFoundError):
            if os.fstat(fd).st_ino == path.stat().st_ino:  # else its last holder removed it between our open and our lock
                return fd
        os.close(fd)


def _owner(path: Path) -> str:
    with suppress(OSError, ValueError):
        return str(int(path.read_text()))
    return "?"


class Server:
    """Answers requests: `handle(request, reply)` returns the result; `reply.event(…)` says something on the way."""

    def __init__(self, claim: Claim, handle: Callable[[Request, Reply], object]):
        self.claim = claim
        self._handle = handle
        self._busy = 0
        self._idle = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(claim.path))
        os.chmod(claim.path, 0o600)
        self._socket.listen(16)
        threading.Thread(target=self._accept, name="gnomon-control", daemon=True).start()

    def close(self) -> None:
        """End; requests that are being answered have LAST_ANSWERS seconds."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, LAST_ANSWERS)
        self.claim.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._idle:
                self._busy += 1
            threading.Thread(target=self._serve, args=(connection,), name="gnomon-request", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._answer(connection)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            reply = Reply(connection)
            try:
                connection.settimeout(REQUEST_TIMEOUT)
                line = _first_line(connection)
                try:
                    request = msgspec.json.decode(line, type=Request)
                except msgspec.DecodeError as error:
                    raise GnomonError(f"the request cannot be read: {error}", exit_code=2) from None
                reply.send(Line(done=True, result=self._handle(request, reply)))
            except GnomonError as error:
                reply.send(Line(done=True, error=error.message, hint=error.hint, exit_code=error.exit_code))
            except OSError:
                pass  # the client is gone
            except Exception as error:
                reply.send(Line(done=True, error=f"internal error: {type(error).__name__}: {error}"))


def _first_line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        got = connection.recv(4096)
        if not got or len(found) + len(got) > REQUEST_LIMIT:
            raise GnomonError(f"a request is one line of at most {REQUEST_LIMIT} bytes", exit_code=2)
        found += got
    return found


class Reply:
    """The way back to one client."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, line: Line) -> None:
        with suppress(OSError), self._lock:
            self._connection.sendall(msgspec.json.encode(line) + b"\n")

    def event(self, what: object) -> None:
        self.send(Line(event=what))

    @contextmanager
    def when_hung_up(self, do: Callable[[], None]) -> Iterator[None]:
        """Call `do` if the client goes away while the block runs."""
        self._connection.settimeout(None)
        over = threading.Event()

        def watch():
            with suppress(OSError):
                while self._connection.recv(4096):
                    pass
            if not over.is_set():
                do()

        threading.Thread(target=watch, name="gnomon-hangup", daemon=True).start()
        try:
            yield
        finally:
            over.set()


# The client's side ---------------------------------------------------------------------------------------------------------------


def ask(
    name: str,
    command: str,
    arguments: dict | None = None,
    *,
    on_event: Callable[[object], None] | None = None,
    timeout: float | None = None,
):
    """Ask the machine `name`; returns the result, raises the error it answered with."""
    check_name(name)
    path = directory() / f"{name}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(Request(command, arguments or {})) + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    answer = msgspec.json.decode(line, type=Line)
                    if answer.done:
                        if answer.error is not None:
                            raise GnomonError(answer.error, answer.hint, exit_code=answer.exit_code)
                        return answer.result
                    if on_event:
                        on_event(answer.event)
        except TimeoutError:
            raise GnomonError(f"machine {name} does not answer within {timeout:g} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            _remove_stale(name)
            known = names()
            raise GnomonError(
                f"no machine is named {name}",
                f"running now: {', '.join(known)}" if known else "none is running; gnomon run FILE --name NAME",
            ) from None
        except OSError as error:
            raise GnomonError(f"machine {name} cannot be asked: {error.strerror}") from None
    raise GnomonError(f"machine {name} ended before it answered")


def names() -> list[str]:
    """The machines of this user whose processes live."""
    found = sorted(path.stem for path in directory().glob("*.sock"))
    return [name for name in found if not _remove_stale(name)]


def _remove_stale(name: str) -> bool:
    """Remove what a dead process left; True if there was nobody."""
    place = directory()
    lock = _try_lock(place / f"{name}.lock")
    if lock is None:
        return False
    (place / f"{name}.sock").unlink(missing_ok=True)
    (place / f"{name}.lock").unlink(missing_ok=True)
    os.close(lock)
    return True
