"""churn: what goes on around the vCPUs of a stress: shadow pages zapped and recycled, slabs shrunk, pages moved; and a migrator.

CTL.churns says which kinds, a bit each; a nap of CTL.nap_ns lies between two turns.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import ctz, shr, urem, wrap
from gnomon.lang.atomics import fetch_add, read_once
from gnomon.lang.guest_memory import clear_page, copy_page
from gnomon.lang.host import futex_wait
from gnomon.mem.shrinker import shrink_all
from gnomon.mmu.age import age_page
from gnomon.mmu.dirty import commit, harvest
from gnomon.mmu.dirty_ring import harvest_rings
from gnomon.mmu.host_page import host_lock
from gnomon.mmu.invalidate import MOVE, TAKE_ZERO, change_frames
from gnomon.mmu.release import run_callbacks
from gnomon.mmu.slot import backing
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import recycle, zap_all
from gnomon.study.stress.guest import CTL, next_random, sit_out
from gnomon.sync.spinlock import spin_lock, spin_unlock

ZAP = 1  # every shadow page, roots too
RECYCLE = 2  # some of the oldest
SHRINK = 4  # empty slab pages back to the pool, by way of a grace period
INVALIDATE = 8  # pages to other frames, guest tables too; zero ones taken back
AGE = 16  # A cleared in some sptes, with no lock
KINDS = {"zap": ZAP, "recycle": RECYCLE, "shrink": SHRINK, "invalidate": INVALIDATE, "age": AGE}
MOST_MOVED = 8
CALLBACKS = 64


@kernel
def change_some(m, vm, t, x):
    """Move some pages in a row to other frames, or take those back that are zero."""
    pages = read_once(m, vm + VM.pages)
    first = urem(shr(x, 33), pages)
    end = first + 1 + urem(shr(x, 20) & 255, MOST_MOVED)
    how = TAKE_ZERO if shr(x, 28) & 3 == 0 else MOVE
    return change_frames(m, vm, t, first, end if end < pages else pages, how)


@kernel
def churn_once(m, vm, t, kinds, x):
    """One turn of the kinds of churn in `kinds`, by the random number `x`."""
    spin_lock(m, vm + VM.mmu_lock)
    if kinds & ZAP and shr(x, 40) & 7 == 0:
        zap_all(m, vm, t)
    elif kinds & RECYCLE:
        recycle(m, vm, t, 1 + (shr(x, 44) & 7))
    spin_unlock(m, vm + VM.mmu_lock)
    if kinds & SHRINK and shr(x, 50) & 3 == 0:
        shrink_all(m, t)
    if kinds & INVALIDATE:
        change_some(m, vm, t, x)
    if kinds & AGE:
        age_page(m, t, vm, read_once(m, vm + VM.rmap) + urem(shr(x, 37), read_once(m, vm + VM.pages)))
    return run_callbacks(m, t, CALLBACKS)


@kernel
def churn(m, vm, t, ctl):
    """Churn until told to stop."""
    x = read_once(m, ctl + CTL.seed) ^ 4711
    while read_once(m, ctl + CTL.stop) == 0:
        if read_once(m, ctl + CTL.pause):
            sit_out(m, ctl)
        x = next_random(x)
        churn_once(m, vm, t, read_once(m, ctl + CTL.churns), x)
        fetch_add(m, ctl + CTL.zaps, 1)
        futex_wait(m, ctl + CTL.stop, 0, read_once(m, ctl + CTL.nap_ns))
    return 0


@kernel
def migrate_loop(m, t, vm, ctl, copy):
    """Harvest, copy the pages taken to the words at `copy`, commit, and again, as fast as it goes, until told to stop or pause."""
    while read_once(m, ctl + CTL.stop) == 0:
        if read_once(m, ctl + CTL.pause):
            sit_out(m, ctl)
        harvest_and_copy(m, t, vm, copy)
        fetch_add(m, ctl + CTL.harvests, 1)
    return 0


@kernel
def harvest_and_copy(m, t, vm, copy):
    """One round of a migration into the words at `copy`. Returns pages taken."""
    taken = harvest_rings(m, t, vm) if read_once(m, vm + VM.ring_size) else harvest(m, t, vm)
    copy_snapshot(m, vm, copy)
    commit(m, vm)
    return taken


@kernel
def copy_snapshot(m, vm, copy):
    """Copy the pages of the open snapshot to the words at `copy`; the frame of each stays in place meanwhile."""
    for w in range((read_once(m, vm + VM.pages) + 63) >> 6):
        bits = read_once(m, read_once(m, vm + VM.snapshot) + w)
        while bits:
            index = (w << 6) + ctz(bits)
            bits = wrap(bits & wrap(bits - 1))
            host_lock(m, vm, index)
            pfn = backing(m, vm, index)
            if pfn:
                copy_page(m, (copy << 3) + (index << 12), pfn << 12)
            else:
                clear_page(m, (copy << 3) + (index << 12))
            spin_unlock(m, vm + VM.mmu_lock)
    return 0
