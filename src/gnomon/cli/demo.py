"""demo: the whole story in two real processes. A receiver, a two-hart guest that never stops writing, a live migration between them.

It fails, and says where, unless every part is right: the guest's own check of every page, both sides' hash of all memory, exit code 0.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gnomon.cli import control, say, units
from gnomon.cli.migrate import shown_rounds, table
from gnomon.cli.run import find
from gnomon.cli.warming import machine_class
from gnomon.errors import GnomonError

GNOMON = (sys.executable, "-m", "gnomon.cli")
HARTS = 2
PATIENCE = 300.0
"""Seconds that any step may take before the demo says which one hangs."""


def demo(
    *,
    memory: Annotated[str, Parameter(help="The guest's RAM.")] = "128M",
    dirty: Annotated[int, Parameter(help="MB that each hart dirties a second.")] = 50,
    seconds: Annotated[int, Parameter(help="How long the guest writes, if the migration is over by then.")] = 4,
    max_downtime: Annotated[str, Parameter(help="How long the guest may stand still.")] = "50ms",
    json: Annotated[bool, Parameter(help="The report as one JSON document.")] = False,
) -> int:
    """Watch a guest move between two processes while both its harts write memory."""
    size = units.memory(memory)
    pages = size // 4096 * 3 // 8 // 1024 * 1024 or size // 4096 // 8  # a hart's share; the rest is the guest's own tables
    if not 1 <= seconds <= 600 or not 0 <= dirty <= 10000:
        raise GnomonError("the demo lasts 1 to 600 seconds and dirties 0 to 10000 MB a second", exit_code=2)
    units.duration(max_downtime, "the greatest downtime", least=1e-3)
    machine_class()  # compile here, once, with progress
    elf = find("dirty")
    source, destination = f"demo-{os.getpid()}", f"demo-{os.getpid()}-moved"
    bootargs = f"pages={pages} rate={dirty} keys=1"  # it ends when it is told to, so no machine is too slow to move it before
    tell = (lambda _: None) if json else (lambda text: print(text, flush=True))
    began = time.perf_counter()
    with Part("destination", "receive", "127.0.0.1:0", "--name", destination, "--timeout", f"{PATIENCE}s", tell=tell) as there:
        address = there.until("listening")["address"]
        tell(f"destination  process {there.pid} waits on {address}")
        with Part(
            "source", "run", str(elf), "--harts", str(HARTS), "--memory", memory, "--name", source, "--append", bootargs, tell=tell
        ) as here:
            here.until("started")
            enough = time.monotonic() + seconds
            tell(f"source       process {here.pid} runs dirty.elf: {HARTS} harts, {memory}, each dirties {dirty} MB/s over {pages} pages")
            here.until("console", text="pages written")
            tell("")
            with shown_rounds() as show:
                options = {"max_downtime": units.duration(max_downtime), "timeout": PATIENCE}
                report = control.ask(source, "migrate", {"address": address, **options}, on_event=show)
            arrived = there.until("received")
            tell(table(report) + "\n")
            left = here.end()
        time.sleep(max(0.0, enough - time.monotonic()))
        there.type("\n")
        code = there.end()
    same = arrived["digest"] == report["digest"] and arrived["pages"] == report["pages"]
    wrong = [
        text
        for right, text in (
            (
                same,
                f"memory differs: {report['pages']} pages, xxh3 {report['digest']} and {arrived['pages']} pages, {arrived['digest']}",
            ),
            (left == 0, f"the source ended with exit code {left}"),
            (code == 0, f"the guest's own check failed at the destination: exit code {code}"),
        )
        if not right
    ]
    if json:
        say.json({**report, "exit_code": code, "holds": not wrong, "wrong": wrong, "total": time.perf_counter() - began})
    if wrong:
        raise GnomonError("; ".join(wrong))
    tell(f"\nthe guest finished where it had moved to, and found every page as it had left it: exit code {code}")
    return 0


class Part:
    """One of the two processes, its events read by a thread, its console told line by line."""

    def __init__(self, label: str, *words: str, tell):
        self._label, self._tell = label, tell
        self._events: queue.Queue = queue.Queue()
        self._line = ""
        self._process = subprocess.Popen(
            [*GNOMON, *words, "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._said: list[str] = []
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for reader in self._readers:
            reader.join(1)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def until(self, event: str, text: str = "") -> dict:
        """The next event of that name (whose text contains `text`)."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise GnomonError(f"the {self._label} did not come to {event!r} within {PATIENCE:g} s") from None
            if found is None:
                self._process.wait(PATIENCE)
                raise GnomonError(
                    f"the {self._label} ended with exit code {self._process.returncode} before {event!r}", " ".join(self._said) or None
                )
            if found["event"] == event and text in found.get("text", ""):
                return found

    def type(self, text: str) -> None:
        """Into the guest's console; without effect where the process has ended."""
        with suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), text.encode())

    def end(self) -> int:
        """Its exit code, when it is over."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise GnomonError(f"the {self._label} did not end within {PATIENCE:g} s") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def _read_events(self) -> None:
        for line in self._process.stdout:
            event = msgspec.json.decode(line)
            if event["event"] == "console":
                self._console(event["text"])
            self._events.put(event)
        self._events.put(None)

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self._said.append(line.decode(errors="replace").strip())

    def _console(self, text: str) -> None:
        *whole, self._line = (self._line + text.replace("\r", "")).split("\n")
        for line in whole:
            self._tell(f"{self._label:11}  | {line}")
