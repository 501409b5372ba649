"""pages: whole guest pages in and out, by batches of page indices that lie in the machine's staging area.

The kernels find frames and zero pages; the bytes themselves are moved by numpy between frames and the caller's buffer.
Writing pages is for a machine whose harts are not running. Frames stay where they are meanwhile: Machine's lock is held, as it is by
whoever moves pages (G2 of mmu/slot.py).
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mem.frames import frame_is_zero
from gnomon.mmu.share import forget_share, own_page
from gnomon.mmu.slot import backing, mark_dirty
from gnomon.mmu.track import zap_guest_table
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock

BATCH = 1024
"""Pages a staging area holds: BATCH words of indices, then BATCH words of answers."""
STAGE_WORDS = 2 * BATCH


@kernel(entry=True)
def find_pages(m, vm, stage, count):
    """For each of `count` page indices at `stage`: the answer word becomes its pfn, 0 if the page is all zero. Returns non-zero pages."""
    found = 0
    for i in range(count):
        pfn = backing(m, vm, read_once(m, stage + i))
        if pfn and frame_is_zero(m, pfn):
            pfn = 0
        if pfn:
            found += 1
        write_once(m, stage + BATCH + i, pfn)
    return found


@kernel(entry=True)
def back_pages(m, vm, t, stage, count):
    """For each of `count` page indices at `stage`: give it a frame, forget shadows of it, log it; the answer word becomes its pfn.

    Returns how many were done: fewer than `count` means the pool is exhausted."""
    spin_lock(m, vm + VM.mmu_lock)
    done = 0
    while done < count:
        index = read_once(m, stage + done)
        pfn = own_page(m, vm, t, index)
        if pfn == 0:
            break
        zap_guest_table(m, vm, t, index)
        mark_dirty(m, vm, 0, index)
        write_once(m, stage + BATCH + done, pfn)
        done += 1
    spin_unlock(m, vm + VM.mmu_lock)
    return done


@kernel(entry=True)
def back_only(m, vm, t, stage, count):
    """As back_pages, for pages that shall become zero: one that has no frame of its own gets none. The answer word is its pfn or 0."""
    spin_lock(m, vm + VM.mmu_lock)
    for i in range(count):
        index = read_once(m, stage + i)
        pfn = backing(m, vm, index)
        if pfn:
            if forget_share(m, vm, t, index):
                pfn = 0
            zap_guest_table(m, vm, t, index)
            mark_dirty(m, vm, 0, index)
        write_once(m, stage + BATCH + i, pfn)
    spin_unlock(m, vm + VM.mmu_lock)
    return count
