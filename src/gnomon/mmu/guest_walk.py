"""guest walk: read the guest's own Sv39 tables while shadowing them, one level at a time, top down.

Counterpart in Linux: paging_tmpl.h (walk_addr and fetch in one pass: both run under mmu_lock here, so nothing has to be re-checked).
Specification: RISC-V Privileged, "Sv39: Page-Based 39-bit Virtual-Memory System", steps 1-10; A and D are set by us (Svadu).

Owns       the A/D write-back to the guest's PTE
Guarantees E1  an entry of a guest table is read only after its page is tracked: any store to it since then came through track.py (I-15),
               or made the table unsync first (unsync.py)
           E2  MMU_W is given only when the PTE has W and D
           E3  A and D are set by a cmpxchg of the PTE that was looked at: a racing store of the guest is never lost
Context    mmu_lock held, rmap_top_up done
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, mb, read_once, write_once
from gnomon.lang.guest_memory import cmpxchg_guest64, load64
from gnomon.mmu.design import TABLES, TABLES_UNTRACKED
from gnomon.mmu.guest_pte import PTE_VALID, is_malformed, pte_access, pte_gfn
from gnomon.mmu.host_page import HOST_RETRY, host_pfn
from gnomon.mmu.leaf import link_child, note_use, repair_middle
from gnomon.mmu.region import region_of, sharer_after
from gnomon.mmu.rmap import CHANGED_MASK, PROTECT_TABLE, rmap_walk
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, TABLE_SHIFT, child_page, make_role, sp_alloc, sp_find
from gnomon.mmu.share import unshare
from gnomon.mmu.slot import mark_dirty, slot_index
from gnomon.mmu.slow_fault import map_below
from gnomon.mmu.spte import ACCESSED, DIRTY, EXECUTABLE, LARGE, PRESENT, READABLE, spte_table
from gnomon.mmu.sync_page import sync_for_use, sync_gfn
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import is_allowed, regime_slot, table_index
from gnomon.mmu.zap import flush_if_stale, zap_region, zap_spte

GUEST_OK = 0
GUEST_NO_MEMORY = 1
GUEST_TRACKED = 2
GUEST_PAGE_FAULT = 3
GUEST_ACCESS_FAULT = 4
GUEST_MMIO = 5
GUEST_RETRY = 6


@kernel
def track_page(m, vm, t, index):
    """From here on a store to page `index` comes to us: count it as a guest table, protect its sptes, flush (I-15).

    A large spte that maps it goes: the other pages of its region come back as small ones."""
    fetch_add(m, read_once(m, vm + VM.tracked) + index, 1)
    mb()
    region = region_of(m, vm, index)
    fetch_add(m, read_once(m, vm + VM.region_tracked) + region, 1)
    if read_once(m, vm + VM.design) & TABLES == TABLES_UNTRACKED:
        return 0
    changed = zap_region(m, vm, t, region)
    changed += rmap_walk(m, vm, read_once(m, vm + VM.rmap) + index, PROTECT_TABLE) & CHANGED_MASK
    flush_if_stale(m, vm, changed)
    return 0


@kernel
def guest_table(m, vm, t, gfn, level):
    """The indirect shadow page of the guest table `gfn` at `level`, made and tracked if need be. 0 when the pool is exhausted."""
    role = make_role(level, 0, 0)
    sp = sp_find(m, vm, gfn, role)
    if sp == 0:
        sp = sp_alloc(m, vm, t, gfn, role)
        if sp:
            track_page(m, vm, t, gfn - read_once(m, vm + VM.base_gfn))
            if level > 1:
                sync_gfn(m, vm, t, gfn)  # it is found by try_to_unsync() from now on: what was unsync is so for the last time (U4)
    return sp


@kernel
def set_accessed_dirty(m, vm, v, index, at, pte, new):
    """Make the PTE `pte` at byte offset `at` of table page `index` the same with A and D set, `new`. Returns 0 if it has changed."""
    if new == pte:
        return 1
    if cmpxchg_guest64(m, at, pte, new) != pte:  # the table may be unsync: forbids that a store of the guest is overwritten (E3)
        return 0
    mark_dirty(m, vm, v, index)  # after the store: a copy made before it is followed by another
    return 1


@kernel
def guest_root(m, vm, v, t, regime):
    """Shadow page of the root of `regime`, 0 if the pool is exhausted, -1 if satp points outside RAM."""
    slot = regime_slot(regime)
    gfn = read_once(m, v + VCPU.root_satp + slot)
    if slot_index(m, vm, gfn << 12) < 0:
        return -1
    sp = guest_table(m, vm, t, gfn, ROOT_LEVEL)
    if sp:
        if read_once(m, v + VCPU.root + slot) == 0:
            sync_for_use(m, vm, t, sp)  # a fence of this hart may have come since it was loaded last (U5)
        write_once(m, v + VCPU.root + slot, read_once(m, sp + SP.table))
    return sp


@kernel
def guest_fault(m, vm, v, va, wanted, regime):
    """Shadow the translation of `va` for an access of kind `wanted`. Returns GUEST_*; fault_gpa says where it wanted to go."""
    t = read_once(m, v + VCPU.thread)
    sp = guest_root(m, vm, v, t, regime)
    if sp == 0:
        return GUEST_NO_MEMORY
    if sp == -1:
        return GUEST_ACCESS_FAULT
    level = ROOT_LEVEL
    while True:
        note_use(m, sp)
        table = slot_index(m, vm, read_once(m, sp + SP.gfn) << 12)
        pfn = host_pfn(m, vm, v, t, table)
        if pfn == 0:
            return GUEST_NO_MEMORY
        if pfn == HOST_RETRY:
            return GUEST_RETRY
        if sharer_after(m, vm, table):  # tracked by now, so never shared again; A and D are set in it (share.py)
            pfn = unshare(m, vm, t, table)
            if pfn == 0:
                return GUEST_NO_MEMORY
        entry = table_index(va, level)
        pte_at = (pfn << 12) + entry * 8
        pte = load64(m, pte_at)
        if pte & PTE_VALID == 0 or is_malformed(pte, level):
            return GUEST_PAGE_FAULT
        gfn = pte_gfn(pte)
        at = read_once(m, sp + SP.table) + entry
        if pte & (READABLE | EXECUTABLE):
            if is_allowed(pte, wanted, regime) == 0:
                return GUEST_PAGE_FAULT
            used = pte | ACCESSED
            if wanted == TLB_WRITE:
                used = used | DIRTY
            if set_accessed_dirty(m, vm, v, table, pte_at, pte, used):
                break
        elif slot_index(m, vm, gfn << 12) < 0:
            return GUEST_ACCESS_FAULT
        else:
            sp = indirect_child(m, vm, v, t, at, level, gfn)
            if sp == 0:
                return GUEST_NO_MEMORY
            level -= 1
    gpa = (gfn << 12) + (va & ((1 << (12 + TABLE_SHIFT * (level - 1))) - 1))
    write_once(m, v + VCPU.fault_gpa, gpa)
    if slot_index(m, vm, gpa) < 0:
        return GUEST_MMIO
    return map_below(m, vm, v, at, level, gpa, pte_access(used), wanted)


@kernel
def indirect_child(m, vm, v, t, at, level, gfn):
    """Shadow page of the guest table `gfn` below the spte at `at` of a table of `level`, linked now if need be. 0: pool exhausted."""
    role = make_role(level - 1, 0, 0)
    spte = read_once(m, at)
    if spte & PRESENT:
        if spte & LARGE == 0:
            child = child_page(m, spte_table(spte))
            if read_once(m, child + SP.role) == role and read_once(m, child + SP.gfn) == gfn:
                repair_middle(m, vm, at, spte)
                return child
        zap_spte(m, vm, t, at)
        flush_if_stale(m, vm, 1)
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        sync_for_use(m, vm, t, child)  # the guest need not fence for a table that it links anew (U6)
        link_child(m, vm, v, t, at, level, child)
    return child
