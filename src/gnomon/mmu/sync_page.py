"""sync page: bring unsync leaf tables into line with the guest's again. Counterpart in Linux: mmu_sync_children, kvm_sync_page.

In this order: the table's page is write-protected, the TLBs that may hold it writable are flushed, every spte is compared with the
guest's PTE and zapped if that does not say so any more, the marks go. Sptes are only taken away here; the next fault makes the new ones.

Guarantees Y1  when a table is compared nobody can store to it without mmu_lock: no store falls between the comparison and the end of unsync
           Y2  an spte that stays maps the page its PTE names and allows no more than that does, with A, and D if writable
Context    mmu_lock held, the caller outside guest mode
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import ctz
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import load64
from gnomon.mmu.design import TABLES, TABLES_UNPROTECTED
from gnomon.mmu.guest_pte import PTE_VALID, is_malformed, pte_access, pte_gfn
from gnomon.mmu.rmap import CHANGED_MASK, PROTECT_TABLE, rmap_walk
from gnomon.mmu.shadow_page import BITMAP_WORDS, SP, TABLE_ENTRIES, TABLE_SHIFT, child_page, hash_head, role_level
from gnomon.mmu.slot import backing, slot_index
from gnomon.mmu.spte import ACCESSED, EXECUTABLE, MMU_WRITABLE, PFN_MASK, PRESENT, READABLE, USER, WRITABLE, spte_table
from gnomon.mmu.unsync import forget_unsync
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import flush_if_stale, zap_spte

SYNC_BATCH = 16
"""Tables that share a flush."""
IN_CHAIN = 2


@kernel
def is_stale(m, vm, spte, pte):
    """1 if the leaf table's entry `pte` does not say what `spte` does (Y2)."""
    if pte & (PTE_VALID | ACCESSED) != PTE_VALID | ACCESSED or is_malformed(pte, 1):
        return 1
    index = slot_index(m, vm, pte_gfn(pte) << 12)
    if index < 0 or backing(m, vm, index) << 12 != spte & PFN_MASK:
        return 1
    access = pte_access(pte)
    if (spte ^ access) & USER or spte & ~access & (READABLE | EXECUTABLE):
        return 1
    return int(spte & (MMU_WRITABLE | WRITABLE) != 0 and access & WRITABLE == 0)


@kernel
def sync_entry(m, vm, t, sp, entry):
    """Compare the spte `entry` of leaf table `sp` with the guest's PTE and zap it if it is stale. Who holds it in a TLB has to fence."""
    at = read_once(m, sp + SP.table) + entry
    spte = read_once(m, at)
    if spte & PRESENT:
        pfn = backing(m, vm, slot_index(m, vm, read_once(m, sp + SP.gfn) << 12))
        if pfn == 0 or is_stale(m, vm, spte, load64(m, (pfn << 12) + entry * 8)):
            zap_spte(m, vm, t, at)
            fetch_add(m, vm + VM.synced_sptes, 1)
    return 0


@kernel
def sync_entries(m, vm, t, sp):
    """Compare all of leaf table `sp`."""
    for entry in range(TABLE_ENTRIES):
        sync_entry(m, vm, t, sp, entry)
    return 0


@kernel
def sync_chain(m, vm, t, chain):
    """Sync the unsync tables of a chain through SP.work_next, with one flush for all."""
    changed = 0
    sp = chain
    if read_once(m, vm + VM.design) & TABLES == TABLES_UNPROTECTED:
        sp = 0
    while sp:
        index = slot_index(m, vm, read_once(m, sp + SP.gfn) << 12)
        changed += rmap_walk(m, vm, read_once(m, vm + VM.rmap) + index, PROTECT_TABLE) & CHANGED_MASK
        sp = read_once(m, sp + SP.work_next)
    flush_if_stale(m, vm, changed)  # Y1: waits for the harts that could store through their TLB
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        sync_entries(m, vm, t, sp)
        forget_unsync(m, vm, sp)  # after the comparison: a fence that finds no mark any more uses no stale spte (U3)
        fetch_add(m, vm + VM.syncs, 1)
        sp = following
    return 0


@kernel
def sync_for_use(m, vm, t, sp):
    """Sync `sp`, or every unsync table below it: it is about to be loaded or linked, or its hart fences."""
    if read_once(m, sp + SP.unsync):
        write_once(m, sp + SP.work_next, 0)
        sync_chain(m, vm, t, sp)
    while read_once(m, sp + SP.unsync_children):
        chain = 0
        number = -1
        for _ in range(SYNC_BATCH):
            number = next_unsync(m, sp, number + 1)
            if number < 0:
                break
            child = leaf_table(m, sp, number)
            if read_once(m, child + SP.unsync) != IN_CHAIN:  # it may be linked twice
                write_once(m, child + SP.unsync, IN_CHAIN)
                write_once(m, child + SP.work_next, chain)
                chain = child
        sync_chain(m, vm, t, chain)
    return 0


@kernel
def sync_gfn(m, vm, t, gfn):
    """Sync whatever shadows the guest table `gfn`."""
    sp = read_once(m, hash_head(m, vm, gfn))
    while sp:
        if read_once(m, sp + SP.gfn) == gfn and read_once(m, sp + SP.unsync):
            sync_for_use(m, vm, t, sp)
        sp = read_once(m, sp + SP.hash_next)
    return 0


@kernel
def next_unsync(m, sp, number):
    """The first leaf table from `number` on, counted from the first below `sp`, that is marked; -1 if none is."""
    top = role_level(read_once(m, sp + SP.role))
    level = top
    page = sp
    while number >> (TABLE_SHIFT * (top - 1)) == 0:
        shift = TABLE_SHIFT * (level - 2)
        entry = (number >> shift) & (TABLE_ENTRIES - 1)
        found = next_bit(m, page, entry)
        if found != entry:
            number = ((number >> shift) + found - entry) << shift
        if found == TABLE_ENTRIES:
            page = sp
            level = top
        elif level == 2:
            return number
        else:
            page = child_page(m, spte_table(read_once(m, read_once(m, page + SP.table) + found)))
            level -= 1
    return -1


@kernel
def next_bit(m, page, entry):
    """The first entry of `page` from `entry` on that is marked, TABLE_ENTRIES if none is."""
    word = entry >> 6
    bits = read_once(m, page + SP.unsync_bitmap + word) & (-1 << (entry & 63))
    while bits == 0:
        word += 1
        if word == BITMAP_WORDS:
            return TABLE_ENTRIES
        bits = read_once(m, page + SP.unsync_bitmap + word)
    return (word << 6) + ctz(bits)


@kernel
def leaf_table(m, sp, number):
    """The shadow page of leaf table `number` below `sp`."""
    for level in range(role_level(read_once(m, sp + SP.role)), 1, -1):
        entry = (number >> (TABLE_SHIFT * (level - 2))) & (TABLE_ENTRIES - 1)
        sp = child_page(m, spte_table(read_once(m, read_once(m, sp + SP.table) + entry)))
    return sp
