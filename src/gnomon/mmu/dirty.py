"""dirty log: take the dirty pages of a machine without mmu_lock.

Counterpart in Linux: kvm_get_dirty_log_protect(), which holds mmu_lock for write.

Owns       VM.dirty[w]      64 gfns a word; a bit is set by a fault after its spte and rmap entry are visible (bitmap.py)
           VM.snapshot[w]   the bits taken by the harvest that is under way or not committed yet
Guarantees H1  a store that retires after harvest() returned faulted first, or its gfn is in a later snapshot        (I-1, I-7)
           H2  a bit taken is in the snapshot until commit() or merge_back(): a failed copy loses nothing
           H3  the last harvest, with every vCPU parked, leaves nothing behind: their fault paths are over           (I-8)
Context    no lock held; sleeps never; one harvester a machine (VM.harvester, a bit lock). Other protectors, by VM.design: `locked` holds
           mmu_lock for the whole walk, `rmap-bit` the bit lock of one rmap at a time, and neither needs an RCU section
Readers    vCPUs set bits and fault throughout; a zapper may free and reuse any spte under us (rmap.py, R-5, R-6)
Progress   lock-free; a walk that meets RESTART_LIMIT foreign markers finishes under mmu_lock
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import ctz, popcount, wrap
from gnomon.lang.atomics import cmpxchg, fetch_add, load_acquire, mb, read_once, store_release, write_once, xchg
from gnomon.mmu.bitmap import (
    add_taken,
    dirty_words,
    drop_line,
    empty_snapshot,
    forget_dirty,
    line_end,
    line_groups,
    line_word,
    set_dirty,
    take_lines,
)
from gnomon.mmu.design import PAGES, PAGES_BITS_FIRST, PAGES_UNSPLIT, PROTECTOR, PROTECTOR_LOCKED, PROTECTOR_RMAP_BIT
from gnomon.mmu.megapage import recover_regions, split_regions
from gnomon.mmu.rmap import (
    CHANGED_MASK,
    PROTECT_DIRTY,
    RESTARTS_SHIFT,
    RMAP_LOCKED,
    guard_mask,
    guard_wants,
    rmap_lock,
    rmap_unlock,
    rmap_walk,
    spte_exchange,
)
from gnomon.mmu.slot import backing
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.vcpu import VCPU, flush_remote_tlbs
from gnomon.mmu.vm_words import VM
from gnomon.sync.rcu import rcu_read_held, rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock

BUSY = -1
PROTECTED_SHIFT = 32
PAGES_MASK = (1 << PROTECTED_SHIFT) - 1
"""harvest_word() and harvest_line() return pages taken + (sptes changed << PROTECTED_SHIFT)."""


@kernel
def protect_locked(m, vm, head):
    """A walk that gave up, again under mmu_lock, where no marker is foreign. Returns sptes changed."""
    spin_lock(m, vm + VM.mmu_lock)
    found = rmap_walk(m, vm, head, PROTECT_DIRTY)
    spin_unlock(m, vm + VM.mmu_lock)
    fetch_add(m, vm + VM.rmap_locked, 1)
    return found & CHANGED_MASK


@kernel
def protect_by_bit(m, vm, rmap, bits):
    """protect_word() of protector=rmap-bit: each rmap's bit is taken while it is walked, so no marker is foreign."""
    changed = 0
    while bits:
        head = rmap + ctz(bits)
        bits = wrap(bits & (bits - 1))
        rmap_lock(m, head)
        changed += rmap_walk(m, vm, head, PROTECT_DIRTY) & CHANGED_MASK
        rmap_unlock(m, head)
    return changed


@kernel
def harvest_lock(m, vm):
    """Before a protector walks: protector=locked shuts everybody out who holds or wants mmu_lock, as today's KVM does."""
    if read_once(m, vm + VM.design) & PROTECTOR == PROTECTOR_LOCKED:
        spin_lock(m, vm + VM.mmu_lock)
    return 0


@kernel
def harvest_unlock(m, vm):
    """After harvest_lock() and the walk; before the flush, which may be outside the lock (I-2)."""
    if read_once(m, vm + VM.design) & PROTECTOR == PROTECTOR_LOCKED:
        spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def section_begin(m, t, vm):
    """Enter the first read section of a lockless walk over the whole slot, if VM.section asks for longer ones than a word's."""
    if read_once(m, vm + VM.section) and read_once(m, vm + VM.design) & PROTECTOR == 0:
        rcu_read_lock(m, t)
    return 0


@kernel
def section_end(m, t):
    """Leave the last section of section_begin()."""
    if rcu_read_held(m, t):
        rcu_read_unlock(m, t)
    return 0


@kernel
def section_pause(m, t, vm, section):
    """Leave the read section after `section` rmaps and begin another: what waits for a grace period waits that long, not for the slot."""
    walked = read_once(m, vm + VM.walked) + 1
    if walked >= section:
        rcu_read_unlock(m, t)
        walked = 0
        rcu_read_lock(m, t)
    return write_once(m, vm + VM.walked, walked)


@kernel
def protect_walking(m, t, vm, rmap, bits, section):
    """Walk the rmaps of `bits`, the first of which is at `rmap`, inside a read section or under mmu_lock. Returns sptes changed."""
    changed = 0
    restarts = 0
    while bits:
        head = rmap + ctz(bits)
        bits = wrap(bits & (bits - 1))
        found = rmap_walk(m, vm, head, PROTECT_DIRTY)
        if found < 0:  # never under mmu_lock
            rcu_read_unlock(m, t)  # who holds mmu_lock may wait for a grace period
            found = protect_locked(m, vm, head)
            rcu_read_lock(m, t)
        changed += found & CHANGED_MASK
        restarts += found >> RESTARTS_SHIFT
        if section > 0:
            section_pause(m, t, vm, section)
    if restarts:
        fetch_add(m, vm + VM.rmap_restarts, restarts)
    return changed


@kernel(inline=True)
def protect_word(m, t, vm, w, bits):
    """Write-protect the pages of `bits` of word `w`. Returns sptes changed.

    Most pages have one spte. Those are done here with nothing in the loop but their loads and cmpxchg: what the loop stores, a spilled
    register too, is waited for by the next locked instruction. A word that names descriptors, a guard that looks further, a race that is
    lost: the bit stays, and rmap_walk() does the page."""
    design = read_once(m, vm + VM.design)
    protector = design & PROTECTOR
    rmap = read_once(m, vm + VM.rmap) + (w << 6)
    if protector == PROTECTOR_RMAP_BIT:
        return protect_by_bit(m, vm, rmap, bits)
    section = 0 if protector else read_once(m, vm + VM.section)
    enters = protector == 0 and rcu_read_held(m, t) == 0  # else in the section of section_begin(), or under mmu_lock
    if enters:
        rcu_read_lock(m, t)
    mask = guard_mask(design)
    wants = guard_wants(design)
    changed = 0
    left = bits if section > 0 else 0
    bits = bits ^ left
    while bits:
        n = ctz(bits)
        bits = wrap(bits & (bits - 1))
        value = load_acquire(m, rmap + n)  # pairs with store_release in rmap_insert()
        if value & (RMAP_LOCKED | 1):
            left |= 1 << n
        elif value:
            spte = read_once(m, value >> 1)  # of a table that may be another's by now; without W there is nothing to take from it
            if spte & WRITABLE:
                if spte & mask == wants and spte_exchange(m, value >> 1, spte, spte & ~WRITABLE):
                    changed += 1
                else:
                    left |= 1 << n
    if left:
        changed += protect_walking(m, t, vm, rmap, left, section)
    if enters:
        rcu_read_unlock(m, t)
    return changed


@kernel(inline=True)
def harvest_word(m, t, vm, w):
    """Move word `w` of the bitmap to the snapshot and write-protect its pages. Returns pages + (sptes changed << PROTECTED_SHIFT)."""
    taken = xchg(m, read_once(m, vm + VM.dirty) + w, 0)  # full barrier, pairs with publish(): forbids "bit taken, spte not in the rmap yet"
    if taken == 0:
        return 0
    add_taken(m, vm, w, taken)
    return popcount(taken) + (protect_word(m, t, vm, w, taken) << PROTECTED_SHIFT)


@kernel
def harvest_line(m, t, vm, first):
    """harvest_word() of every word of the line that begins at word `first`."""
    dirty = read_once(m, vm + VM.dirty)
    found = 0
    for w in range(first, line_end(m, vm, first)):
        if read_once(m, dirty + w):
            found += harvest_word(m, t, vm, w)
    return found


@kernel
def protect_dirty(m, t, vm):
    """Take and write-protect every dirty page, between harvest_lock() and harvest_unlock(). Returns how many, not flushed yet."""
    found = 0
    section_begin(m, t, vm)
    for group in range(line_groups(m, vm)):
        lines = take_lines(m, vm, group)
        while lines:
            found += harvest_line(m, t, vm, line_word(group, lines))
            lines = drop_line(lines)
    section_end(m, t)
    if found >> PROTECTED_SHIFT:
        fetch_add(m, vm + VM.protected, found >> PROTECTED_SHIFT)
    return found & PAGES_MASK


@kernel
def end_harvest(m, vm, count):
    """What was taken is protected: no TLB may have it writable any more, either (I-2). Returns `count`."""
    if count:
        flush_remote_tlbs(m, vm)
    fetch_add(m, vm + VM.harvests, 1)
    fetch_add(m, vm + VM.harvested, count)
    fetch_add(m, vm + VM.rmap_walks, count)
    return count


@kernel(entry=True)
def harvest(m, t, vm):
    """Take every dirty page into the snapshot. Returns how many, or BUSY while another harvest is not committed.

    On return no store to a taken page can retire without faulting first: the TLBs are flushed (H1, I-2)."""
    if cmpxchg(m, vm + VM.harvester, 0, 1) != 0:
        return BUSY
    harvest_lock(m, vm)
    count = protect_dirty(m, t, vm)
    harvest_unlock(m, vm)
    return end_harvest(m, vm, count)


@kernel(entry=True)
def commit(m, vm):
    """The snapshot reached its reader: forget it, and let the next harvest begin."""
    empty_snapshot(m, vm, 0)
    return store_release(m, vm + VM.harvester, 0)  # pairs with the cmpxchg of harvest


@kernel(entry=True)
def merge_back(m, vm):
    """The snapshot was lost: its pages are dirty again (H2)."""
    empty_snapshot(m, vm, 1)
    fetch_add(m, vm + VM.ring_spilled, 1)  # a harvest by rings looks at the bitmap again
    return store_release(m, vm + VM.harvester, 0)  # pairs with the cmpxchg of harvest


@kernel
def start_logging(m, t, vm, all_dirty):
    """From here on every fault logs what it makes writable; on return no large spte has W, and with `all_dirty` every page's bit is set.

    The bits come last: a harvest that takes one finds no large spte with W, which its walk of the page's rmap would not meet (I-23)."""
    spin_lock(m, vm + VM.mmu_lock)  # no slow fault is between its look at `logging` and its publish
    store_release(m, vm + VM.logging, 1)  # pairs with the acquire of mark_dirty()
    mb()  # pairs with the cmpxchg of make_writable: a fast fault that missed `logging` is seen by the walk that protects its page
    spin_unlock(m, vm + VM.mmu_lock)
    how = read_once(m, vm + VM.design) & PAGES
    if all_dirty and how == PAGES_BITS_FIRST:
        set_backed(m, vm)
    if how != PAGES_UNSPLIT:
        split_regions(m, t, vm)
    if all_dirty and how != PAGES_BITS_FIRST:
        set_backed(m, vm)
    return 0


@kernel
def set_backed(m, vm):
    """Set the bit of every page that has a frame.

    A page never touched reads as zero and needs no copy; one that is touched from here on logs itself. A look at 64 words a bit word: no
    time worth a lock goes by, however much RAM there is."""
    pages = read_once(m, vm + VM.pages)
    for w in range(dirty_words(m, vm)):
        bits = 0
        for n in range(64):
            index = (w << 6) + n
            if index < pages and backing(m, vm, index):
                bits |= 1 << n
        if bits:
            set_dirty(m, vm, w, bits)
    return 0


@kernel(entry=True)
def enable_dirty_log(m, t, vm):
    """Start logging with every page that has a frame dirty, and nothing protected (KVM_DIRTY_LOG_INITIALLY_SET)."""
    return start_logging(m, t, vm, 1)


@kernel(entry=True)
def disable_dirty_log(m, t, vm):
    """Stop logging and forget what was logged. Protected sptes get W back at their next fault, regions their large sptes."""
    spin_lock(m, vm + VM.mmu_lock)
    write_once(m, vm + VM.logging, 0)
    forget_dirty(m, vm)
    empty_snapshot(m, vm, 0)
    store_release(m, vm + VM.harvester, 0)
    spin_unlock(m, vm + VM.mmu_lock)
    recover_regions(m, t, vm)
    return 0


@kernel(entry=True)
def count_dirty(m, vm):
    """Bits of the bitmap that are set now, and entries of rings that nobody collected."""
    count = 0
    if read_once(m, vm + VM.ring_size):
        for i in range(read_once(m, vm + VM.harts)):
            v = read_once(m, vm + VM.vcpus + i)
            count += read_once(m, v + VCPU.ring_dirty) - read_once(m, v + VCPU.ring_fetch)
    for w in range(dirty_words(m, vm)):
        count += popcount(read_once(m, read_once(m, vm + VM.dirty) + w))
    return count
