"""throttle: what keeps shadow pages that wait for a grace period from piling up, for reclaim=call-rcu-throttled.

The RCU checklist's item 8: who uses call_rcu() limits its rate itself. Three ways, all before mmu_lock is taken for a slow fault, where
the vCPU may wait, because whoever holds a spinlock may be what the grace period waits for:

    charge      a page counts in n_used until its memory is free, so live and deferred pages together stay within n_max
    stall       while VM.defer_limit pages are deferred, if that is set
    barrier     every VM.barrier_every zapped pages wait until all that were deferred are free, if that is set

Owns       VM.stalls barriers; resets VM.since_barrier
Guarantees U1  n_used never exceeds n_max, live and deferred pages together, but for roots and pages that nothing can recycle (C7)
Context    vCPU thread outside guest mode, no lock, no read section
Progress   waits for grace periods: needs every reader to leave, runs callbacks itself meanwhile
"""

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, xchg
from gnomon.mmu.design import RECLAIM, RECLAIM_THROTTLED
from gnomon.mmu.release import run_callbacks
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import is_crowded
from gnomon.sync.rcu_callbacks import rcu_barrier_begin, rcu_barrier_poll
from gnomon.sync.spinlock import spin_pause

STALL_BATCH = 64


@kernel
def must_stall(m, vm):
    """1 while deferred pages, not live ones, are what there is too much of."""
    if read_once(m, vm + VM.design) & RECLAIM != RECLAIM_THROTTLED:
        return 0
    deferred = read_once(m, vm + VM.deferred)
    limit = read_once(m, vm + VM.defer_limit)
    return int(deferred != 0 and (is_crowded(m, vm) != 0 or (limit != 0 and deferred >= limit)))


@kernel
def wait_for_barrier(m, vm, t):
    """Run callbacks until all that were queued by now are complete."""
    fetch_add(m, vm + VM.barriers, 1)
    rcu_barrier_begin(m, t)
    turn = 0
    while rcu_barrier_poll(m, t) == 0:
        if run_callbacks(m, t, STALL_BATCH) == 0:
            turn = spin_pause(turn)
    return 0


@kernel
def throttle(m, vm, t):
    """Wait until a slow fault may zap and allocate."""
    every = read_once(m, vm + VM.barrier_every)
    if every and read_once(m, vm + VM.since_barrier) >= every and xchg(m, vm + VM.since_barrier, 0) >= every:
        wait_for_barrier(m, vm, t)
    if must_stall(m, vm):
        fetch_add(m, vm + VM.stalls, 1)
        turn = 0
        while must_stall(m, vm):
            if run_callbacks(m, t, STALL_BATCH) == 0:
                turn = spin_pause(turn)
    return 0
