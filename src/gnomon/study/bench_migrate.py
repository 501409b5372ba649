"""Migrating over loopback TCP between two processes: RAM a second, and how long the guest stands still.

Process    this one is the source, `gnomon receive` the destination; pages uncompressed, each with its checksum, all memory hashed on
           both sides before the hand-over
RAM/s      an idle guest: IDLE_MEMORY of random bytes, which no zero page and no compression can shorten, and a hart that sleeps.
           `whole`: memory over the time from connecting to the guest running there; `copying`: the round that carried it. Best of
           IDLE_REPEATS
Peer       as much fresh memory, its pages written to for the first time by one thread: what the destination's host asks for before a byte
           of the guest is in place. Best of IDLE_REPEATS
Downtime   the `dirty` guest, 2 harts, 128 MiB, each hart dirties 50 MB/s at random in 48 MiB of its own: from asking the harts to stop
           to hearing that they run there, an upper bound. Median and greatest of REPEATS. The guest's own check of every page must
           pass at the destination. Moving: from connecting to the guest running there. Median of REPEATS
QEMU       the same guest, moved after as long by qemu-system-riscv64 between two of its processes, with the same limit on downtime; its own
           figures. It checks no page and hashes no memory
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from gnomon import guests
from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE, PAGE_WORDS, Arena
from gnomon.migrate import Options, Report, migrate
from gnomon.study import qemu
from gnomon.study.process import Process
from gnomon.study.qemu_migrate import migrate as migrate_qemu
from gnomon.study.row import LESS, MORE, against, missing, row
from gnomon.study.sample import median
from gnomon.vm.machine import Machine

BENCH = "migrate"
REPEATS = 3
IDLE_REPEATS = 5
IDLE_MEMORY = 512 << 20
IDLE_DOWNTIME = 10.0
"""Seconds: an idle guest may stand still for as long as its memory is hashed, on a busy machine too."""
MEMORY, HARTS, RATE, PAGES = 128 << 20, 2, 50, 12288
GUEST_MS = 4000
QEMU_SETTLE, LIMIT = 1.0, 0.05
"""Seconds that the guest runs under QEMU before it moves, and the downtime that QEMU is given: Gnomon's default."""
SETTLED = 60.0
WFI_FOR_EVER = np.array([0x10500073, 0xFFDFF06F], dtype=np.uint32)
"""wfi; j .-4"""


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    tell(f"migrate: an idle guest of {IDLE_MEMORY >> 20} MiB")
    reports = [idle() for _ in range(IDLE_REPEATS)]
    fresh = row(BENCH, "first write to fresh memory", IDLE_MEMORY / min(fresh_memory() for _ in range(IDLE_REPEATS)) / 1e9, "GB/s")
    whole = max(IDLE_MEMORY / r.seconds for r in reports)
    copying = max(first.pages * PAGE_SIZE / first.seconds for first in (r.rounds[0] for r in reports))
    for figure, rate in (("idle guest, whole migration", whole), ("idle guest, copying", copying)):
        yield against(row(BENCH, figure, rate / 1e9, "GB/s", target=">= 1"), fresh, better=MORE)
    yield fresh
    what = f"2 harts each dirtying {RATE} MB/s"
    figures = (f"downtime, {what}, median", f"downtime, {what}, greatest", f"moving, {what}, median")
    try:
        reports = []
        for turn in range(REPEATS):
            tell(f"migrate: a guest that dirties {RATE} MB/s a hart, {turn + 1} of {REPEATS}")
            reports.append(busy())
    except GnomonError as error:
        yield from (missing(BENCH, figure, "ms", error.message) for figure in figures)
        return
    tell("migrate: the same guest under QEMU")
    down, moving = qemu_rows(what)
    times = [report.downtime * 1e3 for report in reports]
    yield against(row(BENCH, figures[0], median(times), "ms", target="<= 50"), down, better=LESS)
    yield row(BENCH, figures[1], max(times), "ms")
    yield against(row(BENCH, figures[2], median(report.seconds * 1e3 for report in reports), "ms"), moving, better=LESS)
    yield down
    yield moving


def qemu_rows(what: str) -> tuple[dict, dict]:
    """QEMU's downtime and time of moving, medians of REPEATS."""
    figures = (f"{qemu.PROGRAM}: downtime, {what}, median", f"{qemu.PROGRAM}: moving, {what}, median")
    bootargs = f"pages={PAGES} rate={RATE} ms={10 * GUEST_MS}"
    try:
        moved = [migrate_qemu(guests.path("dirty"), HARTS, f"{MEMORY >> 20}M", bootargs, QEMU_SETTLE, LIMIT) for _ in range(REPEATS)]
    except GnomonError as error:
        return missing(BENCH, figures[0], "ms", error.message), missing(BENCH, figures[1], "ms", error.message)
    return (
        row(BENCH, figures[0], median(m.downtime * 1e3 for m in moved), "ms"),
        row(BENCH, figures[1], median(m.seconds * 1e3 for m in moved), "ms"),
    )


def fresh_memory() -> float:
    """Seconds for the first write to each page of IDLE_MEMORY bytes."""
    arena = Arena(IDLE_MEMORY // 8)
    began = time.perf_counter()
    arena.words[::PAGE_WORDS] = 1
    return time.perf_counter() - began


def idle() -> Report:
    """Move a sleeping guest whose RAM is all random."""
    with Machine(IDLE_MEMORY, 1) as machine:
        chance = np.random.default_rng(1)
        batch = 4096
        for first in range(0, machine.pages, batch):
            content = chance.integers(0, 256, batch * PAGE_SIZE, dtype=np.uint8)
            if first == 0:
                content[: WFI_FOR_EVER.nbytes] = WFI_FOR_EVER.view(np.uint8)
            machine.write_pages(np.arange(first, first + batch), content)
        machine.start()
        with Process("receive", "127.0.0.1:0", "--name", "bench-idle") as there:
            report = migrate(machine, there.until("listening")["address"], options=Options(max_downtime=IDLE_DOWNTIME))
            there.until("received")
    if report.rounds[0].zero:
        raise GnomonError(f"random memory has zero pages: {report.rounds[0].zero}")
    return report


def busy() -> Report:
    """Move a guest that writes memory all the time, and let it check itself where it went."""
    begun = threading.Event()

    def console(data: bytes) -> None:
        if b"pages written" in data:
            begun.set()

    with Process("receive", "127.0.0.1:0", "--name", "bench-dirty") as there, Machine(MEMORY, HARTS, console=console) as machine:
        address = there.until("listening")["address"]
        machine.load(guests.path("dirty"), bootargs=f"pages={PAGES} rate={RATE} ms={GUEST_MS}").start()
        if not begun.wait(SETTLED):
            raise GnomonError(f"the dirty guest wrote nothing within {SETTLED:g} s")
        report = migrate(machine, address)
        there.until("received")
        code = there.end()
    if code:
        raise GnomonError(f"the dirty guest's own check failed at the destination: exit code {code}")
    return report
