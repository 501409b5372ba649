"""guest walk: read the guest's own Sv39 tables while shadowing them, one level at a time, top down.

Counterpart in Linux: paging_tmpl.h (walk_addr and fetch in one pass: both run under mmu_lock here, so nothing has to be re-checked).
Specification: RISC-V Privileged, "Sv39: Page-Based 39-bit Virtual-Memory System", steps 1-10; A and D are set by us (Svadu).

Owns       the A/D write-back to the guest's PTE
Guarantees E1  an entry of a guest table is read only after its page is tracked: any store to it since then came through track.py (I-15)
           E2  MMU_W is given only when the PTE has W and D
Context    mmu_lock held, rmap_top_up done
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shr
from gnomon.lang.atomics import fetch_add, mb, read_once, write_once
from gnomon.lang.guest_memory import load64, store64
from gnomon.mmu.design import TABLES_UNTRACKED
from gnomon.mmu.host_page import HOST_RETRY, host_pfn
from gnomon.mmu.leaf import direct_child, link_child, note_use, repair_middle, set_leaf
from gnomon.mmu.rmap import CHANGED_MASK, PROTECT_TABLE, rmap_walk
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, TABLE_SHIFT, child_page, make_role, sp_alloc, sp_find
from gnomon.mmu.slot import mark_dirty, slot_index
from gnomon.mmu.slow_fault import map_below
from gnomon.mmu.spte import ACCESS_ALL, ACCESSED, DIRTY, EXECUTABLE, PRESENT, READABLE, USER, WRITABLE, spte_table
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import is_allowed, regime_slot, table_index
from gnomon.mmu.zap import flush_if_stale, zap_spte

PTE_VALID = 1
PTE_PPN_SHIFT = 10
PTE_PPN_MASK = (1 << 44) - 1
PTE_RESERVED_SHIFT = 54

GUEST_OK = 0
GUEST_NO_MEMORY = 1
GUEST_TRACKED = 2
GUEST_PAGE_FAULT = 3
GUEST_ACCESS_FAULT = 4
GUEST_MMIO = 5
GUEST_RETRY = 6


@kernel
def track_page(m, vm, index):
    """From here on a store to page `index` comes to us: count it as a guest table, protect its sptes, flush (I-15)."""
    fetch_add(m, read_once(m, vm + VM.tracked) + index, 1)
    mb()
    if read_once(m, vm + VM.design) & TABLES_UNTRACKED:
        return 0
    changed = rmap_walk(m, vm, read_once(m, vm + VM.rmap) + index, PROTECT_TABLE)
    flush_if_stale(m, vm, changed & CHANGED_MASK)
    return 0


@kernel
def guest_table(m, vm, t, gfn, level):
    """The indirect shadow page of the guest table `gfn` at `level`, made and tracked if need be. 0 when the pool is exhausted."""
    role = make_role(level, 0, 0)
    sp = sp_find(m, vm, gfn, role)
    if sp == 0:
        sp = sp_alloc(m, vm, t, gfn, role)
        if sp:
            track_page(m, vm, gfn - read_once(m, vm + VM.base_gfn))
    return sp


@kernel
def is_malformed(pte, level):
    """1 if a valid PTE breaks the format: reserved bits, W without R, a non-leaf with A, D or U, a misaligned superpage."""
    if shr(pte, PTE_RESERVED_SHIFT) or pte & (READABLE | WRITABLE) == WRITABLE:
        return 1
    if pte & (READABLE | EXECUTABLE) == 0:
        return int(pte & (ACCESSED | DIRTY | USER) != 0 or level == 1)
    return int(((pte >> PTE_PPN_SHIFT) & ((1 << (TABLE_SHIFT * (level - 1))) - 1)) != 0)


@kernel
def set_accessed_dirty(m, vm, v, index, at, pte, wanted):
    """Set A, and D for a store, in the PTE at byte offset `at` of table page `index`. Returns the PTE as it is now."""
    new = pte | ACCESSED
    if wanted == TLB_WRITE:
        new = new | DIRTY
    if new != pte:
        store64(m, at, new)  # under mmu_lock, and the page is tracked: nobody else stores here
        mark_dirty(m, vm, v, index)  # after the store: a copy made before it is followed by another
    return new


@kernel
def guest_root(m, vm, v, t, regime):
    """Shadow page of the root of `regime`, 0 if the pool is exhausted, -1 if satp points outside RAM."""
    slot = regime_slot(regime)
    gfn = read_once(m, v + VCPU.root_satp + slot)
    if slot_index(m, vm, gfn << 12) < 0:
        return -1
    sp = guest_table(m, vm, t, gfn, ROOT_LEVEL)
    if sp:
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
        entry = table_index(va, level)
        pte_at = (pfn << 12) + entry * 8
        pte = load64(m, pte_at)
        if pte & PTE_VALID == 0 or is_malformed(pte, level):
            return GUEST_PAGE_FAULT
        gfn = (pte >> PTE_PPN_SHIFT) & PTE_PPN_MASK
        at = read_once(m, sp + SP.table) + entry
        if pte & (READABLE | EXECUTABLE):
            break
        if slot_index(m, vm, gfn << 12) < 0:
            return GUEST_ACCESS_FAULT
        sp = indirect_child(m, vm, v, t, at, level, gfn)
        if sp == 0:
            return GUEST_NO_MEMORY
        level -= 1
    if is_allowed(pte, wanted, regime) == 0:
        return GUEST_PAGE_FAULT
    pte = set_accessed_dirty(m, vm, v, table, pte_at, pte, wanted)
    gpa = (gfn << 12) + (va & ((1 << (12 + TABLE_SHIFT * (level - 1))) - 1))
    write_once(m, v + VCPU.fault_gpa, gpa)
    if slot_index(m, vm, gpa) < 0:
        return GUEST_MMIO
    access = pte & ACCESS_ALL
    if pte & DIRTY == 0:
        access = access & ~WRITABLE  # E2: the first store comes here and sets D
    if level == 1:
        return set_leaf(m, vm, v, t, at, slot_index(m, vm, gpa), access, wanted)
    child = map_superpage(m, vm, v, t, at, level, gpa, access)
    if child == 0:
        return GUEST_NO_MEMORY
    return map_below(m, vm, v, child, level - 1, gpa, access, wanted)


@kernel
def map_superpage(m, vm, v, t, at, level, gpa, access):
    """The direct shadow page below the middle spte at `at` of a table of `level`, for the superpage of `gpa`. 0: pool exhausted."""
    span = TABLE_SHIFT * (level - 1)
    return direct_child(m, vm, v, t, at, level, ((gpa >> 12) >> span) << span, access)


@kernel
def indirect_child(m, vm, v, t, at, level, gfn):
    """Shadow page of the guest table `gfn` below the spte at `at` of a table of `level`, linked now if need be. 0: pool exhausted."""
    role = make_role(level - 1, 0, 0)
    spte = read_once(m, at)
    if spte & PRESENT:
        child = child_page(m, spte_table(spte))
        if read_once(m, child + SP.role) == role and read_once(m, child + SP.gfn) == gfn:
            repair_middle(m, vm, at, spte)
            return child
        zap_spte(m, vm, t, at)
        flush_if_stale(m, vm, 1)
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        link_child(m, vm, v, t, at, level, child)
    return child
