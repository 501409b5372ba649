"""slow fault, bare regime: fill the direct tables for a guest physical address. Counterpart in Linux: direct_page_fault/direct_map."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.leaf import LEAF_NO_MEMORY, LEAF_SMALL, direct_child, set_leaf
from gnomon.mmu.megapage import map_large
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, TABLE_SHIFT, make_role, sp_alloc
from gnomon.mmu.slot import slot_index
from gnomon.mmu.spte import ACCESS_ALL, LARGE_LEVEL
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import table_index


@kernel
def direct_root(m, vm, t):
    """The direct root shadow page, made at its first use. 0 when the pool is exhausted. Under mmu_lock."""
    root = read_once(m, vm + VM.direct_root)
    if root == 0:
        root = sp_alloc(m, vm, t, 0, make_role(ROOT_LEVEL, 1, ACCESS_ALL))
        write_once(m, vm + VM.direct_root, root)
    return root


@kernel
def map_below(m, vm, v, at, level, gpa, access, wanted):
    """Fill in the spte at `at` of a table of `level`, and direct tables below it down to the leaf of `gpa`. Returns LEAF_*.

    The spte is of a direct table, or of the guest's own leaf at that level, whose rights are `access`."""
    t = read_once(m, v + VCPU.thread)
    while level > 1:
        if level == LARGE_LEVEL:
            found = map_large(m, vm, v, t, at, gpa, access, wanted)
            if found != LEAF_SMALL:
                return found
        span = TABLE_SHIFT * (level - 1)
        sp = direct_child(m, vm, v, t, at, level, ((gpa >> 12) >> span) << span, access)
        if sp == 0:
            return LEAF_NO_MEMORY
        level -= 1
        at = read_once(m, sp + SP.table) + table_index(gpa, level)
    return set_leaf(m, vm, v, t, at, slot_index(m, vm, gpa), access, wanted)


@kernel
def direct_fault(m, vm, v, t, gpa, wanted):
    """Map RAM page `gpa` into the direct tables. Under mmu_lock, after host_lookup() of it (I-13) or without. Returns LEAF_*."""
    root = direct_root(m, vm, t)
    if root == 0:
        return LEAF_NO_MEMORY
    write_once(m, v + VCPU.root, read_once(m, root + SP.table))
    at = read_once(m, root + SP.table) + table_index(gpa, ROOT_LEVEL)
    return map_below(m, vm, v, at, ROOT_LEVEL, gpa, ACCESS_ALL, wanted)
