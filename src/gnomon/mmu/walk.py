"""walk: what the MMU hardware would do on a TLB miss. Reads the shadow tables with no lock and sets A and D in the leaf.

Context    guest mode (mode odd): that, not RCU, keeps the tables alive; who frees one waits for the span to end (Z2)
Guarantees W1  the TLB gets a store tag only from a leaf with W and D set, by the same load or cmpxchg that saw them (T3)
           W2  a large spte that was split after we went by is no leaf any more when A or D would be set in it: nobody gets a page
               table for a frame
Progress   lock-free: a cmpxchg for A/D fails only because somebody else changed the leaf, and then the walk looks again
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import sar, shl
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, write_once
from gnomon.mem.pool import FRAME_TABLE, frame_payload, frame_tag, frame_word
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, TABLE_ENTRIES, TABLE_SHIFT, role_level
from gnomon.mmu.spte import (
    ACCESSED,
    DIRTY,
    EXECUTABLE,
    LARGE,
    LEVEL_MASK,
    LEVEL_SHIFT,
    PFN_MASK,
    PRESENT,
    READABLE,
    USER,
    WRITABLE,
    is_table,
    spte_table,
)
from gnomon.mmu.tlb import PAGE_MASK, TLB_EXEC, TLB_READ, TLB_WRITE, tlb_fill
from gnomon.mmu.vcpu import VCPU

WALK_FAULT = -1
REGIME_USER = 1
REGIME_SUM = 2
REGIME_MXR = 4
REGIME_SLOT_SHIFT = 3
UNUSED_VA_BITS = 25


@kernel
def regime_flags(regime):
    """REGIME_* bits of a regime number."""
    return (regime - 1) & (REGIME_USER | REGIME_SUM | REGIME_MXR)


@kernel
def regime_slot(regime):
    """Root slot of a regime number; 0 is the direct root, where permissions are the page's alone."""
    return (regime - 1) >> REGIME_SLOT_SHIFT


@kernel
def is_allowed(bits, access, regime):
    """1 if a page with the R W X U of `bits` (spte or PTE, same places) allows `access` in `regime` (Privileged spec 4.3.1)."""
    flags = regime_flags(regime)
    if regime_slot(regime):
        if flags & REGIME_USER:
            if bits & USER == 0:
                return 0
        elif bits & USER and (access == TLB_EXEC or flags & REGIME_SUM == 0):
            return 0
    if access == TLB_READ:
        return int(bits & READABLE != 0 or (flags & REGIME_MXR != 0 and bits & EXECUTABLE != 0))
    if access == TLB_WRITE:
        return int(bits & WRITABLE != 0)
    return int(bits & EXECUTABLE != 0)


@kernel
def table_index(va, level):
    """Which entry of a table of `level` translates `va`."""
    return (va >> (12 + TABLE_SHIFT * (level - 1))) & (TABLE_ENTRIES - 1)


@kernel
def leads_to(m, spte, level):
    """1 if `spte` points to a table of `level`: what LEVEL says in the design that ships, its owner says where sptes carry none."""
    word = frame_word(m, (spte & PFN_MASK) >> 12)
    return int(frame_tag(word) == FRAME_TABLE and role_level(read_once(m, frame_payload(word) + SP.role)) == level)


@kernel
def leaf_of(m, table, va, access):
    """Word of the leaf spte for `va` below the root table `table`, 0 if a level above is not present or, for a store, lacks W.

    Takes the acquire loads that a hardware walk's address dependencies are: a table is filled before it is linked. A lockless caller
    may stand in a table that was reused at once for another level (S-1): an entry of that never counts as a middle spte of this one."""
    level = ROOT_LEVEL
    while level > 1:
        spte = load_acquire(m, table + table_index(va, level))  # pairs with the store_release that links a filled table
        found = spte & (PRESENT | LEVEL_MASK)
        if found != PRESENT | (level << LEVEL_SHIFT) and (found != PRESENT or leads_to(m, spte, level - 1) == 0):
            return 0
        if access == TLB_WRITE and spte & WRITABLE == 0:
            return 0
        if spte & LARGE:
            return table + table_index(va, level)
        table = spte_table(spte)
        level -= 1
    return table + table_index(va, 1)


@kernel
def is_canonical(va):
    """1 if bits 63-39 of `va` equal bit 38, as Sv39 demands (and every address of RAM in a bare regime has it)."""
    return int(sar(shl(va, UNUSED_VA_BITS), UNUSED_VA_BITS) == va)


@kernel
def hardware_walk(m, v, va, access, regime):
    """Translate `va` for `access` in `regime` and fill the TLB. Returns 0, or WALK_FAULT."""
    write_once(m, v + VCPU.walks, read_once(m, v + VCPU.walks) + 1)
    root = read_once(m, v + VCPU.root + regime_slot(regime))
    if root == 0 or is_canonical(va) == 0:
        return WALK_FAULT
    at = leaf_of(m, root, va, access)
    if at == 0:
        return WALK_FAULT
    wanted = ACCESSED
    if access == TLB_WRITE:
        wanted = ACCESSED | DIRTY
    while True:
        spte = load_acquire(m, at)
        if spte & PRESENT == 0 or is_table(spte) or is_allowed(spte, access, regime) == 0:  # W2
            return WALK_FAULT
        if spte & wanted == wanted:
            break
        if cmpxchg(m, at, spte, spte | wanted) == spte:  # loses to protect, zap or another walker: look again (I-4)
            break
    tlb_fill(m, v, va, access, regime, leaf_frame(spte, va))
    return 0


@kernel
def leaf_frame(spte, va):
    """Byte offset of the frame behind `va` in what the leaf `spte` maps: the TLB holds pages of 4 KiB, also out of a large spte."""
    if spte & LARGE:
        return (spte & PFN_MASK) + (va & PAGE_MASK & ((1 << (12 + TABLE_SHIFT)) - 1))
    return spte & PFN_MASK
