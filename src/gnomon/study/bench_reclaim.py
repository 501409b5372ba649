"""What each reclaim of zapped shadow pages costs: zaps a second, grace periods, and memory that waits for one.

Guest      two machines with a vCPU each, whose stores need twice as many shadow pages as n_max allows: every other fault recycles some
Readers    a protector each harvests without a pause, the whole slot in one read section
Callbacks  run in batches as the softirq does; the pool has frames to spare, so nobody is refused anything
Deferred   memory whose grace period is not over, its greatest amount in samples of the run: a table and its header a page
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gnomon.lang import PAGE_SIZE
from gnomon.mmu.axes import AXES
from gnomon.mmu.designs import parse, wrongs
from gnomon.mmu.shadow_page import SP
from gnomon.study.pressure.run import run
from gnomon.study.row import MORE, against, row

BENCH = "reclaim"
SECONDS = 2.0
SPARE_FRAMES = 40_000


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    first = None
    for choice in next(axis for axis in AXES if axis.name == "reclaim").choices:
        broken = wrongs(parse(f"reclaim={choice.name}"))
        name = f"{choice.name} (broken)" if broken else choice.name
        tell(f"reclaim: {name}")
        found = run(choice.name, SECONDS, pressed=False, spare_frames=SPARE_FRAMES)
        zaps = row(BENCH, f"{name}: zaps", found.counts["zaps"] / found.seconds / 1e3, "k/s")
        yield zaps if first is None else against(zaps, first, better=MORE)
        first = first or zaps
        yield row(BENCH, f"{name}: stores", found.counts["stores"] / found.seconds / 1e3, "k/s")
        yield row(
            BENCH, f"{name}: grace periods a 1000 zaps", found.counts["grace periods"] / max(1, found.counts["zaps"]) * 1e3, "grace periods"
        )
        yield row(BENCH, f"{name}: deferred, greatest", found.peak("deferred") * (PAGE_SIZE + SP.size * 8) / 1e6, "MB")
        yield row(BENCH, f"{name}: stalls a second", found.counts["stalls"] / found.seconds, "/s")
