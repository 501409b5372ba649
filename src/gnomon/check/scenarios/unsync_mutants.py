"""What breaks a rule of unsync tables: I-14, U1 to U6."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.mmu.guest_walk import guest_table
from gnomon.mmu.leaf import link_child
from gnomon.mmu.rmap import PROTECT_TABLE, rmap_walk
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, child_page, hash_head, make_role, sp_find
from gnomon.mmu.slot import index_of_frame, mark_dirty, slot_index
from gnomon.mmu.spte import PFN_MASK, PRESENT, spte_table
from gnomon.mmu.sync_page import sync_entries
from gnomon.mmu.tlb import TLB_READ
from gnomon.mmu.unsync import forget_unsync, mark_link, mark_parents, mark_unsync
from gnomon.mmu.vcpu import REQ_FLUSH, ROOT_SLOTS, VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import leaf_of, regime_slot
from gnomon.mmu.zap import flush_if_stale


@kernel
def say_yes(m, vm, index):
    """try_to_unsync() that marks nothing yet."""
    return 1


@kernel
def widen_then_mark(m, vm, v, at, spte):
    """widen() that makes the spte writable and marks the table unsync after."""
    old = read_once(m, at)
    while cmpxchg(m, at, old, old | spte) != old:
        old = read_once(m, at)
    index = index_of_frame(m, (spte & PFN_MASK) >> 12)
    mark_dirty(m, vm, v, index)
    sp = sp_find(m, vm, index, make_role(1, 0, 0))
    if sp:
        mark_unsync(m, vm, sp)
    return 0


@kernel
def mark_nothing(m, sp, mark):
    """mark_parents() that leaves the pages above as they are."""
    return 0


@kernel
def sync_nothing(m, vm, v):
    """sync_roots() that only lets the TLB be flushed."""
    return 0


@kernel
def sync_unmarked(m, vm, t, chain):
    """sync_chain() that takes the marks away before it compares."""
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        rmap_walk(m, vm, read_once(m, vm + VM.rmap) + slot_index(m, vm, read_once(m, sp + SP.gfn) << 12), PROTECT_TABLE)
        flush_if_stale(m, vm, 1)
        forget_unsync(m, vm, sp)
        sync_entries(m, vm, t, sp)
        sp = following
    return 0


@kernel
def sync_unflushed(m, vm, t, chain):
    """sync_chain() that does not wait for the TLBs that may hold the table writable."""
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        rmap_walk(m, vm, read_once(m, vm + VM.rmap) + slot_index(m, vm, read_once(m, sp + SP.gfn) << 12), PROTECT_TABLE)
        sync_entries(m, vm, t, sp)
        forget_unsync(m, vm, sp)
        sp = following
    return 0


@kernel
def link_as_it_is(m, vm, v, t, at, level, gfn):
    """indirect_child() that links a table as it is, unsync or not."""
    if read_once(m, at) & PRESENT:
        return child_page(m, spte_table(read_once(m, at)))
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        link_child(m, vm, v, t, at, level, child)
    return child


@kernel
def link_then_mark(m, vm, v, t, at, level, gfn):
    """indirect_child() that compares an unsync table but leaves it unsync, links it, and marks the page above after."""
    if read_once(m, at) & PRESENT:
        return child_page(m, spte_table(read_once(m, at)))
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        sync_entries(m, vm, t, child)
        link_child(m, vm, v, t, at, level, child)
        if read_once(m, child + SP.unsync):
            above = mark_link(m, at, 1, 0)
            if above:
                mark_parents(m, above, 1)
    return child


@kernel
def load_as_it_is(m, vm, v, t, regime):
    """guest_root() that loads a root with unsync tables below as it is."""
    slot = regime_slot(regime)
    sp = guest_table(m, vm, t, read_once(m, v + VCPU.root_satp + slot), ROOT_LEVEL)
    if sp:
        write_once(m, v + VCPU.root + slot, read_once(m, sp + SP.table))
    return sp


@kernel
def only_flush(m, vm):
    """fence_requests() that asks for no more than a flush."""
    return REQ_FLUSH


@kernel
def store_accessed_dirty(m, vm, v, index, at, pte, new):
    """set_accessed_dirty() by a plain store."""
    if new != pte:
        store64(m, at, new)
        mark_dirty(m, vm, v, index)
    return 1


@kernel
def unsync_any(m, vm, index):
    """try_to_unsync() that looks at no level."""
    sp = read_once(m, hash_head(m, vm, index))
    while sp:
        if read_once(m, sp + SP.gfn) == index:
            mark_unsync(m, vm, sp)
        sp = read_once(m, sp + SP.hash_next)
    return 1


@kernel
def is_unsync_if_present(m, v, va, by_address):
    """is_unsync() that lets the fence of an address off when no spte is there yet."""
    for slot in range(1, ROOT_SLOTS):
        root = read_once(m, v + VCPU.root + slot)
        if root:
            at = leaf_of(m, root, va, TLB_READ)
            if at and read_once(m, at) & PRESENT:
                return 1
    return 0
