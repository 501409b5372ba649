"""leaf: install the last spte of a translation, and link tables above it. Counterpart in Linux: mmu_set_spte, link_shadow_page.

Owns       the publish order of a new leaf: rmap, then spte, then dirty bit, a full barrier before the bit (I-7). Linux writes the spte
           first, which is not enough here: a leaf without W can get W and its bit by another vCPU's fast fault at once, and a harvest
           that takes the bit must find the rmap entry by then
Context    mmu_lock held, rmap_top_up done; the slow fault path only
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_or, read_once, store_release, write_once
from gnomon.mmu.design import GUARD, GUARD_FIXUP, PUBLISH, PUBLISH_BITMAP_FIRST, PUBLISH_SPTE_FIRST, TABLES, TABLES_UNSYNC, TABLES_UNTRACKED
from gnomon.mmu.fast_fault import make_writable
from gnomon.mmu.host_page import HOST_RETRY, host_pfn
from gnomon.mmu.region import sharer_after
from gnomon.mmu.rmap import page_rmap_add, rmap_add
from gnomon.mmu.shadow_page import SP, child_page, make_role, sp_alloc, sp_find
from gnomon.mmu.share import shared_access, unshare
from gnomon.mmu.slot import mark_dirty
from gnomon.mmu.spte import (
    EXECUTABLE,
    MMU_WRITABLE,
    PFN_MASK,
    PRESENT,
    READABLE,
    USER,
    WRITABLE,
    encode_leaf,
    encode_middle,
    make_leaf,
    make_nonleaf,
    spte_table,
)
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.unsync import try_to_unsync
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import flush_if_stale, zap_spte

LEAF_OK = 0
LEAF_NO_MEMORY = 1
LEAF_TRACKED = 2
LEAF_RETRY = 6
LEAF_SMALL = 7


@kernel
def set_leaf(m, vm, v, t, at, index, access, wanted):
    """Make the spte at `at` map page `index` with the R W X U of `access`, for a fault that `wanted` this kind of access.

    Returns LEAF_OK, LEAF_NO_MEMORY, LEAF_RETRY (the host is changing the frame: nothing mapped), or LEAF_TRACKED: mapped read-only
    because the page is a guest table, and a store was wanted."""
    pfn = host_pfn(m, vm, v, t, index)
    if pfn == 0:
        return LEAF_NO_MEMORY
    if pfn == HOST_RETRY:
        return LEAF_RETRY
    if sharer_after(m, vm, index):
        if wanted == TLB_WRITE:
            pfn = unshare(m, vm, t, index)
            if pfn == 0:
                return LEAF_NO_MEMORY
        else:
            access = shared_access(access)
    tracked = read_once(m, read_once(m, vm + VM.tracked) + index)
    design = read_once(m, vm + VM.design)
    if design & TABLES == TABLES_UNTRACKED:
        tracked = 0
    if tracked and wanted == TLB_WRITE and design & TABLES_UNSYNC and try_to_unsync(m, vm, index):
        tracked = 0
    if tracked:
        access = access & ~WRITABLE
    spte = encode_leaf(make_leaf(pfn << 12, access), design)
    if read_once(m, vm + VM.logging) and wanted != TLB_WRITE:
        spte = spte & ~WRITABLE  # the first store will say so by itself
    old = read_once(m, at)
    if old & PRESENT and (old & PFN_MASK != spte & PFN_MASK or old & ~spte & (MMU_WRITABLE | READABLE | EXECUTABLE | USER)):
        zap_spte(m, vm, t, at)  # another page, or less may be done to it than before
        flush_if_stale(m, vm, 1)
        old = 0
    if old & PRESENT:
        widen(m, vm, v, at, spte)
    else:
        publish(m, vm, v, at, index, spte)
    if tracked and wanted == TLB_WRITE:
        return LEAF_TRACKED
    return LEAF_OK


@kernel
def publish(m, vm, v, at, index, spte):
    """A new leaf becomes visible: rmap, spte, dirty bit."""
    order = read_once(m, vm + VM.design) & PUBLISH
    if order == PUBLISH_BITMAP_FIRST and spte & WRITABLE:
        mark_dirty(m, vm, v, index)
    if order == PUBLISH_SPTE_FIRST:
        store_release(m, at, spte)
    page_rmap_add(m, vm, v, read_once(m, vm + VM.rmap) + index, at)
    if order != PUBLISH_SPTE_FIRST:
        store_release(m, at, spte)  # pairs with the cmpxchg of make_writable: forbids W, given and logged by it, with no rmap entry yet
    if spte & WRITABLE and order != PUBLISH_BITMAP_FIRST:
        mark_dirty(m, vm, v, index)  # full barrier, pairs with the xchg of harvest_word: forbids "bit taken, spte not yet in the rmap"
    return 0


@kernel
def widen(m, vm, v, at, spte):
    """Add what `spte` allows to the present leaf at `at` of the same page. The protector and the walker may race (I-4)."""
    while True:
        old = read_once(m, at)
        new = old | (spte & ~WRITABLE)
        if new == old or cmpxchg(m, at, old, new) == old:
            break
    while spte & WRITABLE:
        old = read_once(m, at)
        if old & WRITABLE or make_writable(m, vm, v, at, old):
            break
    return 0


@kernel
def link_child(m, vm, v, t, at, level, child):
    """Make the middle spte at `at` in a table of `level` point to shadow page `child`. The child's table is filled or empty by now."""
    rmap_add(m, v, child + SP.parents, at)
    spte = encode_middle(make_nonleaf(read_once(m, child + SP.table), level), read_once(m, vm + VM.design))
    store_release(m, at, spte)  # pairs with load_acquire in leaf_of
    return 0


@kernel
def repair_middle(m, vm, at, spte):
    """The fixup: a protector that was led astray took W from the middle `spte` at `at`, the fault is here for that: give it back (C12)."""
    if spte & WRITABLE == 0 and read_once(m, vm + VM.design) & GUARD == GUARD_FIXUP:
        fetch_or(m, at, WRITABLE)
    return 0


@kernel
def direct_child(m, vm, v, t, at, level, gfn, access):
    """The direct shadow page of (gfn, level - 1, access) below the spte at `at` of a table of `level`, linked now if need be.

    Returns 0 when the pool is exhausted."""
    role = make_role(level - 1, 1, access)
    spte = read_once(m, at)
    if spte & PRESENT:
        child = child_page(m, spte_table(spte))
        if read_once(m, child + SP.role) == role and read_once(m, child + SP.gfn) == gfn:
            repair_middle(m, vm, at, spte)
            return child
        zap_spte(m, vm, t, at)
        flush_if_stale(m, vm, 1)
    child = sp_find(m, vm, gfn, role)
    if child == 0:
        child = sp_alloc(m, vm, t, gfn, role)
        if child == 0:
            return 0
    link_child(m, vm, v, t, at, level, child)
    return child


@kernel
def note_use(m, sp):
    """A fault went through `sp`: what the guest wrote to its table were table writes after all."""
    if read_once(m, sp + SP.writes):
        write_once(m, sp + SP.writes, 0)
    return 0
