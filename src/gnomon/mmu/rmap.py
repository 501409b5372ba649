"""rmap: which sptes map a gfn (or, with a shadow page's `parents` as head, which sptes point to that page).

Counterpart in Linux: rmap_head and pte_list_desc, with the nulls scheme of the 2013 series instead of today's per-rmap bit lock.

    head word        0 = empty; ref<<1 = the one spte; desc<<1 | 1 = descriptors
    DESC.more        next desc<<1; or the nulls marker head<<1 | 1, which names the rmap it ends; 0 only in a free descriptor

Owns       the head words and, under mmu_lock, the descriptors of CACHE_DESC (type-stable: S-1, S-2)
Guarantees R1  an spte that is in the rmap during a whole lockless walk is visited at least once (R-2, R-3)
           R2  an entry leaves the rmap only after its spte is non-present (I-18)
           R3  a walk that ends on a marker which is not its own starts anew (R-5); callers bound the restarts
Context    add and remove under mmu_lock; rmap_walk under rcu_read_lock or mmu_lock
Readers    may see an spte twice, an spte of another rmap, a non-present spte, an spte of a reused table (R-6)
Progress   walk: lock-free; RESTART_LIMIT foreign markers return -1, and the caller takes mmu_lock

Only the head descriptor may be partly filled. A removal puts the head's last entry into the hole; walkers go head to tail and
inside each descriptor from high to low, so the moved entry can only move to where they have not been yet.
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release, write_once
from gnomon.mem.slab import CACHE_DESC, slab_alloc, slab_free
from gnomon.mmu.spte import HOST_WRITABLE, LARGE, LEVEL_MASK, LEVEL_SHIFT, MMU_WRITABLE, PRESENT, WRITABLE
from gnomon.mmu.vcpu import SPARE_DESCS, VCPU

DESC_SPTES = 14
RESTART_LIMIT = 64
RESTARTS_SHIFT = 32
CHANGED_MASK = (1 << RESTARTS_SHIFT) - 1
DESC = record("DESC", "A descriptor of up to DESC_SPTES sptes of one rmap.", more=1, count=1, sptes=DESC_SPTES)

PROTECT_DIRTY = 1  # dirty log: clear W of 4 KiB leaves that may get it back without mmu_lock
PROTECT_TABLE = 2  # page-table protection: clear W and MMU_W


@kernel(inline=True)
def spte_protect(m, at, kind):
    """Clear W (PROTECT_DIRTY) or W and MMU_W (PROTECT_TABLE) in the spte at `at`, which may be gone or another by now.

    Returns 1 if this call changed it. The expected value carries LEVEL and MMU_W, so on a reused table the cmpxchg can only hit
    a 4 KiB leaf: a middle spte never loses W (C10, C11)."""
    while True:
        spte = read_once(m, at)
        if spte & (PRESENT | LARGE | LEVEL_MASK | HOST_WRITABLE) != PRESENT | (1 << LEVEL_SHIFT) | HOST_WRITABLE:
            return 0
        new = spte & ~WRITABLE
        if kind == PROTECT_TABLE:
            new = new & ~MMU_WRITABLE
        if new == spte:
            return 0
        if cmpxchg(m, at, spte, new) == spte:  # loses to zap, fast fault or A/D: retry on what is there now (I-4)
            return 1


@kernel
def rmap_top_up(m, v, t):
    """Set descriptors aside for one slow fault, before mmu_lock. Returns 0, or -1 when the pool has none."""
    for i in range(SPARE_DESCS):
        if read_once(m, v + VCPU.spare + i) == 0:
            desc = slab_alloc(m, t, CACHE_DESC)
            if desc == 0:
                return -1
            write_once(m, v + VCPU.spare + i, desc)
    return 0


@kernel
def take_spare(m, v):
    """A descriptor set aside by rmap_top_up, in constructed (all zero) state."""
    for i in range(SPARE_DESCS):
        desc = read_once(m, v + VCPU.spare + i)
        if desc:
            write_once(m, v + VCPU.spare + i, 0)
            return desc
    return 0


@kernel
def rmap_add(m, v, head, at):
    """Add the spte at `at` to the rmap at `head`. The spte is visible already (I-7). After rmap_top_up, under mmu_lock."""
    value = read_once(m, head)
    if value == 0:
        store_release(m, head, at << 1)  # pairs with load_acquire in rmap_walk
        return 0
    if value & 1 == 0:
        desc = take_spare(m, v)
        write_once(m, desc + DESC.sptes, value >> 1)
        write_once(m, desc + DESC.sptes + 1, at)
        write_once(m, desc + DESC.count, 2)
        write_once(m, desc + DESC.more, (head << 1) | 1)
        store_release(m, head, (desc << 1) | 1)  # pairs with load_acquire in rmap_walk: forbids an unfilled descriptor
        return 0
    desc = value >> 1
    count = read_once(m, desc + DESC.count)
    if count == DESC_SPTES:
        fresh = take_spare(m, v)
        write_once(m, fresh + DESC.sptes, at)
        write_once(m, fresh + DESC.count, 1)
        write_once(m, fresh + DESC.more, desc << 1)
        store_release(m, head, (fresh << 1) | 1)  # published when filled; walkers that started before miss only the new entry
        return 0
    store_release(m, desc + DESC.sptes + count, at)
    write_once(m, desc + DESC.count, count + 1)
    return 0


@kernel
def rmap_find(m, desc, at):
    """Word of the slot that holds spte `at` in the chain starting at `desc`, 0 if none. Under mmu_lock."""
    while True:
        for i in range(DESC_SPTES):
            if read_once(m, desc + DESC.sptes + i) == at:
                return desc + DESC.sptes + i
        more = read_once(m, desc + DESC.more)
        if more & 1 or more == 0:
            return 0
        desc = more >> 1


@kernel
def rmap_remove(m, t, head, at):
    """Take the spte at `at`, which is non-present by now (R2), out of the rmap at `head`. Returns 1, or 0 if it is not there."""
    value = read_once(m, head)
    if value == at << 1:
        write_once(m, head, 0)
        return 1
    if value & 1 == 0:
        return 0
    desc = value >> 1
    hole = rmap_find(m, desc, at)
    if hole == 0:
        return 0
    count = read_once(m, desc + DESC.count) - 1
    last = desc + DESC.sptes + count
    if hole != last:
        store_release(m, hole, read_once(m, last))
    store_release(m, last, 0)  # after the copy: a walker that finds the last slot empty finds the entry in the hole
    write_once(m, desc + DESC.count, count)
    if count == 0:
        more = read_once(m, desc + DESC.more)
        if more & 1:
            write_once(m, head, 0)
        else:
            store_release(m, head, more | 1)
        write_once(m, desc + DESC.more, 0)  # a walker still standing here reads 0: foreign, it restarts
        slab_free(m, t, CACHE_DESC, desc)
    return 1


@kernel(inline=True)
def rmap_walk(m, head, kind, forward):
    """Apply spte_protect(kind) to every spte of the rmap at `head`; `forward` is the broken order of R-3.

    Returns changed sptes + (restarts << RESTARTS_SHIFT), or -1 after RESTART_LIMIT restarts."""
    changed = 0
    restarts = 0
    while restarts <= RESTART_LIMIT:
        value = load_acquire(m, head)  # pairs with store_release in rmap_add: a descriptor is filled before it is seen
        if value & 1 == 0:
            if value:
                changed += spte_protect(m, value >> 1, kind)
            return changed + (restarts << RESTARTS_SHIFT)
        link = value ^ 1
        while link & 1 == 0 and link != 0:
            desc = link >> 1
            for i in range(DESC_SPTES):
                slot = DESC_SPTES - 1 - i
                if forward:
                    slot = i
                at = load_acquire(m, desc + DESC.sptes + slot)  # pairs with the releases of rmap_remove: empty last => filled hole
                if at:
                    changed += spte_protect(m, at, kind)
            link = load_acquire(m, desc + DESC.more)
        if link == (head << 1) | 1:
            return changed + (restarts << RESTARTS_SHIFT)
        restarts += 1
    return -1
