"""guest: what the vCPUs of a stress do: store to random pages through TLB, walk and faults exactly as a hart does, and edit their tables.

Every store is checked against the frame that belongs there (CTL.wrong counts), and leaves the current iteration in word 0 of its page and
a count of its own, or some bits of it, in another word, so that a harvester's copy can be compared with RAM. A vCPU's place in its stream
of random numbers is in the words behind CTL: any thread can go on with it.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import mul, shr, urem, wrap
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.lang.host import futex_wait, sched_yield
from gnomon.mmu.slot import backing
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.study.stress.edit import SWING_WINDOW, peek, reach, rewrite_table, swing
from gnomon.study.stress.words import CTL, STREAM_SWINGS, STREAM_WORDS, SWINGS

BATCH = 8
"""Stores to random pages."""
TABLE_EVERY = 8
SWING_EVERY = 2
"""Batches between two edits of a guest table."""
STRIDE = 1 << 22
WINDOW = 1 << 30
STUCK_AFTER = 20_000
"""Vain translations in a row after which a guest store is said never to retire."""


@kernel
def next_random(x):
    """A step of a 64-bit linear congruential generator."""
    return wrap(mul(x, 6364136223846793005) + 1442695040888963407)


@kernel
def sit_out(m, ctl):
    """Wait until the pause is over; the caller is outside guest mode and changes nothing meanwhile."""
    fetch_add(m, ctl + CTL.parked, 1)
    while read_once(m, ctl + CTL.pause) and read_once(m, ctl + CTL.stop) == 0:
        futex_wait(m, ctl + CTL.pause, 1, 200_000)
    return fetch_add(m, ctl + CTL.parked, -1)


@kernel
def park(m, v, ctl):
    """Out of guest mode until the pause is over."""
    guest_exit(m, v)
    sit_out(m, ctl)
    return guest_enter(m, v)


@kernel
def stream(ctl, number):
    """The first word of a vCPU's own."""
    return ctl + CTL.size + number * STREAM_WORDS


@kernel
def starve(m, v, ctl, number, page):
    """A store that the MMU refused: let others go on, and say so when that does not help."""
    vain = read_once(m, stream(ctl, number) + 2) + 1
    write_once(m, stream(ctl, number) + 2, vain)
    fetch_add(m, ctl + CTL.starved, 1)
    if vain > STUCK_AFTER:
        write_once(m, ctl + CTL.stuck, 1 + page)
    guest_exit(m, v)
    sched_yield()
    return guest_enter(m, v)


@kernel
def store_page(m, v, ctl, number, x, count):
    """One store of vCPU `number` to a random page through a random alias. In guest mode before and after."""
    page = urem(shr(x, 33), read_once(m, ctl + CTL.pages))
    alias = urem(shr(x, 20) & 8191, read_once(m, ctl + CTL.aliases))
    return store_at(m, v, ctl, number, read_once(m, ctl + CTL.va) + alias * STRIDE + page * 4096, page, count)


@kernel
def store_at(m, v, ctl, number, va, page, count):
    """One store of vCPU `number` to `va`, which must lead to `page`."""
    at = reach(m, v, va, TLB_WRITE)
    if at < 0:  # fixed and undone by others too often in a row (TRANSLATE_TRIES), or never fixed at all (C10)
        return starve(m, v, ctl, number, page)
    write_once(m, stream(ctl, number) + 2, 0)
    if at >> 12 != backing(m, read_once(m, v + VCPU.vm), page):
        fetch_add(m, ctl + CTL.wrong, 1)
        return 0
    store64(m, at + 8 + number * 8, count * 2 & read_once(m, ctl + CTL.counted))
    return store64(m, at, read_once(m, ctl + CTL.iteration))


@kernel
def store_swung(m, v, ctl, number, x, count):
    """Store through an entry of this vCPU's own, swung to another page just now or some time ago; look at one of others."""
    n = shr(x, 30) & (SWINGS - 1)
    page = read_once(m, stream(ctl, number) + STREAM_SWINGS + n)
    if shr(x, 60) & 3:
        page = swing(m, v, ctl, number, n, urem(shr(x, 33), read_once(m, ctl + CTL.pages)), x)
    store_at(m, v, ctl, number, SWING_WINDOW + (number * SWINGS + n) * 4096, page, count)
    return peek(m, v, ctl, wrap(x << 7))


@kernel
def guest_writes(m, v, ctl, number, batches):
    """`batches` batches of stores of vCPU `number`, fewer if told to stop. Returns stores.

    Looks at requests between batches, as a hart does."""
    x = read_once(m, stream(ctl, number))
    first = read_once(m, stream(ctl, number) + 1)
    count = first
    guest_enter(m, v)
    while batches and read_once(m, ctl + CTL.stop) == 0:
        batches -= 1
        for _ in range(BATCH):
            x = next_random(x)
            count += 1
            store_page(m, v, ctl, number, x, count)
        if read_once(m, ctl + CTL.swings) and batches & (SWING_EVERY - 1) == 0:
            x = next_random(x)
            count += 1
            store_swung(m, v, ctl, number, x, count)
        if read_once(m, ctl + CTL.tables) and batches & (TABLE_EVERY - 1) == 0:
            rewrite_table(m, v, ctl, next_random(x))
        if read_once(m, ctl + CTL.pause):
            park(m, v, ctl)
        elif read_once(m, v + VCPU.requests):
            guest_exit(m, v)
            guest_enter(m, v)
    guest_exit(m, v)
    write_once(m, stream(ctl, number), x)
    write_once(m, stream(ctl, number) + 1, count)
    fetch_add(m, ctl + CTL.stores, count - first)
    return count - first
