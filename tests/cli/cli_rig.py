"""The rig of the command line tests: real processes, with their own folder of control sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
for beside in ("migrate", "report"):
    sys.path.insert(0, str(HERE.parent / beside))

FAKE = (sys.executable, str(HERE / "fake_gnomon.py"))
REAL = (sys.executable, "-m", "gnomon.cli")
FOREVER = "pages=200 ms=60000 rate=1000"


class Gnomon:
    """A folder of sockets and the processes of one test; those still alive at the end are killed."""

    def __init__(self, runtime: Path, command=FAKE):
        self.command = command
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONUNBUFFERED": "1"}
        self.environment.pop("NO_COLOR", None)
        self.environment.pop("FORCE_COLOR", None)
        self.processes: list[Process] = []

    def __call__(self, *words: str, stdin: bytes | None = None, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess:
        """Run one command to its end."""
        return subprocess.run(
            [*self.command, *words],
            input=stdin or b"",
            capture_output=True,
            timeout=timeout,
            env={**self.environment, **environment},
        )

    def start(self, *words: str, stdin=subprocess.DEVNULL) -> Process:
        process = Process([*self.command, *words], self.environment, stdin)
        self.processes.append(process)
        return process

    def run(self, name: str, *more: str, append: str = FOREVER, harts: int = 2) -> Process:
        """A guest that runs, and has written something."""
        process = self.start("run", "dirty", "--harts", str(harts), "--memory", "16M", "--name", name, "--append", append, "--json", *more)
        process.until("console")
        return process

    def receive(self, *more: str) -> tuple[Process, str]:
        """A receiver, and its address."""
        process = self.start("receive", "127.0.0.1:0", "--json", "--timeout", "2s", *more)
        return process, process.until("listening")["address"]

    def lasting(self, ms: int) -> int:
        """`ms` for a guest that must not end before a few commands did; more where commands take long to start."""
        began = time.monotonic()
        self("ps")
        return max(ms, int(8000 * (time.monotonic() - began)))

    def states(self) -> dict[str, str]:
        return {m["name"]: m["state"] for m in msgspec.json.decode(self("ps", "--json").stdout)}

    def close(self):
        for process in self.processes:
            process.close()


class Process:
    def __init__(self, command, environment, stdin):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, env=environment)
        self.pid = self._process.pid
        self.stdin = self._process.stdin
        self.out, self.err = bytearray(), bytearray()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream, into: bytearray):
        while data := os.read(stream.fileno(), 65536):
            with self._changed:
                into += data
                self._changed.notify_all()

    def says(self, text: str, within: float = 20.0) -> str:
        """Wait until stderr or stdout contains `text`; returns both."""
        wanted = text.encode()
        with self._changed:
            met = self._changed.wait_for(lambda: wanted in self.err or wanted in self.out, within)
        assert met, f"never said {text!r}: {self.out.decode()[-500:]!r} {self.err.decode()!r}"
        return (self.out + self.err).decode()

    def events(self) -> list[dict]:
        whole = bytes(self.out).rpartition(b"\n")[0]
        return [msgspec.json.decode(line) for line in whole.split(b"\n") if line]

    def until(self, event: str, within: float = 20.0) -> dict:
        """Wait for the first event of that name."""
        self.says(f'"event":"{event}"', within)
        end = time.monotonic() + within
        while time.monotonic() < end:
            for found in self.events():
                if found["event"] == event:
                    return found
            time.sleep(0.01)
        raise AssertionError(event)

    def text(self) -> str:
        """What the guest printed, from a stream of events."""
        return "".join(e.get("text", "") for e in self.events())

    def signal(self, number: int):
        self._process.send_signal(number)

    def kill(self):
        """kill -9, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self, within: float = 20.0) -> int:
        code = self._process.wait(within)
        for thread in self._threads:
            thread.join(5)
        return code

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self):
        if self.alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
