"""age: which pages were accessed since they were last asked about, without mmu_lock.

Counterpart in Linux: kvm_mmu_notifier_clear_young() and kvm_rmap_age_gfn_range(), lockless since 6.15 under a bit lock a rmap
(protector=rmap-bit here); what ships walks the rmap as the harvest does. It also answers for khugepaged's and MGLRU's question.

    vCPU    hardware walk: sets A by cmpxchg in a leaf that lacks it
    ager    clears A by cmpxchg; who finds A set reports the page as young

No TLB is flushed, as in the kernel: a page that is only reached through a translation cached before its A was cleared counts as old
until that is forgotten. And an spte of a table that was reused under the walk may lose its A in the wrong page's name. Aging is a hint
for reclaim; nothing may rest on it.

Guarantees A1  only A is changed, in a leaf or, in a reused table, a middle spte, where nobody looks at it: no W, D or zap is undone (I-4)
           A2  a page whose A was set by a walk that began after the call before returned is reported by this one, while the spte lives;
               with it all pages of its region, if the spte is a large one
Context    no lock held; sleeps never
Progress   lock-free; a walk that meets RESTART_LIMIT foreign markers finishes under mmu_lock
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.design import PROTECTOR, PROTECTOR_RMAP_BIT
from gnomon.mmu.dirty import harvest_lock, harvest_unlock
from gnomon.mmu.region import region_of
from gnomon.mmu.rmap import CHANGED_MASK, CLEAR_YOUNG, RMAP_LOCKED, rmap_lock, rmap_unlock, rmap_walk
from gnomon.mmu.vm_words import VM
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def age_page(m, t, vm, head):
    """Clear A in every spte of the rmap at `head`. Returns how many had it."""
    if read_once(m, head) & ~RMAP_LOCKED == 0:
        return 0
    protector = read_once(m, vm + VM.design) & PROTECTOR
    if protector == PROTECTOR_RMAP_BIT:
        rmap_lock(m, head)
    rcu_read_lock(m, t)
    found = rmap_walk(m, vm, head, CLEAR_YOUNG)
    rcu_read_unlock(m, t)
    if protector == PROTECTOR_RMAP_BIT:
        rmap_unlock(m, head)
    if found < 0:  # only without a lock are markers foreign
        spin_lock(m, vm + VM.mmu_lock)
        found = rmap_walk(m, vm, head, CLEAR_YOUNG)
        spin_unlock(m, vm + VM.mmu_lock)
    return found & CHANGED_MASK


@kernel(entry=True)
def age(m, t, vm, first, words, young):
    """Age the pages of `words` words of 64 from page 64 * `first`; those that were accessed are the bits of the words at `young`."""
    pages = read_once(m, vm + VM.pages)
    rmap = read_once(m, vm + VM.rmap)
    looked = -1
    large = 0  # whether the large sptes of region `looked` were young: so are all pages of it then
    harvest_lock(m, vm)
    for w in range(words):
        bits = 0
        for n in range(64):
            index = ((first + w) << 6) + n
            if index < pages:
                region = region_of(m, vm, index)
                if region != looked:
                    looked = region
                    large = age_page(m, t, vm, read_once(m, vm + VM.region_rmap) + region)
                if age_page(m, t, vm, rmap + index) or large:
                    bits |= 1 << n
        write_once(m, young + w, bits)
    harvest_unlock(m, vm)
    return 0
