"""megapage: map a region by one large spte while nothing is logged, split it for the dirty log, and recover it afterwards.

Counterpart in Linux: kvm_mmu_hugepage_adjust, kvm_mmu_slot_try_split_huge_pages, kvm_mmu_recover_huge_pages.

    logging off     fault ──▶ large spte                               one slow fault for 512 pages
    enable          eager split: 512 small sptes, same rights          a step a large spte, mmu_lock dropped in between
                    no memory for the table: W cleared, and the first store to the region splits it, or waits for memory
    disable         the tables are zapped; the next fault maps large

Guarantees L1  no large spte is made, and none gets W, while the log is on; when enable_dirty_log() sets the first bit none has W (I-23)
           L2  the small sptes of a split are in their table and their rmaps before the table is in the large spte's place (I-22):
               what the guest could do it can do at every moment, and a harvest that finds a page's bit finds its spte
           L3  a split takes no translation away, so it owes no TLB flush; where memory for an rmap entry is missing, that page's
               mapping is taken away, and counted in VM.tlbs_dirty as by a zap (Z3)
Context    mmu_lock held, but for split_regions and recover_regions, which take it by turns
Progress   a step under mmu_lock is one large spte (512 small ones), or RECOVER_REGIONS regions
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, read_once, store_release, xchg
from gnomon.mem.slab import CACHE_DESC, slab_alloc
from gnomon.mmu.host_page import HOST_RETRY, host_pfn
from gnomon.mmu.leaf import LEAF_NO_MEMORY, LEAF_OK, LEAF_RETRY, LEAF_SMALL
from gnomon.mmu.region import leaf_rmap, may_be_large, region_count, region_first, region_of, region_run
from gnomon.mmu.rmap import DESC, DESC_SPTES, RMAP_LOCKED, page_rmap_add, page_rmap_insert, page_rmap_remove, rmap_insert, rmap_is_full
from gnomon.mmu.shadow_page import (
    ROLE_DIRECT,
    ROLE_LEVEL,
    SP,
    TABLE_ENTRIES,
    hash_head,
    make_role,
    sp_alloc,
    sp_find,
)
from gnomon.mmu.slot import backing, index_of_frame, slot_index
from gnomon.mmu.spte import (
    ACCESSED,
    DIRTY,
    LARGE,
    LARGE_LEVEL,
    LEVEL_SHIFT,
    PFN_MASK,
    PRESENT,
    RIGHTS,
    WRITABLE,
    leaf_access,
    make_large,
    make_nonleaf,
)
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import KEEP_FREE_PAGES, commit_zap, first_of, flush_if_stale, prepare_zap, zap_spte
from gnomon.sync.spinlock import spin_lock, spin_unlock

RECOVER_REGIONS = 8
NO_DESC = -1
LEAF_ZAPPED = 8
"""Of settle_large() alone."""


@kernel
def map_large(m, vm, v, t, at, gpa, access, wanted):
    """Settle a fault of kind `wanted` at `gpa` by a large spte at `at`, of a table of LARGE_LEVEL, if that may be.

    Returns LEAF_OK, LEAF_NO_MEMORY, LEAF_RETRY, or LEAF_SMALL: there is no large spte at `at`, go on with small pages below it."""
    old = read_once(m, at)
    if old & PRESENT and old & LARGE == 0:
        return LEAF_SMALL
    index = slot_index(m, vm, gpa)
    region = region_of(m, vm, index)
    first = region_first(m, vm, region)
    if old & PRESENT:
        found = settle_large(m, vm, t, at, make_large(backing(m, vm, first) << 12, access), wanted)
        if found != LEAF_ZAPPED:
            return found
    if first < 0 or may_be_large(m, vm, region) == 0:
        return LEAF_SMALL
    pfn = host_pfn(m, vm, v, t, index)
    if pfn == 0:
        return LEAF_NO_MEMORY
    if pfn == HOST_RETRY:
        return LEAF_RETRY
    run = region_run(m, vm, first)
    if run == 0:
        return LEAF_SMALL
    page_rmap_add(m, vm, v, read_once(m, vm + VM.region_rmap) + region, at)
    store_release(m, at, make_large(run << 12, access))  # no bit after it: who turns logging on takes mmu_lock first (L1)
    fetch_add(m, vm + VM.large_sptes, 1)
    fetch_add(m, vm + VM.large_maps, 1)
    return LEAF_OK


@kernel
def settle_large(m, vm, t, at, spte, wanted):
    """Make the large spte at `at` allow what `spte` does, or split it. Returns LEAF_*; LEAF_ZAPPED: nothing is at `at` any more."""
    old = read_once(m, at)
    logging = read_once(m, vm + VM.logging)
    if (old ^ spte) & PFN_MASK or old & ~spte & RIGHTS or (logging and spte & ~old & RIGHTS):
        zap_spte(m, vm, t, at)  # another page, or less may be done to it than before, or more, and that page by page
        flush_if_stale(m, vm, 1)
        return LEAF_ZAPPED
    if logging == 0:
        widen_large(m, at, spte)
    elif wanted == TLB_WRITE and old & WRITABLE == 0:
        if split_large(m, vm, t, at) == 0:
            return LEAF_NO_MEMORY
        return LEAF_SMALL
    return LEAF_OK


@kernel
def widen_large(m, at, spte):
    """Add what `spte` allows to the large spte at `at`, W too: nothing is logged, and nobody can begin to (L1). The walker may race."""
    while True:
        old = read_once(m, at)
        if cmpxchg(m, at, old, old | spte) == old:
            return 0


@kernel
def split_large(m, vm, t, at):
    """Put a table of small sptes with the same rights in the place of the large spte at `at` (L2). Returns 1, or 0 for no memory."""
    large = read_once(m, at)
    first = index_of_frame(m, (large & PFN_MASK) >> 12)
    child = split_table(m, vm, t, first + read_once(m, vm + VM.base_gfn), make_role(1, 1, leaf_access(large)))
    desc = NO_DESC
    if child:
        desc = desc_for(m, t, child + SP.parents)
    if desc == NO_DESC:
        fetch_add(m, vm + VM.split_failures, 1)
        return 0
    rmap_insert(m, child + SP.parents, at, desc)
    missing = fill_table(m, vm, t, read_once(m, child + SP.table), large, read_once(m, vm + VM.rmap) + first)
    xchg(m, at, make_nonleaf(read_once(m, child + SP.table), LARGE_LEVEL))  # pairs with load_acquire in leaf_of: forbids an empty table
    page_rmap_remove(m, vm, t, leaf_rmap(m, vm, large), at)
    fetch_add(m, vm + VM.large_sptes, -1)
    fetch_add(m, vm + VM.splits, 1)
    if missing:
        fetch_add(m, vm + VM.split_failures, 1)
        fetch_add(m, vm + VM.tlbs_dirty, missing)  # L3
    return 1


@kernel
def split_table(m, vm, t, gfn, role):
    """The direct shadow page (gfn, role) to split into; another alias of the region may have made it. 0: pool or n_max exhausted."""
    child = sp_find(m, vm, gfn, role)
    if child == 0 and read_once(m, vm + VM.n_used) + KEEP_FREE_PAGES <= read_once(m, vm + VM.n_max):
        child = sp_alloc(m, vm, t, gfn, role)
    return child


@kernel
def desc_for(m, t, head):
    """The descriptor that the next entry of the rmap at `head` takes, from the slab; 0 if it takes none, NO_DESC for no memory."""
    if rmap_is_full(m, head) == 0:
        return 0
    desc = slab_alloc(m, t, CACHE_DESC)
    if desc == 0:
        return NO_DESC
    return desc


@kernel
def fill_table(m, vm, t, table, large, rmap):
    """Fill what is empty of `table` with the small sptes of `large`, each in its rmap, from `rmap` on. Returns how many had no memory.

    They are young and dirty whatever `large` is by now: an A or D that the walker sets in it meanwhile is not lost."""
    small = large ^ LARGE ^ (LARGE_LEVEL << LEVEL_SHIFT) | (1 << LEVEL_SHIFT) | ACCESSED | DIRTY
    missing = 0
    for i in range(TABLE_ENTRIES):
        if read_once(m, table + i) == 0:  # the table may be that of another alias, with entries
            desc = desc_for(m, t, rmap + i)
            if desc == NO_DESC:
                missing += 1
            else:
                page_rmap_insert(m, vm, rmap + i, table + i, desc)
                store_release(m, table + i, small + (i << 12))  # after the rmap entry: a harvest finds who gets W by a fast fault
    return missing


@kernel
def split_regions(m, t, vm):
    """Eager splitting, the log being on: afterwards no large spte has W (L1). No lock held; mmu_lock is dropped after each large spte."""
    for region in range(region_count(m, vm)):
        head = read_once(m, vm + VM.region_rmap) + region
        more = 1
        while more and read_once(m, head):  # without the lock: while the log is on, no large spte comes
            spin_lock(m, vm + VM.mmu_lock)
            more = split_one(m, vm, t, head)
            spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def split_one(m, vm, t, head):
    """Split a large spte of the rmap at `head`; if there is no memory, write-protect all of them. Returns 1 if another may be left."""
    at = first_of(m, head)
    if at == 0 or read_once(m, vm + VM.logging) == 0:
        return 0
    if split_large(m, vm, t, at):
        return 1
    return protect_region(m, head)  # the harvest that takes these pages' bits, set after us, flushes


@kernel
def protect_region(m, head):
    """Clear W in every large spte of the rmap at `head`: only a fault that splits them gives it back (L1)."""
    value = read_once(m, head) & ~RMAP_LOCKED
    if value & 1 == 0:
        return protect_large(m, value >> 1)
    link = value ^ 1
    while link & 1 == 0:
        for i in range(DESC_SPTES):
            at = read_once(m, (link >> 1) + DESC.sptes + i)
            if at:
                protect_large(m, at)
        link = read_once(m, (link >> 1) + DESC.more)
    return 0


@kernel
def protect_large(m, at):
    """Clear W in the large spte at `at`. The walker may race for A and D."""
    while True:
        spte = read_once(m, at)
        if cmpxchg(m, at, spte, spte & ~WRITABLE) == spte:
            return 0


@kernel
def recover_regions(m, t, vm):
    """Zap the tables of small sptes that a large one can replace, the log being off: the next fault maps large. No lock held."""
    regions = region_count(m, vm)
    region = 0
    while region < regions:
        spin_lock(m, vm + VM.mmu_lock)
        zapped = 0
        for _ in range(RECOVER_REGIONS):
            if region < regions:
                zapped = collapse(m, vm, t, region, zapped)
                region += 1
        commit_zap(m, vm, t, zapped)
        spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def collapse(m, vm, t, region, zapped):
    """Put the direct leaf tables of `region` in front of the chain `zapped` if a large spte may replace them. Returns the new chain."""
    first = region_first(m, vm, region)
    if first < 0 or may_be_large(m, vm, region) == 0:
        return zapped
    gfn = first + read_once(m, vm + VM.base_gfn)
    sp = read_once(m, hash_head(m, vm, gfn))
    while sp:
        following = read_once(m, sp + SP.hash_next)
        direct_leaf = int(read_once(m, sp + SP.role) & (ROLE_LEVEL | ROLE_DIRECT) == 1 | ROLE_DIRECT)
        if direct_leaf and read_once(m, sp + SP.gfn) == gfn and region_run(m, vm, first):
            zapped = prepare_zap(m, vm, t, sp, zapped)
            fetch_add(m, vm + VM.recoveries, 1)
        sp = following
    return zapped
