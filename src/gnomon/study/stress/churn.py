"""churn: what goes on around the vCPUs of a stress: shadow pages zapped and recycled, slabs shrunk, pages moved and shared, the log
turned off and on.
And a migrator.

CTL.churns says which kinds, a bit each; a nap of CTL.nap_ns lies between two turns. While nothing is logged regions become large sptes,
and with the log they are split again; an enabled log begins with all pages dirty, so nothing is lost by it, and no page is dirty in vain
for an oracle that allows it (CTL.relog) only while it looks away.
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import ctz, shr, urem, wrap
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import clear_page, copy_page
from gnomon.lang.host import futex_wait
from gnomon.mem.shrinker import shrink_all
from gnomon.mmu.age import age_page
from gnomon.mmu.dirty import commit, disable_dirty_log, enable_dirty_log, harvest
from gnomon.mmu.dirty_ring import harvest_rings
from gnomon.mmu.host_page import host_lock
from gnomon.mmu.invalidate import MOVE, TAKE_ZERO, change_frames
from gnomon.mmu.release import run_callbacks
from gnomon.mmu.share import share_frames
from gnomon.mmu.slot import backing
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import recycle, zap_all
from gnomon.study.stress.guest import next_random, sit_out
from gnomon.study.stress.words import CTL, PAIRS
from gnomon.sync.spinlock import spin_lock, spin_unlock

ZAP = 1  # every shadow page, roots too
RECYCLE = 2  # some of the oldest
SHRINK = 4  # empty slab pages back to the pool, by way of a grace period
INVALIDATE = 8  # pages to other frames, guest tables too; zero ones taken back
AGE = 16  # A cleared in some sptes, with no lock
SPLIT = 32  # the log off and on: tables of small sptes give way to large ones, which are split
SHARE = 64  # pages that hold the same come to share a frame
KINDS = {"zap": ZAP, "recycle": RECYCLE, "shrink": SHRINK, "invalidate": INVALIDATE, "age": AGE, "split": SPLIT, "share": SHARE}
STEADY = tuple(kind for kind in KINDS if kind not in ("split", "share"))
"""What goes on under one log that is never turned off, whatever pages hold."""
MOST_MOVED = 8
CALLBACKS = 64


@kernel
def change_some(m, vm, t, ctl, x):
    """Move some pages in a row to other frames, or take those back that are zero."""
    pages = read_once(m, vm + VM.pages)
    movable = read_once(m, ctl + CTL.movable)  # a region that had a page moved is never mapped large again
    first = movable + urem(shr(x, 33), pages - movable)
    end = first + 1 + urem(shr(x, 20) & 255, MOST_MOVED)
    how = TAKE_ZERO if shr(x, 28) & 3 == 0 else MOVE
    return change_frames(m, vm, t, first, end if end < pages else pages, how)


@kernel
def share_some(m, vm, t, ctl, x):
    """Try some pairs of pages: those of a pair that hold the same share a frame until the next store to one."""
    movable = read_once(m, ctl + CTL.movable)
    pages = read_once(m, vm + VM.pages) - movable
    for i in range(2 * PAIRS):
        x = next_random(x)
        write_once(m, ctl + CTL.pairs + i, movable + urem(shr(x, 33), pages))
    return share_frames(m, vm, t, ctl + CTL.pairs, PAIRS)


@kernel
def turn_log(m, vm, t, x):
    """Turn the log off now and then, and soon on again."""
    if read_once(m, vm + VM.logging) == 0:
        if shr(x, 53) & 1:
            enable_dirty_log(m, t, vm)
    elif shr(x, 53) & 3 == 0:
        disable_dirty_log(m, t, vm)
    return 0


@kernel
def churn_once(m, vm, t, ctl, x):
    """One turn of the kinds of churn in CTL.churns, by the random number `x`."""
    kinds = read_once(m, ctl + CTL.churns)
    if kinds & SHARE and shr(x, 57) & 1:
        return share_some(m, vm, t, ctl, x)  # a turn of its own: nothing else that flushes comes close before or after
    spin_lock(m, vm + VM.mmu_lock)
    if kinds & ZAP and shr(x, 40) & 7 == 0:
        zap_all(m, vm, t)
    elif kinds & RECYCLE:
        recycle(m, vm, t, 1 + (shr(x, 44) & 7))
    spin_unlock(m, vm + VM.mmu_lock)
    if kinds & SHRINK and shr(x, 50) & 3 == 0:
        shrink_all(m, t)
    if kinds & INVALIDATE:
        change_some(m, vm, t, ctl, x)
    if kinds & AGE:
        age_page(m, t, vm, read_once(m, vm + VM.rmap) + urem(shr(x, 37), read_once(m, vm + VM.pages)))
    if kinds & SPLIT and read_once(m, ctl + CTL.relog):
        turn_log(m, vm, t, x)
    return run_callbacks(m, t, CALLBACKS)


@kernel
def churn(m, vm, t, ctl):
    """Churn until told to stop. The log is on in every pause."""
    x = read_once(m, ctl + CTL.seed) ^ 4711
    while read_once(m, ctl + CTL.stop) == 0:
        if read_once(m, ctl + CTL.pause):
            if read_once(m, ctl + CTL.churns) & SPLIT and read_once(m, vm + VM.logging) == 0:
                enable_dirty_log(m, t, vm)
            sit_out(m, ctl)
        x = next_random(x)
        churn_once(m, vm, t, ctl, x)
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
