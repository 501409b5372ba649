"""Re-dirtying a protected page: ns from a store that misses the TLB to its retirement, through the lockless fast page fault.

Timed      TLB probe, hardware walk that faults, guest_exit, fast page fault (cmpxchg of W, dirty bit), guest_enter, hardware walk that
           sets D, TLB fill, the store. That each was a fast fault is checked. Instruction decoding is not in it
How        a compiled loop over COUNT protected pages in an order that no prefetcher follows, so sptes, rmap words and the page itself
           come from memory; cpu_ticks() before and after each store, both reads included, calibrated against monotonic_ns().
           Median and 99th percentile over REPEATS rounds after one that does not count
Check      the mean of a round without clock reads inside, best of REPEATS: no out-of-order overlap can hide in that
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gnomon.errors import GnomonError
from gnomon.mmu.vcpu import VCPU
from gnomon.study.ram import SPREAD, Ram, time_stores
from gnomon.study.row import row
from gnomon.study.sample import best_of
from gnomon.vm.devices import RAM_BASE

BENCH = "redirty"
COUNT = 16384
REPEATS = 7


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    tell(f"redirty: {COUNT} pages")
    ram = Ram(COUNT)
    ns = samples(ram)
    yield row(BENCH, "fault to retired store, median", float(np.median(ns)), "ns", target="<= 260")
    yield row(BENCH, "fault to retired store, p99", float(np.percentile(ns, 99)), "ns")
    mean = best_of(REPEATS, ram.clean, lambda: ram.dirty_all(SPREAD)) / COUNT * 1e9
    yield row(BENCH, "fault to retired store, mean without clock reads", mean, "ns", target="<= 260")


def samples(ram: Ram) -> np.ndarray:
    """ns of every store of REPEATS rounds."""
    per_ns, found = ram.ticks_per_ns(), []
    for turn in range(REPEATS + 1):
        ram.clean()
        fast, slow = ram.hart_counter(VCPU.fast_faults), ram.hart_counter(VCPU.slow_faults)
        done = time_stores(ram.arena, ram.v, RAM_BASE, ram.count, ram.stride, SPREAD, ram.scratch)
        fast, slow = ram.hart_counter(VCPU.fast_faults) - fast, ram.hart_counter(VCPU.slow_faults) - slow
        if (done, fast, slow) != (ram.count, ram.count, 0):
            raise GnomonError(f"{ram.count} stores to protected pages: {done} were done, by {fast} fast and {slow} slow faults")
        if turn:
            found.append(ram.arena.words[ram.scratch : ram.scratch + ram.count] / per_ns)
    return np.concatenate(found)
