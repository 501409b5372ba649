"""process: another gnomon, its JSON events read as they come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

import msgspec

from gnomon.errors import GnomonError

COMMAND = (sys.executable, "-m", "gnomon.cli")
PATIENCE = 300.0


class Process:
    """`gnomon WORDS --json`. As a context manager it is over at the end of the block, whatever happens."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*COMMAND, *words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **(environment or {})},
        )
        self._said: list[str] = []
        self._hurry = threading.Timer(PATIENCE, self._process.kill)
        self._hurry.daemon = True
        self._hurry.start()
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self._said.append(line.decode(errors="replace").strip())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        self._hurry.cancel()
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._errors.join(1)
        self._process.stdout.close()
        self._process.stderr.close()

    def until(self, event: str) -> dict:
        """The next event of that name. Raises GnomonError if the process ends before it says so."""
        for line in self._process.stdout:
            found = msgspec.json.decode(line)
            if found["event"] == event:
                return found
        code = self._process.wait()
        self._errors.join(1)
        said = "; ".join(filter(None, self._said)) or "nothing"
        raise GnomonError(f"a gnomon process ended with exit code {code} before {event!r}; it said: {said}")

    def end(self) -> int:
        """Its exit code, once it ends by itself."""
        for _ in self._process.stdout:
            pass
        return self._process.wait()
