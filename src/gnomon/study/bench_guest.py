"""Guest code: instructions a second of the `sort` guest on one hart, two, and up to one a processor, beside QEMU on the same ELF.

Timed      by the guest itself: from before the sorts to after the last hart's, in its last line. Loading and start-up are not in it
How        instructions are Gnomon's instret, which counts exactly those that retired. Best of REPEATS, after one that does not count.
           Each hart sorts arrays of its own
CPU time   the same runs' instructions over the CPU seconds of the process: what remains of a figure when others use the machine, too
Peer       the same ELF, harts and memory under qemu-system-riscv64. QEMU's own instret counts host time, so its rate is Gnomon's
           instructions over QEMU's time; that both did the same work is checked by the guest's checksum
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator

from gnomon import guests
from gnomon.errors import GnomonError
from gnomon.study import qemu
from gnomon.study.row import MORE, against, missing, row
from gnomon.vm.machine import Machine

BENCH = "guest"
UNIT = "M instructions/s"
MEMORY = 128 << 20
REPEATS = 3
ROUNDS, WARM_ROUNDS = 6, 1
_PASS = re.compile(r"PASS sort harts=(\d+) .*instret=(\d+) ms=(\d+) checksum=(\w+)")


def hart_counts(processors: int) -> list[int]:
    """How many harts are measured: 1 and 2, then twice as many each time, and at last as many as there are processors."""
    return sorted({1, 2, processors} | {1 << n for n in range(processors.bit_length()) if 1 << n <= processors})


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    peers = []
    for harts in hart_counts(os.cpu_count() or 1):
        found = measure(harts, tell)
        peer = qemu_row(found, tell)
        peers.append(peer)
        if harts == 1:
            alone = row(BENCH, "1 hart", found.rate, UNIT, target=">= 80")
            alone_by_cpu = row(BENCH, "1 hart, by CPU time", found.cpu_rate, UNIT)
            yield against(alone, peer, better=MORE)
            yield alone_by_cpu
            continue
        together = row(BENCH, f"{harts} harts together", found.rate, UNIT)
        yield row(BENCH, f"{harts} harts, each", found.rate / harts, UNIT, target=">= 80" if harts == 2 else "")
        yield against(together, alone, better=MORE, target="ratio >= 1.8" if harts == 2 else "")
        yield against(together, peer, better=MORE)
        yield against(row(BENCH, f"{harts} harts together, by CPU time", harts * found.cpu_rate, UNIT), alone_by_cpu, better=MORE)
    yield from peers


class Run:
    """The guest's last line."""

    def __init__(self, console: str, cpu_seconds: float = 1.0):
        found = _PASS.search(console)
        if not found:
            raise GnomonError(f"the sort guest did not pass: {console.strip().splitlines()[-1:]}")
        self.harts, self.instructions, self.ms = map(int, found.groups()[:3])
        self.checksum = found[4]
        self.rate = self.instructions / max(1, self.ms) / 1e3
        self.cpu_rate = self.instructions / cpu_seconds / 1e6


def run(harts: int, rounds: int) -> Run:
    """The guest, once, on Gnomon."""
    said = bytearray()
    with Machine(MEMORY, harts, console=said.extend) as machine:
        machine.load(guests.path("sort"), bootargs=f"rounds={rounds}")
        began = time.process_time()
        machine.start().wait()
        spent = time.process_time() - began
    return Run(said.decode(), spent)


def measure(harts: int, tell) -> Run:
    """The best of REPEATS runs."""
    tell(f"guest: sort, harts: {harts}")
    run(harts, WARM_ROUNDS)
    return max((run(harts, ROUNDS) for _ in range(REPEATS)), key=lambda r: r.rate)


def qemu_row(ours: Run, tell) -> dict:
    """The best of REPEATS runs under QEMU."""
    figure = f"{qemu.PROGRAM}, {'1 hart' if ours.harts == 1 else f'{ours.harts} harts together'}"
    tell(f"guest: sort under QEMU, harts: {ours.harts}")
    try:
        console = lambda: qemu.console(guests.path("sort"), ours.harts, f"{MEMORY >> 20}M", f"rounds={ROUNDS}")  # noqa: E731
        theirs = min((Run(console()) for _ in range(REPEATS + 1)), key=lambda r: r.ms)
    except GnomonError as error:
        return missing(BENCH, figure, UNIT, error.message)
    if theirs.checksum != ours.checksum:
        raise GnomonError(f"the sort guest ends with checksum {ours.checksum} here and {theirs.checksum} under QEMU")
    return row(BENCH, figure, ours.instructions / theirs.ms / 1e3, UNIT)
