"""consumer: whoever else wants memory on the host: takes what the pool gives, holds it, gives it back.

The frames it holds are a chain through their first words: it needs no memory but what it takes. CTL is its control block.
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.host import futex_wait
from gnomon.mem.frames import frame_alloc, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mmu.release import do_batch

CTL = record(
    "PRESSURE_CTL",
    "The consumer, and who runs callbacks.",
    stop=8,
    wanted=8,  # 1 while the consumer wants memory
    first=1,  # pfn of the chain
    held=1,
    refused=1,
    taken=1,
    ran=1,  # callbacks
    pad=3,
)
STEP = 32
NAP_NS = 500_000


@kernel
def take(m, t, ctl):
    """Take up to STEP frames. Returns 0, or 1 if the pool refused one."""
    for _ in range(STEP):
        pfn = frame_alloc(m, t)
        if pfn == 0:
            write_once(m, ctl + CTL.refused, read_once(m, ctl + CTL.refused) + 1)
            return 1
        write_once(m, pfn << PAGE_WORDS_SHIFT, read_once(m, ctl + CTL.first))
        write_once(m, ctl + CTL.first, pfn)
        write_once(m, ctl + CTL.held, read_once(m, ctl + CTL.held) + 1)
        write_once(m, ctl + CTL.taken, read_once(m, ctl + CTL.taken) + 1)
    return 0


@kernel
def give_back(m, ctl):
    """Give every frame back. At no moment is one both held and free for a sample."""
    pfn = read_once(m, ctl + CTL.first)
    while pfn:
        following = read_once(m, pfn << PAGE_WORDS_SHIFT)
        write_once(m, ctl + CTL.held, read_once(m, ctl + CTL.held) - 1)
        frame_free(m, pfn)
        pfn = following
    return write_once(m, ctl + CTL.first, 0)


@kernel
def consume(m, t, ctl):
    """Hold what is wanted until told to stop."""
    while read_once(m, ctl + CTL.stop) == 0:
        if read_once(m, ctl + CTL.wanted):
            take(m, t, ctl)
        elif read_once(m, ctl + CTL.held):
            give_back(m, ctl)
        futex_wait(m, ctl + CTL.stop, 0, NAP_NS)
    return give_back(m, ctl)


@kernel
def softirq(m, t, ctl):
    """Run batches of callbacks until told to stop, as the softirq does after every grace period."""
    while read_once(m, ctl + CTL.stop) == 0:
        write_once(m, ctl + CTL.ran, read_once(m, ctl + CTL.ran) + do_batch(m, t))
        futex_wait(m, ctl + CTL.stop, 0, NAP_NS)
    return 0
