"""slow fault, bare regime: fill the direct tables for a guest physical address. Counterpart in Linux: direct_page_fault/direct_map."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.leaf import LEAF_NO_MEMORY, direct_child, set_leaf
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, TABLE_SHIFT, make_role, sp_alloc
from gnomon.mmu.slot import slot_index
from gnomon.mmu.spte import ACCESS_ALL
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
def map_below(m, vm, v, sp, level, gpa, access, wanted):
    """Fill direct tables from shadow page `sp` of `level` down to the leaf of `gpa`, allowing `access`. Returns LEAF_*."""
    t = read_once(m, v + VCPU.thread)
    while level > 1:
        at = read_once(m, sp + SP.table) + table_index(gpa, level)
        span = TABLE_SHIFT * (level - 1)
        sp = direct_child(m, vm, v, t, at, level, ((gpa >> 12) >> span) << span, access)
        if sp == 0:
            return LEAF_NO_MEMORY
        level -= 1
    at = read_once(m, sp + SP.table) + table_index(gpa, 1)
    return set_leaf(m, vm, v, t, at, slot_index(m, vm, gpa), access, wanted)


@kernel
def direct_fault(m, vm, v, t, gpa, wanted):
    """Map RAM page `gpa` into the direct tables. Under mmu_lock, after host_lookup() of it (I-13) or without. Returns LEAF_*."""
    root = direct_root(m, vm, t)
    if root == 0:
        return LEAF_NO_MEMORY
    write_once(m, v + VCPU.root, read_once(m, root + SP.table))
    return map_below(m, vm, v, root, ROOT_LEVEL, gpa, ACCESS_ALL, wanted)
