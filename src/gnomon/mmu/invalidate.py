"""invalidate: the host changes the frame behind a guest page: moves it, or takes it back. That may become a page table next (C13).

Counterpart in Linux: kvm_mmu_notifier_invalidate_range_start and _end around the host's page migration, ballooning or page sharing.

    start    under mmu_lock: "in progress", zap every spte of the pages, flush. From here on no vCPU reaches the old frames, no fault maps
             the pages, no host access is under way (host_page.py)
    change   without mmu_lock, however long it takes: the rest of the machine goes on. Only the backing word and the free are under it
    finish   under mmu_lock: the sequence moves, "in progress" ends. A fault that looked a page up before finds the sequence changed (I-13)

Owns       VM.invalidating, _first, _end, _seq, under mmu_lock; backing words that are not 0, between start and finish
Guarantees M1  a frame is freed after the flush of start, and nothing that can reach it is made after that (I1 of host_page.py)
           M2  a page's content and its place in the log survive a move: what a fast fault made writable and has not logged yet is logged
               here, because the frame that it is about to name is no longer the page's
           M3  a frame is taken back if its content is zero, which is what the next touch finds; or if the caller discards the content,
               and then the page is logged as written and shadows of it as a guest table are zapped
Context    outside guest mode, no lock held; VM.mover is taken first of all locks: one range of a machine at a time
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, store_release, write_once
from gnomon.lang.guest_memory import copy_page
from gnomon.mem.frames import frame_alloc, frame_is_zero
from gnomon.mmu.host_page import frames_changed
from gnomon.mmu.region import region_of
from gnomon.mmu.sharers import give_up
from gnomon.mmu.slot import back_page, backing, mark_dirty
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.track import zap_guest_table
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import flush_if_stale, zap_region, zap_rmap
from gnomon.sync.spinlock import spin_lock, spin_unlock

MOVE = 0
TAKE_ZERO = 1
TAKE_ANY = 2
CHANGE_STOPPED = 1 << 32
"""Added to the answer of change_frames: the pool had no frame for one of the pages."""


@kernel
def zap_pages(m, vm, t, first, end):
    """Zap every spte of pages first … end - 1 and forget what TLBs know of them. Under mmu_lock."""
    changed = 0
    for region in range(region_of(m, vm, first), region_of(m, vm, end - 1) + 1):
        changed |= zap_region(m, vm, t, region)  # with W only before logging has begun
    for index in range(first, end):
        bits = zap_rmap(m, vm, t, read_once(m, vm + VM.rmap) + index)
        if bits & WRITABLE:
            mark_dirty(m, vm, 0, index)  # M2
        changed |= bits
    return flush_if_stale(m, vm, changed)


@kernel
def invalidate_start(m, vm, t, first, end):
    """Begin to change the frames of pages first … end - 1; VM.mover is held. On return no vCPU reads or writes them."""
    spin_lock(m, vm + VM.mmu_lock)
    write_once(m, vm + VM.invalidate_first, first)
    write_once(m, vm + VM.invalidate_end, end)
    write_once(m, vm + VM.invalidating, 1)  # before the zap, and under the same lock: no fault maps a page between the two
    zap_pages(m, vm, t, first, end)
    return spin_unlock(m, vm + VM.mmu_lock)


@kernel
def invalidate_finish(m, vm):
    """The frames are changed: faults may map the pages again."""
    spin_lock(m, vm + VM.mmu_lock)
    frames_changed(m, vm)
    write_once(m, vm + VM.invalidating, 0)
    return spin_unlock(m, vm + VM.mmu_lock)


@kernel
def move_page(m, vm, t, index, old):
    """Copy page `index`, whose frame is `old`, to a new frame and free the old one. Returns 1, or 0 without a frame to be had."""
    new = frame_alloc(m, t)
    if new == 0:
        return 0
    copy_page(m, new << 12, old << 12)
    spin_lock(m, vm + VM.mmu_lock)
    back_page(m, vm, index, new)
    give_up(m, vm, index, old)  # under the lock: who reads the page under it, as a walk of guest tables does, finds a frame of the page's
    spin_unlock(m, vm + VM.mmu_lock)
    return 1


@kernel
def take_page(m, vm, t, index, old, discard):
    """Free the frame `old` of page `index` if it is zero, or whatever it holds if `discard`. Returns 1 if freed."""
    if discard == 0 and frame_is_zero(m, old) == 0:
        return 0
    spin_lock(m, vm + VM.mmu_lock)
    if discard:
        zap_guest_table(m, vm, t, index)
    store_release(m, read_once(m, vm + VM.backing) + index, 0)
    if discard:
        mark_dirty(m, vm, 0, index)  # after the change: a copy made before it is followed by another
    freed = give_up(m, vm, index, old)
    spin_unlock(m, vm + VM.mmu_lock)
    return freed


@kernel(entry=True)
def change_frames(m, vm, t, first, end, how):
    """MOVE, TAKE_ZERO or TAKE_ANY the frames of pages first … end - 1. Returns how many, + CHANGE_STOPPED if the pool was exhausted."""
    spin_lock(m, vm + VM.mover)
    invalidate_start(m, vm, t, first, end)
    done = 0
    for index in range(first, end):
        old = backing(m, vm, index)
        if old and how != MOVE:
            done += take_page(m, vm, t, index, old, int(how == TAKE_ANY))
        elif old and done < CHANGE_STOPPED:
            if move_page(m, vm, t, index, old):
                done += 1
            else:
                done += CHANGE_STOPPED
    invalidate_finish(m, vm)
    if how == MOVE:
        fetch_add(m, vm + VM.moved, done & (CHANGE_STOPPED - 1))
    else:
        fetch_add(m, vm + VM.taken_back, done)
    spin_unlock(m, vm + VM.mover)
    return done
