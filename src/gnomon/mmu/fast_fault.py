"""fast page fault: give a write-protected leaf its W back without mmu_lock. Counterpart in Linux: fast_page_fault().

Context    outside guest mode, no lock; inside rcu_read_lock, and the tables are type-stable (S-2): a table freed under us is a table still
Guarantees F1  W is set only where MMU_W is, by a cmpxchg of the very word that said so (I-5)
           F2  the gfn that becomes dirty is the one behind the pfn of that word, in the machine whose frame it is, so a table reused for
               another gfn or machine (the ABA of I-6) costs a spurious dirty bit of a page that did become writable, never a lost one
           F3  the dirty bit is set after W is visible (I-7)
           F4  a cached root is used only if REQ_ROOTS is not pending inside the read section: who frees a root asks for REQ_ROOTS before,
               so a section that does not see the request began before the grace period that returns the root's frame
Progress   FAST_TRIES lost races, then the slow path
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once
from gnomon.mmu.design import FAST_FAULT_DROP_DIRTY, PROTECTOR, PROTECTOR_LOCKED, PUBLISH_BITMAP_FIRST, RECLAIM, RECLAIM_MODE_WAIT
from gnomon.mmu.slot import mark_frame_dirty
from gnomon.mmu.spte import PFN_MASK, PRESENT, WRITABLE, is_fast_writable
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import REQ_ROOTS, VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import is_allowed, leaf_of, regime_slot
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock

FAST_TRIES = 4
FAST_NOT = 0  # take the slow path
FAST_FIXED = 1
FAST_SPURIOUS = 2  # somebody else fixed it


@kernel
def make_writable(m, vm, v, at, spte):
    """Set W in the leaf at `at` if it still is `spte`, then log the page. Returns 1 if this call did."""
    pfn = (spte & PFN_MASK) >> 12
    design = read_once(m, vm + VM.design)
    if design & PUBLISH_BITMAP_FIRST:
        mark_frame_dirty(m, vm, v, pfn)
    if cmpxchg(m, at, spte, spte | WRITABLE) != spte:
        return 0
    if design & (PUBLISH_BITMAP_FIRST | FAST_FAULT_DROP_DIRTY) == 0:
        mark_frame_dirty(m, vm, v, pfn)  # F3; full barrier in between: the cmpxchg
    return 1


@kernel
def fast_page_fault(m, v, va, access, regime):
    """Try to fix a fault of `access` to `va` with no lock. Returns FAST_*."""
    if access != TLB_WRITE:
        return FAST_NOT
    vm = read_once(m, v + VCPU.vm)
    design = read_once(m, vm + VM.design)
    if design & PROTECTOR == PROTECTOR_LOCKED and regime_slot(regime):
        return FAST_NOT  # as in today's KVM, where shadows of guest tables have no fast page fault
    t = read_once(m, v + VCPU.thread)
    result = FAST_NOT
    waited_for = design & RECLAIM == RECLAIM_MODE_WAIT
    if waited_for:
        guest_enter(m, v)  # the counterpart of READING_SHADOW_PAGE_TABLES: who frees a table waits for the span to end (I-9)
    else:
        rcu_read_lock(m, t)
    root = read_once(m, v + VCPU.root + regime_slot(regime))
    if root and load_acquire(m, v + VCPU.requests) & REQ_ROOTS == 0:  # F4
        at = leaf_of(m, root, va, access)
        tries = FAST_TRIES
        while at and tries and result == FAST_NOT:
            tries -= 1
            spte = load_acquire(m, at)
            if spte & PRESENT and is_allowed(spte, access, regime):
                result = FAST_SPURIOUS
            elif is_fast_writable(spte) == 0 or is_allowed(spte | WRITABLE, access, regime) == 0:
                tries = 0
            elif make_writable(m, vm, v, at, spte):
                result = FAST_FIXED
    if waited_for:
        guest_exit(m, v)
    else:
        rcu_read_unlock(m, t)
    return result
