"""Memory that shadow pages hold, live and waiting for a grace period: C1, C2, C5, C6, C7. The machine's own fault path and zap.

n-max            one vCPU faults back and forth between two leaf tables, of which n_max allows one; somebody reads, out of any vCPU.
                 Whatever way the memory goes back, by the design: do tables ever hold more frames than n_max?
other-consumer   two machines and a third that wants a frame share one pool with nothing left. What the machines' zapped tables
                 leave in the slab is theirs to reuse, and nobody else's until the cache is shrunk
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, designed, register
from gnomon.check.scenarios.machine_stage import Stage, guest_touch
from gnomon.check.scenarios.stage import DATA_AT, frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once
from gnomon.lang.fixed import FRAMES_AT, RCU_AT
from gnomon.mem.frames import frame_alloc
from gnomon.mem.pool import POOL
from gnomon.mem.shrinker import shrink_all
from gnomon.mmu.release import do_batch, run_callbacks
from gnomon.mmu.setup import vcpu_create, vm_create
from gnomon.mmu.tlb import TLB_READ
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import HASH_BUCKETS, VM
from gnomon.mmu.zap import recycle
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.sync.state import RCU
from gnomon.sync.thread import thread_register

N_MAX = 2
"""n_max_mmu_pages of these machines: the root and one leaf table."""
TIGHT = {"gnomon.mmu.zap.KEEP_FREE_PAGES": 1, "gnomon.mmu.zap.RECYCLE_PAGES": 1}
READS_AT = DATA_AT + 16
FREE_AT_START = DATA_AT + 24


@kernel
def long_reader(m, t):
    """A reader of the shadow tables, out of any vCPU, that takes its time inside a read section."""
    rcu_read_lock(m, t)
    fetch_add(m, READS_AT, 1)
    rcu_read_unlock(m, t)
    return 0


@kernel
def tables_within(m, limit):
    """1 while the machine's tables hold at most `limit` frames more than at the start, in use or waiting."""
    return read_once(m, FREE_AT_START) - read_once(m, FRAMES_AT + POOL.free) <= limit


@kernel
def no_grace_period(m, number):
    """1 if no grace period has begun since the counter was `number`, and none is wanted."""
    return read_once(m, RCU_AT + RCU.counter) == number and read_once(m, RCU_AT + RCU.wanted) == 0


@kernel
def take_all(m, t):
    """For set-up: whatever the pool still has is somebody's."""
    while read_once(m, FRAMES_AT + POOL.free):
        frame_alloc(m, t)
    return 0


@kernel
def give_tables_up(m, t, vm):
    """The machine frees the tables that it can do without."""
    spin_lock(m, vm + VM.mmu_lock)
    recycle(m, vm, t, 4)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def consume(m, t, one, other, shrinks):
    """Somebody on the host who wants a frame. There is none: the machines free their tables, and, if it `shrinks`, the slabs give theirs
    up, which RCU hands over when readers have left."""
    pfn = frame_alloc(m, t)
    if pfn == 0:
        give_tables_up(m, t, one)
        give_tables_up(m, t, other)
        pfn = frame_alloc(m, t)
    if pfn == 0 and shrinks:
        shrink_all(m, t)
        while pfn == 0:
            run_callbacks(m, t, 4)
            if read_once(m, FRAMES_AT + POOL.free):
                pfn = frame_alloc(m, t)
    expect(pfn != 0)
    return 0


def back_and_forth(mutant: Mutant | None) -> Stage:
    """A machine at its n_max, and a vCPU that needs another table each time."""
    stage = Stage(mutant, pages=4, constants=TIGHT)
    s, v = stage.scenario, stage.vcpus[0]
    s.store(stage.vm + VM.n_max, N_MAX)
    s.store(RCU_AT + RCU.membarrier, 0)  # for set-up: one thread alone, fences will do
    for index in (0, 2, 0):
        stage.touch(0, index)
    while stage.word(stage.vm + VM.deferred):
        s.run(run_callbacks, stage.slot, 8)
    s.store(RCU_AT + RCU.membarrier, 1)
    s.store(FREE_AT_START, stage.word(FRAMES_AT + POOL.free))
    s.label(FREE_AT_START, "free frames at the start")
    s.only_bits(READS_AT)
    calls = []
    for index in (2, 0, 2):
        calls += [call(guest_touch, v, index << 12, TLB_READ), call(do_batch, 0)]
    s.thread("reader", call(long_reader, stage.slot))
    s.thread("vcpu", *calls)
    frames_are_safe(s)
    return stage


def n_max(mutant: Mutant | None) -> Scenario:
    stage = back_and_forth(mutant)
    stage.scenario.always("tables in use or waiting stay within n_max", tables_within, 0)
    return stage.scenario


def deferred(mutant: Mutant | None) -> Scenario:
    stage = back_and_forth(designed(mutant, "reclaim=call-rcu"))
    stage.scenario.always("tables in use or waiting stay within twice n_max", tables_within, N_MAX)
    return stage.scenario


def silent(mutant: Mutant | None) -> Scenario:
    stage = back_and_forth(mutant)
    stage.scenario.at_end("no grace period was asked for", no_grace_period, stage.word(RCU_AT + RCU.counter))
    return stage.scenario


def consumer(mutant: Mutant | None, shrinks: int) -> Scenario:
    stage = Stage(mutant, pages=4, constants=TIGHT)
    s = stage.scenario
    other = s.run(vm_create, 64, 4, N_MAX)
    guest = s.run(vcpu_create, other, s.run(thread_register))
    s.store(stage.vm + VM.n_max, N_MAX)
    s.store(other + VM.design, stage.word(stage.vm + VM.design))
    for index in (0, 2):
        stage.touch(0, index)
        s.run(guest_touch, guest, (64 + index) << 12, TLB_READ)
    s.run(take_all, stage.slot)
    s.label(other, "other vm", VM)
    s.label(guest, "other vcpu", VCPU)
    for name, words in (("rmap", 4), ("backing", 4), ("hash", HASH_BUCKETS)):
        s.label(stage.word(other + getattr(VM, name)), f"other {name}", words=words)
    s.thread("reader", call(long_reader, 0))
    s.thread("consumer", call(consume, stage.slot, stage.vm, other, shrinks))
    frames_are_safe(s)
    return s


def with_shrinker(mutant: Mutant | None) -> Scenario:
    return consumer(mutant, 1)


def without_shrinker(mutant: Mutant | None) -> Scenario:
    return consumer(mutant, 0)


register(
    Entry(
        "pressure/n-max",
        "C2, C7: tables, in use or waiting to be freed, never hold more frames than n_max",
        n_max,
        {
            "call-rcu": Mutant(
                "n_max does not count what waits for a grace period",
                design="reclaim=call-rcu",
                property="tables in use or waiting stay within n_max",
            )
        },
    )
)
register(
    Entry(
        "pressure/call-rcu", "C1: pages freed through RCU pile up behind one reader, beyond any multiple of n_max", deferred, witness=True
    )
)
register(Entry("pressure/no-grace-period", "C6: zapping and faulting with the type-stable slab asks for no grace period", silent))
register(
    Entry(
        "pressure/other-consumer",
        "C5: with the shrinker, another consumer gets a frame of two machines' tables, once readers have left",
        with_shrinker,
    )
)
register(
    Entry(
        "pressure/slab-alone",
        "C5: without it, the consumer gets none: freed tables are reusable within their cache only",
        without_shrinker,
        witness=True,
    )
)
