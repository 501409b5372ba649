"""docs: does every command that a page shows do what the page says?

A ```sh block of a page is run, line by line, in one folder; `# exits N` is what a line is expected to end with. A named machine runs beside
what follows. Commands elsewhere, in README.md too, must be ones that the command line knows, with options that it has.

What is a matter of the machine is not taken from the page: the port is a free one, and a slow host may take as long as it likes.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from gnomon.cli.main import app
from gnomon.cli.warming import machine_class

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```sh(?: title=\"[^\"]*\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXITS = re.compile(r"\s+# exits (\d+)$")
STAYS = re.compile(r"gnomon (?:run|receive) .*--name (?P<name>\S+)")
LONG = 600.0
"""Seconds that no line takes, however busy the machine is."""


def runnable(page):
    return [lines.splitlines() for lines in BLOCK.findall((ROOT / page).read_text())]


def shown(page):
    """Lines in code blocks, fenced or indented, that begin with `gnomon`; several in one line stand between ` · `."""
    for line in (ROOT / page).read_text().splitlines():
        match = re.fullmatch(r"(?: {4}|(?=\$ gnomon |gnomon ))(?:\$ )?(gnomon [a-z].*)", line)
        if match and not re.match(r"gnomon: |gnomon (is|has|needs) ", match[1]):
            yield from _one_by_one(re.split(r"\s{2,}", EXITS.sub("", match[1]))[0])


def _one_by_one(text):
    for part in text.split(" · "):
        yield part if part.startswith("gnomon ") else f"gnomon {part}"


SHOWN = [(page, line) for page in PAGES for line in shown(page)]


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=lambda value: str(value))
def test_does_the_command_line_know_what_the_page_shows(page, line):
    plain = re.sub(r"\$\(.*\)", "X", line).replace("[", "").replace("]", "").replace("…", "X")
    try:
        app.parse_args(shlex.split(plain)[1:], exit_on_error=False, print_error=False)
    except MissingArgumentError:
        pass  # a list of commands does not show what each takes
    except CycloptsError as error:
        pytest.fail(f"{page} shows `{line}`: {error}")


def without_a_clock(line, port):
    """The line with this port, and with a patience and a downtime that do not depend on how fast the machine is."""
    line = re.sub(r"127\.0\.0\.1:7000", f"127.0.0.1:{port} --timeout {LONG:g}s", line)
    return re.sub(r"--max-downtime \S+", f"--max-downtime {LONG:g}s", line)


@pytest.fixture
def shell(tmp_path):
    """A folder with its own control sockets and a `gnomon` that is this checkout's."""
    machine_class()  # compile once, and not while somebody waits for a machine to run
    place = tmp_path / "bin"
    place.mkdir()
    (place / "gnomon").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gnomon.cli "$@"\n')
    (place / "gnomon").chmod(0o755)
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "work").mkdir()
    made = Shell(tmp_path, {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(tmp_path / "run")})
    yield made
    made.close()


class Shell:
    """Runs lines; keeps those that stay, and ends them."""

    def __init__(self, place, environment):
        self.place, self.environment = place, {**environment, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.beside: list[subprocess.Popen] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def run(self, line, code):
        if line.startswith("gnomon top"):
            return self.look(line)
        done = subprocess.run(["bash", "-c", line], cwd=self.place / "work", env=self.environment, capture_output=True, timeout=LONG)
        assert done.returncode == code, f"{line}: {done.stdout.decode()[-1500:]}{done.stderr.decode()[-1500:]}"

    def stay(self, line, name):
        """Start it, and wait until the machine of that name is there."""
        with open(self.place / f"{name}.log", "wb") as log:
            self.beside.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {line}"],
                    cwd=self.place / "work",
                    env=self.environment,
                    stdin=subprocess.PIPE,  # and nobody types: a guest that waits for a key goes on until it is stopped
                    stdout=log,
                    stderr=log,
                )
            )
        end = time.monotonic() + LONG
        wanted = "waiting" if "receive" in line else "running"
        while (state := self.state(name)) != wanted:
            assert self.beside[-1].poll() is None and time.monotonic() < end, (
                f"{line}: {state} {(self.place / f'{name}.log').read_text()[-1500:]}"
            )
            time.sleep(0.2)

    def state(self, name):
        listed = subprocess.run(["bash", "-c", "gnomon ps"], env=self.environment, capture_output=True, timeout=LONG).stdout.decode()
        found = re.search(rf"^{name} +\d+ +(\w+)", listed, re.MULTILINE)
        return found[1] if found else None

    def look(self, line):
        """In a terminal, until it has drawn the harts; then q."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe("bash", ["bash", "-c", f"stty cols 80 rows 24; exec {line}"], self.environment)
        seen, end = b"", time.monotonic() + LONG
        while b"MIPS" not in seen:
            assert time.monotonic() < end, seen[-2000:]
            if select.select([fd], [], [], 0.5)[0]:
                seen += os.read(fd, 65536)
        os.write(fd, b"q")
        try:
            while os.read(fd, 65536):
                pass
        except OSError:
            pass  # the other side is closed
        os.close(fd)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def close(self):
        for process in self.beside:
            process.send_signal(signal.SIGINT)
        for process in self.beside:
            process.wait(LONG)
            process.stdin.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=str)
def test_does_the_page_do_what_it_shows(shell, page):
    for lines in runnable(page):
        for line in lines:
            expected = EXITS.search(line)
            command = without_a_clock(EXITS.sub("", line), shell.port)
            stays = STAYS.match(command)
            if stays:
                shell.stay(command, stays["name"])
            elif command:
                shell.run(command, int(expected[1]) if expected else 0)


def test_is_there_something_to_run():
    assert len([page for page in PAGES if runnable(page)]) >= 6 and len(SHOWN) > 40
