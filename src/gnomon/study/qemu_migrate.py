"""qemu_migrate: QEMU's own live migration of the same guest, as a peer: two processes, loopback TCP, driven over QMP."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from gnomon.errors import GnomonError
from gnomon.study.qemu import PROGRAM

PATIENCE = 60.0
BANDWIDTH = 100 << 30
"""Bytes a second that QEMU may send: more than the loopback can."""


@dataclass(frozen=True)
class Moved:
    """What QEMU says of a migration that is over: seconds, seconds, bytes a second."""

    downtime: float
    seconds: float
    rate: float


class Qmp:
    """A QEMU's monitor. Raises GnomonError where it says no."""

    def __init__(self, path: Path):
        limit = time.monotonic() + PATIENCE
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                if time.monotonic() > limit:
                    raise GnomonError(f"QEMU's monitor does not answer: {error.strerror}") from None
                time.sleep(0.02)
        self._socket.settimeout(PATIENCE)
        self._file = self._socket.makefile("rw")
        self._file.readline()
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments) -> dict:
        """The answer of a command; events in between are passed over."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        while line := self._file.readline():
            said = json.loads(line)
            if "error" in said:
                raise GnomonError(f"QEMU refuses {command}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]
        raise GnomonError(f"QEMU ended at {command}")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def migrate(elf: Path, harts: int, memory: str, bootargs: str, settle: float, max_downtime: float) -> Moved:
    """Run the guest for `settle` seconds, then move it. Raises GnomonError where QEMU is not there or the migration fails."""
    if not shutil.which(PROGRAM):
        raise GnomonError("not installed")
    with tempfile.TemporaryDirectory(prefix="gnomon-qemu-") as folder, ExitStack() as stack:
        place = Path(folder)
        address = f"tcp:127.0.0.1:{_free_port()}"
        there = _start(stack, elf, harts, memory, bootargs, place / "there", "-incoming", address)
        here = _start(stack, elf, harts, memory, bootargs, place / "here")
        time.sleep(settle)
        here.do("migrate-set-parameters", **{"downtime-limit": int(max_downtime * 1e3), "max-bandwidth": BANDWIDTH})
        there.do("query-status")
        here.do("migrate", uri=address)
        limit = time.monotonic() + PATIENCE
        while (found := here.do("query-migrate"))["status"] not in ("completed", "failed", "cancelled"):
            if time.monotonic() > limit:
                raise GnomonError(f"the migration did not end within {PATIENCE:g} s")
            time.sleep(0.01)
        if found["status"] != "completed":
            raise GnomonError(f"the migration {found['status']}: {found.get('error-desc', 'QEMU does not say why')}")
        return Moved(found["downtime"] / 1e3, found["total-time"] / 1e3, found["ram"]["mbps"] * 1e6 / 8)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _start(stack: ExitStack, elf: Path, harts: int, memory: str, bootargs: str, monitor: Path, *more: str) -> Qmp:
    words = [PROGRAM, "-M", "virt", "-m", memory, "-smp", str(harts), "-bios", "none", "-display", "none", "-serial", "null"]
    words += ["-kernel", str(elf), "-append", bootargs, "-qmp", f"unix:{monitor},server=on,wait=off", *more]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.kill()
        with suppress(OSError):
            process.wait()

    stack.callback(end)
    qmp = Qmp(monitor)
    stack.callback(qmp.close)
    return qmp
