"""region: 2 MiB of guest RAM, aligned, that one large spte can map. Counterpart in Linux: struct kvm_lpage_info.

Owns       VM.region_rmap[r]      rmap head of the large sptes of region r: one word per gfn and level, as in Linux
           VM.region_tracked[r]   shadow pages that shadow a page of it as a guest table, and pages of it that share a frame (sharers.py)
Guarantees M1  while a page of a region is write-tracked no large spte maps it: a store to a guest table would go by unseen
           M2  a large spte maps a region whose frames lie in a row, aligned: frame i is page i's
Context    mmu_lock
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.mmu.design import PAGES, PAGES_SMALL
from gnomon.mmu.shadow_page import TABLE_ENTRIES, TABLE_SHIFT
from gnomon.mmu.slot import backing, index_of_frame
from gnomon.mmu.spte import LARGE, PFN_MASK, carries_level
from gnomon.mmu.vm_words import VM


@kernel
def region_of(m, vm, index):
    """Region of page `index`; RAM need not begin with a whole one."""
    return (index + (read_once(m, vm + VM.base_gfn) & (TABLE_ENTRIES - 1))) >> TABLE_SHIFT


@kernel
def sharer_after(m, vm, index):
    """1 + the next page behind the frame of page `index`, 0 if the frame is its own (sharers.py). Under mmu_lock."""
    links = read_once(m, read_once(m, vm + VM.region_sharers) + region_of(m, vm, index))
    if links == 0:
        return 0
    return read_once(m, links + place_in_region(m, vm, index))


@kernel
def place_in_region(m, vm, index):
    """Which page of its region page `index` is."""
    return (index + read_once(m, vm + VM.base_gfn)) & (TABLE_ENTRIES - 1)


@kernel
def region_count(m, vm):
    """Regions of this machine, those that are partly RAM too."""
    return region_of(m, vm, read_once(m, vm + VM.pages) - 1) + 1


@kernel
def region_first(m, vm, region):
    """Index of the first page of `region`, -1 if not all of it is RAM."""
    first = (region << TABLE_SHIFT) - (read_once(m, vm + VM.base_gfn) & (TABLE_ENTRIES - 1))
    if first < 0 or first + TABLE_ENTRIES > read_once(m, vm + VM.pages):
        return -1
    return first


@kernel
def region_run(m, vm, first):
    """pfn of page `first` if the whole region that begins with it is backed by frames in a row, aligned (M2), else 0."""
    pfn = backing(m, vm, first)
    if pfn & (TABLE_ENTRIES - 1):
        return 0
    for i in range(TABLE_ENTRIES):
        if backing(m, vm, first + i) != pfn + i:
            return 0
    return pfn


@kernel
def may_be_large(m, vm, region):
    """1 if a large spte may map `region` as far as the design, the log, guest tables (M1) and changes of frames go."""
    design = read_once(m, vm + VM.design)
    if design & PAGES == PAGES_SMALL or carries_level(design) == 0 or read_once(m, vm + VM.logging):
        return 0
    if read_once(m, vm + VM.invalidating):  # of whichever page: what is behind a region stays while mmu_lock is held only if it is 0
        return 0
    return int(read_once(m, read_once(m, vm + VM.region_tracked) + region) == 0)


@kernel
def leaf_rmap(m, vm, spte):
    """The rmap head where the leaf `spte` belongs."""
    index = index_of_frame(m, (spte & PFN_MASK) >> 12)
    if spte & LARGE:
        return read_once(m, vm + VM.region_rmap) + region_of(m, vm, index)
    return read_once(m, vm + VM.rmap) + index
