"""guest: what the vCPUs of a stress do: store to random pages through TLB, walk and faults exactly as a hart does.

Every store is checked against the frame that belongs there (CTL.wrong counts), and leaves the current iteration in word 0 of its page and
a count of its own in another word, so that a harvester's copy can be compared with RAM. A vCPU's place in its stream of random
numbers is in the words behind CTL: any thread can go on with it.
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.arith import mul, shr, urem, wrap
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import amo_or64, load64, store64
from gnomon.lang.host import futex_wait, sched_yield
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.slot import backing
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit

BATCH = 8
TABLE_EVERY = 64
STRIDE = 1 << 21
WINDOW = 1 << 30
TABLE_WINDOW = 3 << 30
STUCK_AFTER = 20_000
"""Vain translations in a row after which a guest store is said never to retire."""
STREAM_WORDS = 8
"""Words of a vCPU behind CTL: its random number, its count of stores; a cache line of its own."""
MAX_STREAMS = 64

CTL = record(
    "STRESS_CTL",
    "What the threads of a stress share; the vCPUs' streams lie behind it.",
    iteration=8,
    stop=8,
    pause=8,
    parked=8,
    va=1,  # where page 0 lies for the guest, aliases STRIDE apart
    aliases=1,
    pages=1,
    tables=1,  # pages of guest tables at TABLE_WINDOW
    seed=1,
    nap_ns=1,
    churns=1,  # churn.py
    zaps=1,
    harvests=1,
    wrong=8,  # stores that were led to another frame than the page's
    starved=8,
    stuck=8,  # 1 + the page of a store that does not retire
    stores=8,
)


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
    """Word of a vCPU's random number; behind it its count of stores, and how often in a row a store of it was refused."""
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
    va = read_once(m, ctl + CTL.va) + alias * STRIDE + page * 4096
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        if mmu_translate(m, v, va, TLB_WRITE) != XL_OK:
            return starve(m, v, ctl, number, page)
        at = tlb_host(m, v, va, TLB_WRITE, regime)
        if at < 0:  # fixed and undone by others too often in a row (TRANSLATE_TRIES), or never fixed at all (C10)
            return starve(m, v, ctl, number, page)
    write_once(m, stream(ctl, number) + 2, 0)
    if at >> 12 != backing(m, read_once(m, v + VCPU.vm), page):
        fetch_add(m, ctl + CTL.wrong, 1)
        return 0
    store64(m, at + 8 + number * 8, count * 2)
    return store64(m, at, read_once(m, ctl + CTL.iteration))


@kernel
def rewrite_table(m, v, ctl, x):
    """Store an entry of a guest table again as it is, through the tracking of guest tables or straight to an unsync one, and fence."""
    va = TABLE_WINDOW + urem(shr(x, 33), read_once(m, ctl + CTL.tables)) * 4096 + (shr(x, 20) & 511) * 8
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, TLB_WRITE, regime)
    if at < 0:
        status = mmu_translate(m, v, va, TLB_WRITE)
        if status == XL_TRACKED:
            at = tracked_begin(m, v)
            if at < 0:
                return 0
            store64(m, at, load64(m, at))
            return tracked_end(m, v, at, 8)
        if status != XL_OK:
            return 0
        at = tlb_host(m, v, va, TLB_WRITE, regime)
        if at < 0:
            return 0  # undone by others too often in a row
    amo_or64(m, at, 0)  # an unsync table: a plain store could undo A and D that another vCPU's fault sets meanwhile
    return mmu_sfence(m, v, read_once(m, ctl + CTL.va) + (shr(x, 40) & 63) * 4096, shr(x, 50) & 1)


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
        if read_once(m, ctl + CTL.tables) and count & (TABLE_EVERY - 1) == 0:
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
