"""What breaks a rule of megapages: L1, L2, I-22, I-23, W2, M1."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release, xchg
from gnomon.mmu.leaf import LEAF_OK
from gnomon.mmu.megapage import fill_table, split_large, widen_large
from gnomon.mmu.region import leaf_rmap
from gnomon.mmu.rmap import rmap_insert, rmap_remove
from gnomon.mmu.shadow_page import SP, TABLE_ENTRIES, make_role, sp_alloc
from gnomon.mmu.slot import index_of_frame
from gnomon.mmu.spte import (
    ACCESSED,
    DIRTY,
    LARGE,
    LARGE_LEVEL,
    LEVEL_SHIFT,
    MMU_WRITABLE,
    PFN_MASK,
    PRESENT,
    WRITABLE,
    leaf_access,
    make_nonleaf,
)
from gnomon.mmu.tlb import TLB_WRITE, tlb_fill
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import WALK_FAULT, is_allowed, leaf_frame, leaf_of, regime_slot


@kernel
def split_linking_first(m, vm, t, at):
    """Mutant of split_large(): the table is linked, then filled."""
    large = read_once(m, at)
    first = index_of_frame(m, (large & PFN_MASK) >> 12)
    child = sp_alloc(m, vm, t, first + read_once(m, vm + VM.base_gfn), make_role(1, 1, leaf_access(large)))
    rmap_insert(m, child + SP.parents, at, 0)
    xchg(m, at, make_nonleaf(read_once(m, child + SP.table), LARGE_LEVEL))
    fill_table(m, vm, t, read_once(m, child + SP.table), large, read_once(m, vm + VM.rmap) + first)
    rmap_remove(m, t, leaf_rmap(m, vm, large), at)
    return 1


@kernel
def fill_without_rmap(m, vm, t, table, large, rmap):
    """Mutant of fill_table(): no rmap entries."""
    small = large ^ LARGE ^ (LARGE_LEVEL << LEVEL_SHIFT) | (1 << LEVEL_SHIFT) | ACCESSED | DIRTY
    for i in range(TABLE_ENTRIES):
        store_release(m, table + i, small + (i << 12))
    return 0


@kernel
def fill_losing_w(m, vm, t, table, large, rmap):
    """Mutant of fill_table(): the small sptes lack W and MMU_W, as middle sptes do."""
    small = large ^ LARGE ^ (LARGE_LEVEL << LEVEL_SHIFT) | (1 << LEVEL_SHIFT) | ACCESSED | DIRTY
    for i in range(TABLE_ENTRIES):
        rmap_insert(m, rmap + i, table + i, 0)
        store_release(m, table + i, (small & ~(WRITABLE | MMU_WRITABLE)) + (i << 12))
    return 0


@kernel
def fill_giving_w(m, vm, t, table, large, rmap):
    """Mutant of fill_table(): the small sptes have W because MMU_W allows it, whatever the large one has."""
    small = large ^ LARGE ^ (LARGE_LEVEL << LEVEL_SHIFT) | (1 << LEVEL_SHIFT) | ACCESSED | DIRTY | WRITABLE
    for i in range(TABLE_ENTRIES):
        rmap_insert(m, rmap + i, table + i, 0)
        store_release(m, table + i, small + (i << 12))
    return 0


@kernel
def split_or_leave(m, vm, t, head):
    """Mutant of split_one(): what cannot be split keeps its W."""
    at = read_once(m, head) >> 1
    if at == 0:
        return 0
    return split_large(m, vm, t, at)


@kernel
def may_be_large_always(m, vm, region):
    """Mutant of may_be_large(): neither the log nor guest tables are looked at."""
    return 1


@kernel
def settle_widening(m, vm, t, at, spte, wanted):
    """Mutant of settle_large(): W is given whether the log is on or not, as KVM's first lazy write-protection of large sptes did."""
    widen_large(m, at, spte)
    return LEAF_OK


@kernel
def zap_no_region(m, vm, t, region):
    """Mutant of zap_region(): large sptes are left alone."""
    return 0


@kernel
def walk_trusting_the_place(m, v, va, access, regime):
    """Mutant of hardware_walk(): what was a large spte once is taken for a leaf for ever."""
    at = leaf_of(m, read_once(m, v + VCPU.root + regime_slot(regime)), va, access)
    if at == 0:
        return WALK_FAULT
    wanted = ACCESSED
    if access == TLB_WRITE:
        wanted = ACCESSED | DIRTY
    while True:
        spte = load_acquire(m, at)
        if spte & PRESENT == 0 or is_allowed(spte, access, regime) == 0:
            return WALK_FAULT
        if spte & wanted == wanted or cmpxchg(m, at, spte, spte | wanted) == spte:
            break
    tlb_fill(m, v, va, access, regime, leaf_frame(spte, va))
    return 0
