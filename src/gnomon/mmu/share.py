"""share: pages of the same content behind one frame, until one of them is stored to. Counterpart in Linux: KSM (mm/ksm.c).

    share      under mmu_lock: zap every spte of both pages, flush. Nobody can store to them now, so what a comparison says stays true:
               equal, and the second page lies behind the frame of the first; its own is freed. Then the sequence moves (I-13)
    read       maps the page without HOST_WRITABLE, MMU_W and W: no fast fault, no protector and no widening makes such a leaf writable
    store      a slow fault, a store of the host and the first look at a page as a guest table un-share the page first: a frame of its
               own with the same content. The others keep theirs, and their sptes

A guest table is never shared: its A and D are set here, its stores are emulated here, so it would not stay shared.

Guarantees J1  nobody stores to a frame that two pages lie behind
           J2  pages are compared when nobody can store to them: no store falls between the comparison and the merge
           J3  a frame is freed after the flush, and nothing that can reach it is made after that (I1 of host_page.py)
           J4  a page that has its own frame again is read from that frame only: no TLB has the shared one when the first store retires
           J5  a page that is un-shared is logged, whatever is stored to it: a copy of it that is under way reads a frame that may
               be another page's own by now, and must be followed by another copy
Context    outside guest mode. share_frames takes VM.mover, then mmu_lock for one pair at a time; all others run under mmu_lock, the
           page in no invalidation
Progress   a pair is two flushes and at most 1024 loads under mmu_lock
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, store_release
from gnomon.lang.guest_memory import copy_page
from gnomon.mem.frames import frame_alloc, frames_are_equal
from gnomon.mmu.host_page import frames_changed
from gnomon.mmu.invalidate import zap_pages
from gnomon.mmu.region import sharer_after
from gnomon.mmu.sharers import MOST_SHARERS, give_up, have_links, join, leave, sharer_count
from gnomon.mmu.slot import back_page, backing, backing_fault, mark_dirty
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock

FREED = 1 << 32
"""share_frames() returns pages merged + FREED a frame that came back."""


@kernel
def may_share(m, vm, index, other):
    """1 if page `other` may come to lie behind the frame of page `index`, as far as all but their content goes."""
    if backing(m, vm, index) == 0 or backing(m, vm, other) == 0 or backing(m, vm, index) == backing(m, vm, other):
        return 0
    tracked = read_once(m, vm + VM.tracked)
    if read_once(m, tracked + index) or read_once(m, tracked + other):
        return 0
    return int(sharer_count(m, vm, index) < MOST_SHARERS)


@kernel
def merge(m, vm, index, other):
    """Put page `other` behind the frame of page `index`, which holds the same. Returns 1, + FREED if a frame came back."""
    if have_links(m, vm, index) == 0 or have_links(m, vm, other) == 0:
        return 0  # not even a frame below the pool's minimum
    gone = backing(m, vm, other)
    store_release(m, read_once(m, vm + VM.backing) + other, backing(m, vm, index))
    freed = give_up(m, vm, other, gone)
    join(m, vm, index, other)
    frames_changed(m, vm)  # J3: a fault that found the frame that is gone, or a frame of its own, before it had the lock
    return 1 + freed * FREED


@kernel
def share_page(m, vm, t, index, other):
    """Share the frame of page `index` with page `other` if they hold the same. Under VM.mover and mmu_lock. Returns as merge(), 0: not."""
    if may_share(m, vm, index, other) == 0:
        return 0
    zap_pages(m, vm, t, other, other + 1)
    if sharer_after(m, vm, index) == 0:  # else nobody can store to it
        zap_pages(m, vm, t, index, index + 1)
    if frames_are_equal(m, backing(m, vm, index), backing(m, vm, other)) == 0:  # J2: after both flushes
        return 0
    return merge(m, vm, index, other)


@kernel(entry=True)
def share_frames(m, vm, t, pairs, count):
    """share_page() for `count` pairs of page indices in the words at `pairs`. Returns pages merged + FREED a frame that came back."""
    found = 0
    spin_lock(m, vm + VM.mover)
    for i in range(count):
        spin_lock(m, vm + VM.mmu_lock)
        found += share_page(m, vm, t, read_once(m, pairs + 2 * i), read_once(m, pairs + 2 * i + 1))
        spin_unlock(m, vm + VM.mmu_lock)
    fetch_add(m, vm + VM.merged, found & (FREED - 1))
    spin_unlock(m, vm + VM.mover)
    return found


@kernel
def shared_access(access):
    """What a leaf of a shared page allows of `access`: make_leaf() gives it no bit of the three that W needs (J1)."""
    return access & ~WRITABLE


@kernel
def unshare(m, vm, t, index):
    """Give page `index`, which is shared, a frame of its own. Returns its pfn, 0 when the pool is exhausted: then nothing has changed."""
    new = frame_alloc(m, t)
    if new == 0:
        return 0
    old = backing(m, vm, index)
    copy_page(m, new << 12, old << 12)
    zap_pages(m, vm, t, index, index + 1)  # J4
    back_page(m, vm, index, new)
    leave(m, vm, index, old)
    frames_changed(m, vm)  # a fault for a load that found the shared frame before it had the lock (I-13)
    mark_dirty(m, vm, 0, index)  # J5: after the change
    fetch_add(m, vm + VM.unshared, 1)
    return new


@kernel
def own_page(m, vm, t, index):
    """The pfn behind page `index` for a store to it: un-shared or allocated now if need be. Returns 0 when the pool is exhausted."""
    if sharer_after(m, vm, index):
        return unshare(m, vm, t, index)
    return backing_fault(m, vm, t, index)


@kernel
def forget_share(m, vm, t, index):
    """Page `index` is to be zero, and shared: it gets no frame, which reads as zero. Returns 1, or 0 if it is not shared."""
    if sharer_after(m, vm, index) == 0:
        return 0
    pfn = backing(m, vm, index)
    zap_pages(m, vm, t, index, index + 1)
    store_release(m, read_once(m, vm + VM.backing) + index, 0)
    leave(m, vm, index, pfn)
    frames_changed(m, vm)
    return 1
