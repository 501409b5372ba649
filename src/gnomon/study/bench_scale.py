"""How cost grows: a harvest of equally many dirty pages in guests of 64 MiB to 16 GiB, and stores to protected pages by 1 … N vCPUs.

Harvest    DIRTY pages, in CHUNKS equally long stretches spread evenly over all of RAM, each stored to through TLB miss, walk and fault;
           one call of the compiled harvest (bitmap scan, protection, flush) and its commit. Best of REPEATS after one that does not count.
           The peer is the smallest guest: `ratio` is its time over this one's, and 1 / 1.3 the bound
vCPUs      each vCPU stores to PAGES protected pages of its own; all at once, one thread each. Stores a second of all together, beside one
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_SIZE, kernel
from gnomon.lang.kernel import compile_kernel
from gnomon.mmu import dirty
from gnomon.mmu.vcpu import guest_enter, guest_exit
from gnomon.study.crew import together
from gnomon.study.ram import SPREAD, store_pages, store_to
from gnomon.study.row import LESS, MORE, against, missing, row
from gnomon.study.sample import best_of
from gnomon.vm.devices import RAM_BASE
from gnomon.vm.machine import Machine

BENCH = "scale"
SIZES = (64 << 20, 256 << 20, 1 << 30, 4 << 30, 16 << 30)
DIRTY, CHUNKS = 8192, 64
PAGES = 16384
REPEATS = 7
GROWTH = 1.3


@kernel
def store_chunks(m, v, first, chunks, chunk, gap, value):
    """Store to `chunk` neighbouring pages at every `gap`-th page of the page at `first`, `chunks` times. Returns how many."""
    done = 0
    guest_enter(m, v)
    for c in range(chunks):
        for i in range(chunk):
            if store_to(m, v, first + ((c * gap + i) << 12), value) == 0:
                done += 1
    guest_exit(m, v)
    return done


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    compile_kernel(store_chunks)
    compile_kernel(store_pages)
    smallest = None
    for size in SIZES:
        figure = f"harvest of {DIRTY} dirty pages, guest of {size_text(size)}"
        tell(f"scale: {figure}")
        try:
            ours = row(BENCH, figure, harvest_seconds(size) * 1e6, "us")
        except GnomonError as error:
            yield missing(BENCH, figure, "us", error.message)
            continue
        yield ours if smallest is None else against(ours, smallest, better=LESS, target=f"ratio >= {1 / GROWTH:.3f}")
        smallest = smallest or ours
    alone = None
    for vcpus in range(1, (os.cpu_count() or 1) + 1):
        figure = f"stores to protected pages, {vcpus} vCPU{'s' * (vcpus > 1)}"
        tell(f"scale: {figure}")
        ours = row(BENCH, figure, redirty_rate(vcpus) / 1e6, "M/s")
        yield ours if alone is None else against(ours, alone, better=MORE)
        alone = alone or ours


def size_text(size: int) -> str:
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


def harvest_seconds(size: int) -> float:
    """Least seconds of a harvest that protects DIRTY pages spread over a guest of `size` bytes.

    Raises GnomonError where that does not fit."""
    with Machine(size, 1) as machine:
        arena, vm, v, t = machine.arena, machine.vm, machine.vcpus[0], machine._thread
        chunk, gap = DIRTY // CHUNKS, size // PAGE_SIZE // CHUNKS

        def prepare():
            if store_chunks(arena, v, RAM_BASE, CHUNKS, chunk, gap, 1) != DIRTY:
                raise GnomonError(f"the machine refused stores to some of {DIRTY} pages")

        def work():
            found = dirty.harvest(arena, t, vm)
            dirty.commit(arena, vm)
            if found != DIRTY:
                raise GnomonError(f"{DIRTY} pages were dirtied and a harvest took {found}")

        prepare()
        machine.dirty_log().enable()
        dirty.harvest(arena, t, vm)
        dirty.commit(arena, vm)
        return best_of(REPEATS, prepare, work)


def redirty_rate(vcpus: int) -> float:
    """Stores a second to protected pages by `vcpus` vCPUs at once, the best of REPEATS."""
    with Machine(PAGES * PAGE_SIZE * vcpus, vcpus) as machine:
        arena, vm, t = machine.arena, machine.vm, machine._thread

        def job(n: int) -> Callable[[], int]:
            return lambda: store_pages(arena, machine.vcpus[n], RAM_BASE + n * PAGES * PAGE_SIZE, PAGES, 1, SPREAD, 1)

        jobs = [job(n) for n in range(vcpus)]
        together(jobs)
        machine.dirty_log().enable()
        least = float("inf")
        for _ in range(REPEATS + 1):
            dirty.harvest(arena, t, vm)
            dirty.commit(arena, vm)
            seconds, done = together(jobs)
            if done != [PAGES] * vcpus:
                raise GnomonError(f"{vcpus} vCPUs stored to {done} of {PAGES} pages each")
            least = min(least, seconds)
        return PAGES * vcpus / least
