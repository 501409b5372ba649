"""Garbage: can a guest that executes random bytes reach anything outside its own memory?"""

import random

import numpy as np
import pytest
from hart_rig import CODE, RAM, Bench

from gnomon.hart.exits import EXIT_MMIO, EXIT_SBI
from gnomon.hart.sbi import sbi_call
from gnomon.hart.trap import mmio_fault
from gnomon.lang import PAGE_SIZE
from gnomon.mmu.vm_words import VM

PAGES = 64
POISON = 0x5A


@pytest.mark.parametrize("sbi", [0, 1])
@pytest.mark.parametrize("seed", range(2))
def test_does_garbage_stay_in_its_own_memory(seed, sbi):
    """Frames nobody owns are poisoned; after millions of attempts they hold the poison still, and the process lives."""
    r = random.Random(seed)
    bench = Bench(pages=PAGES, sbi=sbi)
    for page in range(PAGES):
        bench.write(RAM + page * PAGE_SIZE, r.randbytes(PAGE_SIZE))
    free = bench.m.octets[-256 * PAGE_SIZE :]
    bench.step(1)
    untouched = np.flatnonzero(free.reshape(-1, PAGE_SIZE).any(axis=1) == 0)
    poisoned = untouched[len(untouched) // 2 :]
    pool = free.reshape(-1, PAGE_SIZE)
    pool[poisoned] = POISON
    for turn in range(100):
        bench.reset(CODE + 2 * r.randrange(PAGES * PAGE_SIZE // 2 - 0x10000))
        bench.set("mtvec", RAM + 4 * r.randrange(PAGES * 1024))
        bench.set("stvec", RAM + 4 * r.randrange(PAGES * 1024))
        bench.set("medeleg", r.getrandbits(16) & 0xB3FF)
        bench.set("priv", 1 if sbi else r.choice((0, 1, 3)))
        if turn % 3 == 0:
            bench.set("satp", 8 << 60 | (RAM >> 12) + r.randrange(PAGES))
        for n in range(1, 32):
            bench.set_x(n, r.choice((RAM + r.randrange(PAGES * PAGE_SIZE), r.getrandbits(64), 1 << r.randrange(64))))
        for _ in range(20):
            code = bench.step(2000)
            if code == EXIT_MMIO:
                mmio_fault(bench.m, bench.v)
            elif code == EXIT_SBI:
                sbi_call(bench.m, bench.v)
    still_free = [page for page in poisoned if (pool[page] == POISON).all()]
    backing = int(bench.m.words[bench.vm + VM.backing])
    owned = {int(pfn) for pfn in bench.m.words[backing : backing + PAGES] if pfn}
    first = len(bench.m) * 8 // PAGE_SIZE - 256
    changed = {first + int(page) for page in poisoned} - {first + int(page) for page in still_free}
    assert len(owned) == PAGES
    assert not changed - owned, "frames that were nobody's were written"
