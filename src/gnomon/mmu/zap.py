"""zap: take sptes and shadow pages away so that nobody can still use them.

Counterpart in Linux: __kvm_mmu_prepare_zap_page and kvm_mmu_commit_zap_page.

Owns       the zap list: a chain through SP.zap_next that the caller starts with 0 and hands to commit_zap
Guarantees Z1  an spte is non-present before its rmap entry goes (I-18), and goes by xchg (I-4)
           Z2  a shadow page is freed only after a flush that began when it was unlinked: no walk is inside (I-9, I-19)
           Z3  a leaf whose flush is left to the guest's SFENCE.VMA is counted in VM.tlbs_dirty: who relies on "no stale writable
               translation" flushes while VM.tlbs_clean is behind (I-3)
Context    mmu_lock held, the caller outside guest mode
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once, xchg
from gnomon.mem.shrinker import shrink_all
from gnomon.mmu.design import RECLAIM, RECLAIM_THROTTLED, ZAP_FREE_AT_ONCE
from gnomon.mmu.region import region_of
from gnomon.mmu.release import release_page
from gnomon.mmu.rmap import DESC, RMAP_LOCKED, page_rmap_remove, rmap_remove
from gnomon.mmu.shadow_page import (
    ROLE_DIRECT,
    ROOT_LEVEL,
    SP,
    TABLE_ENTRIES,
    active_remove,
    child_page,
    hash_remove,
    role_level,
)
from gnomon.mmu.sharers import spte_rmap
from gnomon.mmu.spte import LARGE, LEVEL_MASK, LEVEL_SHIFT, PRESENT, spte_table
from gnomon.mmu.unsync import forget_unsync, unmark_link
from gnomon.mmu.vcpu import REQ_FLUSH, REQ_ROOTS, flush_remote_tlbs, request_all
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock

KEEP_FREE_PAGES = 5
RECYCLE_PAGES = 25


@kernel
def spte_level(m, at, spte):
    """Level of the table that holds `spte` at `at`: LEVEL, or, where sptes carry none, its owner's. Under mmu_lock."""
    level = (spte & LEVEL_MASK) >> LEVEL_SHIFT
    if level:
        return level
    return role_level(read_once(m, child_page(m, at) + SP.role))


@kernel
def zap_spte(m, vm, t, at):
    """Make the spte at `at` non-present and take it out of its rmap. Returns the spte it was."""
    spte = xchg(m, at, 0)
    if spte & PRESENT == 0:
        return 0
    if spte & LARGE or spte_level(m, at, spte) == 1:
        fetch_add(m, vm + VM.tlbs_dirty, 1)  # before the rmap entry goes: who finds no entry finds this count (Z3)
        page_rmap_remove(m, vm, t, spte_rmap(m, vm, at, spte), at)
        if spte & LARGE:
            fetch_add(m, vm + VM.large_sptes, -1)
            fetch_add(m, vm + VM.big_zaps, 1)
        return spte
    child = child_page(m, spte_table(spte))
    unmark_link(m, at)  # after the xchg: who finds no mark finds no link (U3)
    rmap_remove(m, t, child + SP.parents, at)
    fetch_add(m, vm + VM.tlbs_dirty, 1)
    if read_once(m, child + SP.role) & ROLE_DIRECT:
        fetch_add(m, vm + VM.big_zaps, 1)
    return spte


@kernel
def unlink_parents(m, vm, t, sp):
    """Zap every spte that points to `sp`."""
    return zap_rmap(m, vm, t, sp + SP.parents)


@kernel
def zap_rmap(m, vm, t, head):
    """Zap every spte of the rmap at `head`. Returns all the bits that they had together."""
    bits = 0
    while True:
        at = first_of(m, head)
        if at == 0:
            return bits
        bits |= zap_spte(m, vm, t, at)


@kernel
def first_of(m, head):
    """Some spte of the rmap at `head`: the head descriptor's first, 0 if it is empty. Under mmu_lock."""
    value = read_once(m, head) & ~RMAP_LOCKED
    if value & 1:
        return read_once(m, (value >> 1) + DESC.sptes)
    return value >> 1


@kernel
def zap_region(m, vm, t, region):
    """Zap every large spte of `region`. Returns all the bits that they had together."""
    return zap_rmap(m, vm, t, read_once(m, vm + VM.region_rmap) + region)


@kernel
def prepare_zap(m, vm, t, sp, zapped):
    """Unlink `sp` from parents, children, hash and lists and put it in front of the chain `zapped`. Returns the new chain."""
    unlink_parents(m, vm, t, sp)
    table = read_once(m, sp + SP.table)
    for i in range(TABLE_ENTRIES):
        if read_once(m, table + i):
            zap_spte(m, vm, t, table + i)
    role = read_once(m, sp + SP.role)
    if role & ROLE_DIRECT == 0:
        index = read_once(m, sp + SP.gfn) - read_once(m, vm + VM.base_gfn)
        fetch_add(m, read_once(m, vm + VM.tracked) + index, -1)
        fetch_add(m, read_once(m, vm + VM.region_tracked) + region_of(m, vm, index), -1)
    forget_unsync(m, vm, sp)
    hash_remove(m, vm, sp)
    active_remove(m, vm, sp)
    if read_once(m, vm + VM.design) & RECLAIM != RECLAIM_THROTTLED:
        fetch_add(m, vm + VM.n_used, -1)  # throttled: charged until its memory is free (release.py)
    fetch_add(m, vm + VM.zaps, 1)
    write_once(m, sp + SP.zap_next, zapped)
    return sp


@kernel
def commit_zap(m, vm, t, zapped):
    """Flush, then free the chain of prepare_zap. Every vCPU looks its roots up anew: one of them may be in the chain (I-20)."""
    if zapped == 0:
        return 0
    if read_once(m, vm + VM.design) & ZAP_FREE_AT_ONCE == 0:
        request_all(m, vm, REQ_FLUSH | REQ_ROOTS)
        fetch_add(m, vm + VM.remote_flushes, 1)
    sp = zapped
    while sp:
        following = read_once(m, sp + SP.zap_next)
        release_page(m, vm, t, sp)
        sp = following
    return 0


@kernel
def zap_all(m, vm, t):
    """Zap every shadow page, roots too, and free them. Under mmu_lock, or with every vCPU out."""
    zapped = 0
    while read_once(m, vm + VM.active_head):
        zapped = prepare_zap(m, vm, t, read_once(m, vm + VM.active_head), zapped)
    write_once(m, vm + VM.direct_root, 0)
    return commit_zap(m, vm, t, zapped)


@kernel
def is_crowded(m, vm):
    """1 when fewer than KEEP_FREE_PAGES are left below n_max: a slow fault may need as many."""
    return int(read_once(m, vm + VM.n_used) + KEEP_FREE_PAGES > read_once(m, vm + VM.n_max))


@kernel
def make_pages_available(m, vm, t):
    """Recycle the oldest shadow pages when fewer than KEEP_FREE_PAGES are left below n_max. Roots only when nothing else is left."""
    if is_crowded(m, vm) == 0:
        return 0
    return recycle(m, vm, t, RECYCLE_PAGES)


@kernel
def recycle(m, vm, t, count):
    """Zap up to `count` of the oldest shadow pages. Returns how many."""
    zapped = 0
    done = 0
    for roots in range(2):
        sp = read_once(m, vm + VM.active_tail)
        while sp and done < count:
            newer = read_once(m, sp + SP.newer)
            is_root = int(role_level(read_once(m, sp + SP.role)) == ROOT_LEVEL)
            if is_root == roots and sp != read_once(m, vm + VM.direct_root):
                zapped = prepare_zap(m, vm, t, sp, zapped)
                done += 1
            sp = newer
        if done:
            break
    fetch_add(m, vm + VM.recycled, done)
    commit_zap(m, vm, t, zapped)
    return done


@kernel
def flush_if_stale(m, vm, changed):
    """Flush if sptes were `changed` or a TLB may hold translations of sptes zapped earlier (Z3, I-3)."""
    if changed or read_once(m, vm + VM.tlbs_dirty) != read_once(m, vm + VM.tlbs_clean):
        flush_remote_tlbs(m, vm)
    return 0


@kernel(entry=True)
def reclaim(m, vm, t):
    """The shrinker hook: the pool is low. Zap the oldest shadow pages and give empty slab pages back. Returns shadow pages zapped."""
    spin_lock(m, vm + VM.mmu_lock)
    done = recycle(m, vm, t, RECYCLE_PAGES)
    spin_unlock(m, vm + VM.mmu_lock)
    shrink_all(m, t)
    return done
