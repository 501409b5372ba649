"""The rig of the command line tests: real processes, with their own folder of control sockets.

Nothing here depends on how fast the machine is: a guest goes on until finish() types a key into its process, whoever waits does so for
LONG, and a migration that must be seen under way is held there, by a proxy or by a link that carries nothing."""

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
LONG = 240.0
"""Seconds that nothing here takes, however busy the machine is: who waits as long has met a fault."""

PATIENT = ("--timeout", "240s")
"""For receive and migrate: a peer that is slow is not one that stalls."""

AT_ONCE = (*PATIENT, "--max-downtime", "240s")
"""For migrate: one round, then the pause, however long that gets."""

FOREVER = "pages=200 keys=1 rate=1000"
BUSY = "pages=1500 keys=1 rate=20000"
NEVER = (*PATIENT, "--bandwidth", "64K", "--max-downtime", "1ms")
"""For migrate: a page of a busy guest takes 62 ms of such a link, so no pause is short enough, and nine rounds take many minutes."""


class Gnomon:
    """A folder of sockets and the processes of one test; those still alive at the end are killed."""

    def __init__(self, runtime: Path, command=FAKE):
        self.command = command
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "PYTHONUNBUFFERED": "1"}
        self.environment.pop("NO_COLOR", None)
        self.environment.pop("FORCE_COLOR", None)
        self.processes: list[Process] = []

    def __call__(self, *words: str, stdin: bytes | None = None, timeout: float = LONG, **environment: str) -> subprocess.CompletedProcess:
        """Run one command to its end."""
        return subprocess.run(
            [*self.command, *words],
            input=stdin or b"",
            capture_output=True,
            timeout=timeout,
            env={**self.environment, **environment},
        )

    def start(self, *words: str) -> Process:
        process = Process([*self.command, *words], self.environment)
        self.processes.append(process)
        return process

    def run(self, name: str, *more: str, append: str = FOREVER, harts: int = 2) -> Process:
        """A guest that runs, and has written something."""
        process = self.start("run", "dirty", "--harts", str(harts), "--memory", "16M", "--name", name, "--append", append, "--json", *more)
        process.until("console")
        return process

    def receive(self, *more: str) -> tuple[Process, str]:
        """A receiver, and its address."""
        process = self.start("receive", "127.0.0.1:0", "--json", *PATIENT, *more)
        return process, process.until("listening")["address"]

    def states(self) -> dict[str, str]:
        return {m["name"]: m["state"] for m in msgspec.json.decode(self("ps", "--json").stdout)}

    def stats(self, name: str) -> dict:
        return msgspec.json.decode(self("stats", name, "--json").stdout)

    def close(self):
        for process in self.processes:
            process.close()


def until(condition, what="it"):
    """Wait for a condition."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, f"{what} does not come"
        time.sleep(0.02)


class Process:
    def __init__(self, command, environment):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self.pid = self._process.pid
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

    def says(self, text: str, within: float = LONG) -> str:
        """Wait until stderr or stdout contains `text`; returns both."""
        wanted = text.encode()
        with self._changed:
            met = self._changed.wait_for(lambda: wanted in self.err or wanted in self.out, within)
        assert met, f"never said {text!r}: {self.out.decode()[-500:]!r} {self.err.decode()!r}"
        return (self.out + self.err).decode()

    def events(self) -> list[dict]:
        whole = bytes(self.out).rpartition(b"\n")[0]
        return [msgspec.json.decode(line) for line in whole.split(b"\n") if line]

    def until(self, event: str) -> dict:
        """Wait for the first event of that name."""
        with self._changed:
            met = self._changed.wait_for(lambda: next((e for e in self.events() if e["event"] == event), None), LONG)
        assert met, f"no event {event!r}: {self.out.decode()[-500:]!r} {self.err.decode()!r}"
        return met

    def text(self) -> str:
        """What the guest printed, from a stream of events."""
        return "".join(e.get("text", "") for e in self.events())

    def signal(self, number: int):
        self._process.send_signal(number)

    def kill(self):
        """kill -9, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def type(self, text: str = "\n"):
        """Into the guest's console."""
        os.write(self._process.stdin.fileno(), text.encode())

    def finish(self) -> int:
        """Tell a guest that goes on FOREVER to end; returns the exit code of its own check."""
        self.type()
        return self.end()

    def end(self) -> int:
        """Its exit code, when it is over and all it said was read."""
        code = self._process.wait(LONG)
        for thread in self._threads:
            thread.join(LONG)
        return code

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self):
        if self.alive:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(LONG)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
