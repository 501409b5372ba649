"""Mutants of share.py and sharers.py: each breaks one rule (scenarios/share.py)."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import copy_page
from gnomon.mem.frames import frame_alloc, frame_free, frames_are_equal
from gnomon.mmu.host_page import frames_changed
from gnomon.mmu.invalidate import zap_pages
from gnomon.mmu.region import leaf_rmap, place_in_region, region_of, sharer_after
from gnomon.mmu.share import may_share, merge
from gnomon.mmu.sharers import leave, set_sharer
from gnomon.mmu.slot import back_page, backing, backing_fault, mark_dirty
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def compare_first(m, vm, t, index, other):
    """Mutant of share_page(): compares while the guest may store to the pages."""
    if may_share(m, vm, index, other) == 0 or frames_are_equal(m, backing(m, vm, index), backing(m, vm, other)) == 0:
        return 0
    zap_pages(m, vm, t, other, other + 1)
    zap_pages(m, vm, t, index, index + 1)
    return merge(m, vm, index, other)


@kernel
def compare_one(m, vm, t, index, other):
    """Mutant of share_page(): takes only the page away from the guest whose frame goes."""
    if may_share(m, vm, index, other) == 0:
        return 0
    zap_pages(m, vm, t, other, other + 1)
    if frames_are_equal(m, backing(m, vm, index), backing(m, vm, other)) == 0:
        return 0
    return merge(m, vm, index, other)


@kernel
def all_access(access):
    """Mutant of shared_access(): a leaf of a shared page may get W by a fast fault."""
    return access


@kernel
def unshare_unzapped(m, vm, t, index):
    """Mutant of unshare(): leaves what maps the page to the shared frame."""
    new = frame_alloc(m, t)
    old = backing(m, vm, index)
    copy_page(m, new << 12, old << 12)
    back_page(m, vm, index, new)
    leave(m, vm, index, old)
    frames_changed(m, vm)
    mark_dirty(m, vm, 0, index)
    return new


@kernel
def unshare_unlogged(m, vm, t, index):
    """Mutant of unshare(): the content is the same, so the page is not logged."""
    new = frame_alloc(m, t)
    old = backing(m, vm, index)
    copy_page(m, new << 12, old << 12)
    zap_pages(m, vm, t, index, index + 1)
    back_page(m, vm, index, new)
    leave(m, vm, index, old)
    frames_changed(m, vm)
    return new


@kernel
def unshare_in_place(m, vm, t, index):
    """Mutant of unshare(): the page that is stored to keeps the frame, the others are left to find theirs."""
    leave(m, vm, index, backing(m, vm, index))
    return backing(m, vm, index)


@kernel
def own_whatever(m, vm, t, index):
    """Mutant of own_page(): does not look whether others have the frame."""
    return backing_fault(m, vm, t, index)


@kernel
def leave_unnamed(m, vm, index, pfn):
    """Mutant of leave() for two pages: the frame's word goes on naming the page that left."""
    following = sharer_after(m, vm, index) - 1
    set_sharer(m, vm, index, 0)
    return set_sharer(m, vm, following, 0)


@kernel
def free_at_once(m, vm, index, pfn):
    """Mutant of give_up(): frees the frame whoever else has it."""
    if sharer_after(m, vm, index):
        leave(m, vm, index, pfn)
    frame_free(m, pfn)
    return 1


@kernel
def keep_always(m, vm, index, pfn):
    """Mutant of give_up(): leaves the frame to others that are not there any more."""
    if sharer_after(m, vm, index):
        leave(m, vm, index, pfn)
    return 0


@kernel
def move_early(m, vm, t, index, old):
    """Mutant of move_page(): looks before it has the lock whether others have the frame."""
    shared = sharer_after(m, vm, index)
    new = frame_alloc(m, t)
    copy_page(m, new << 12, old << 12)
    spin_lock(m, vm + VM.mmu_lock)
    back_page(m, vm, index, new)
    if shared == 0:
        frame_free(m, old)
    elif sharer_after(m, vm, index):
        leave(m, vm, index, old)
    spin_unlock(m, vm + VM.mmu_lock)
    return 1


@kernel
def set_sharer_uncounted(m, vm, index, following):
    """Mutant of set_sharer(): the region of the page may be mapped large."""
    links = read_once(m, read_once(m, vm + VM.region_sharers) + region_of(m, vm, index))
    return write_once(m, links + place_in_region(m, vm, index), following)


@kernel
def rmap_by_name(m, vm, at, spte):
    """Mutant of spte_rmap(): takes the spte for one of the page that its frame is named after."""
    return leaf_rmap(m, vm, spte)
