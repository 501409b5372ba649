"""rmap: which sptes map a gfn (or, with a shadow page's `parents` as head, which sptes point to that page).

Counterpart in Linux: rmap_head and pte_list_desc, with the nulls scheme of the 2013 series; today's per-rmap bit lock is a choice (R-7).

    head word        0 = empty; ref<<1 = the one spte; desc<<1 | 1 = descriptors; RMAP_LOCKED = the bit lock of protector=rmap-bit
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
from gnomon.mem.pool import FRAME_TABLE, PAGE_WORDS_SHIFT, frame_payload, frame_tag, frame_word
from gnomon.mem.slab import CACHE_DESC, slab_alloc, slab_free
from gnomon.mmu.design import (
    GUARD,
    GUARD_MMU_WRITABLE,
    GUARD_RECHECK,
    PROTECTOR,
    PROTECTOR_RMAP_BIT,
    WALK,
    WALK_FORWARD,
    WALK_NO_NULLS,
)
from gnomon.mmu.shadow_page import ROLE_DIRECT, SP, TABLE_ENTRIES, role_level
from gnomon.mmu.spte import ACCESSED, HOST_WRITABLE, LARGE, LEVEL_MASK, LEVEL_SHIFT, MMU_WRITABLE, PRESENT, WRITABLE
from gnomon.mmu.vcpu import SPARE_DESCS, VCPU
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_pause

DESC_SPTES = 14
RESTART_LIMIT = 64
RESTARTS_SHIFT = 32
RMAP_LOCKED = 1 << 62
CHANGED_MASK = (1 << RESTARTS_SHIFT) - 1
DESC = record("DESC", "A descriptor of up to DESC_SPTES sptes of one rmap.", more=1, count=1, sptes=DESC_SPTES)

PROTECT_DIRTY = 1  # dirty log: clear W of 4 KiB leaves that may get it back without mmu_lock
PROTECT_TABLE = 2  # page-table protection: clear W and MMU_W
CLEAR_YOUNG = 3  # aging: clear A


@kernel
def is_meant(m, vm, head, at):
    """The recheck: 1 if the table that holds `at` belongs, now, to a shadow page whose entry there maps the page of `head`.

    For an indirect page the position does not say which page that is: its level must do."""
    word = frame_word(m, at >> PAGE_WORDS_SHIFT)
    if frame_tag(word) != FRAME_TABLE:
        return 0
    sp = frame_payload(word)
    role = read_once(m, sp + SP.role)
    if role & ROLE_DIRECT == 0 or role_level(role) != 1:
        return int(role_level(role) == 1)
    gfn = head - read_once(m, vm + VM.rmap) + read_once(m, vm + VM.base_gfn)
    return int(read_once(m, sp + SP.gfn) + (at & (TABLE_ENTRIES - 1)) == gfn)


@kernel(inline=True)
def guard_mask(design):
    """The bits of an spte by which the guard of `design` tells what may be exchanged."""
    guard = design & GUARD
    if guard == 0:
        return PRESENT | LARGE | LEVEL_MASK | HOST_WRITABLE
    if guard == GUARD_MMU_WRITABLE:
        return PRESENT | LARGE | MMU_WRITABLE
    return 0 if guard == GUARD_RECHECK else PRESENT


@kernel(inline=True)
def guard_wants(design):
    """What the bits of guard_mask() must be. No spte is as GUARD_RECHECK wants it, which looks further than at the spte."""
    guard = design & GUARD
    if guard == 0:
        return PRESENT | (1 << LEVEL_SHIFT) | HOST_WRITABLE
    return PRESENT | MMU_WRITABLE if guard == GUARD_MMU_WRITABLE else PRESENT


@kernel(inline=True)
def guard_lets(m, vm, head, at, spte, design):
    """1 if the guard of `design` lets the protector exchange `spte`, which it read at `at` in the rmap at `head`.

    The table may have become another's since the rmap named it (R-6), and may become it between this look and the exchange."""
    if design & GUARD == GUARD_RECHECK:
        return spte & PRESENT if is_meant(m, vm, head, at) else 0
    return int(spte & guard_mask(design) == guard_wants(design))


@kernel(inline=True)
def spte_exchange(m, at, spte, new):
    """Make the spte at `at` `new` if it still is `spte`. Returns 1 if so, 0 where zap, fast fault or A/D came first (I-4)."""
    return int(cmpxchg(m, at, spte, new) == spte)


@kernel(inline=True)
def spte_protect(m, vm, head, at, kind, design):
    """Clear W (PROTECT_DIRTY) or W and MMU_W (PROTECT_TABLE) in the spte at `at`, which may be gone or another by now.

    Returns 1 if this call changed it. With the guard that ships, the expected value carries LEVEL and HOST_W, so on a reused table
    the cmpxchg can only hit a 4 KiB leaf: a middle spte never loses W (C10, C11)."""
    while True:
        spte = read_once(m, at)
        if guard_lets(m, vm, head, at, spte, design) == 0:
            return 0
        new = spte & ~WRITABLE
        if kind == PROTECT_TABLE:
            new = new & ~MMU_WRITABLE
        if new == spte:
            return 0
        if spte_exchange(m, at, spte, new):  # if not: retry on what is there now
            return 1


@kernel
def spte_age(m, at):
    """Clear A in the spte at `at`, whatever it is by now: nobody looks at the A of a middle spte. Returns 1 if this call did."""
    while True:
        spte = read_once(m, at)
        if spte & (PRESENT | ACCESSED) != PRESENT | ACCESSED:
            return 0
        if cmpxchg(m, at, spte, spte & ~ACCESSED) == spte:  # loses to whoever changes the rest of it: retry on that (I-4)
            return 1


@kernel(inline=True)
def spte_visit(m, vm, head, at, kind, design):
    """What a walk of this kind does to the spte at `at`. Returns 1 if it changed it."""
    if kind == CLEAR_YOUNG:
        return spte_age(m, at)
    return spte_protect(m, vm, head, at, kind, design)


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
def rmap_lock(m, head):
    """Take the bit lock of the rmap at `head`; nothing is taken under it. Counterpart: kvm_rmap_lock()."""
    turn = 0
    while True:
        value = read_once(m, head)
        if value & RMAP_LOCKED == 0 and cmpxchg(m, head, value, value | RMAP_LOCKED) == value:  # pairs with rmap_unlock(): forbids a walk
            return 0  # of a descriptor half edited
        turn = spin_pause(turn)


@kernel
def rmap_unlock(m, head):
    """Release the bit lock of the rmap at `head`: only its holder writes the word."""
    store_release(m, head, read_once(m, head) & ~RMAP_LOCKED)  # pairs with the cmpxchg of rmap_lock()
    return 0


@kernel
def page_rmap_add(m, vm, v, head, at):
    """rmap_add() to the rmap of a page, where a protector may walk."""
    desc = 0
    if rmap_is_full(m, head):
        desc = take_spare(m, v)
    return page_rmap_insert(m, vm, head, at, desc)


@kernel
def page_rmap_insert(m, vm, head, at, fresh):
    """rmap_insert() to the rmap of a page: under its bit lock if the design has one (I-17)."""
    locks = read_once(m, vm + VM.design) & PROTECTOR == PROTECTOR_RMAP_BIT
    if locks:
        rmap_lock(m, head)
    rmap_insert(m, head, at, fresh)
    if locks:
        rmap_unlock(m, head)
    return 0


@kernel
def page_rmap_remove(m, vm, t, head, at):
    """rmap_remove() from the rmap of a page, as page_rmap_add()."""
    locks = read_once(m, vm + VM.design) & PROTECTOR == PROTECTOR_RMAP_BIT
    if locks:
        rmap_lock(m, head)
    rmap_remove(m, t, head, at)
    if locks:
        rmap_unlock(m, head)
    return 0


@kernel
def rmap_is_full(m, head):
    """1 if the next entry of the rmap at `head` takes a descriptor. Under mmu_lock."""
    value = read_once(m, head) & ~RMAP_LOCKED
    if value & 1 == 0:
        return int(value != 0)
    return int(read_once(m, (value >> 1) + DESC.count) == DESC_SPTES)


@kernel
def rmap_add(m, v, head, at):
    """Add the spte at `at` to the rmap at `head`. No fast fault can see the spte before (leaf.py). After rmap_top_up, under mmu_lock."""
    desc = 0
    if rmap_is_full(m, head):
        desc = take_spare(m, v)
    return rmap_insert(m, head, at, desc)


@kernel
def rmap_insert(m, head, at, fresh):
    """rmap_add() with the constructed descriptor `fresh`, 0 if the rmap is not full. Under mmu_lock."""
    word = read_once(m, head)
    held = word & RMAP_LOCKED
    value = word ^ held
    if value == 0:
        store_release(m, head, at << 1 | held)  # pairs with load_acquire in rmap_walk
        return 0
    if value & 1 == 0:
        desc = fresh
        write_once(m, desc + DESC.sptes, value >> 1)
        write_once(m, desc + DESC.sptes + 1, at)
        write_once(m, desc + DESC.count, 2)
        write_once(m, desc + DESC.more, (head << 1) | 1)
        store_release(m, head, (desc << 1) | 1 | held)  # pairs with load_acquire in rmap_walk: forbids an unfilled descriptor
        return 0
    desc = value >> 1
    count = read_once(m, desc + DESC.count)
    if count == DESC_SPTES:
        write_once(m, fresh + DESC.sptes, at)
        write_once(m, fresh + DESC.count, 1)
        write_once(m, fresh + DESC.more, desc << 1)
        store_release(m, head, (fresh << 1) | 1 | held)  # published when filled; walkers that started before miss only the new entry
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
    word = read_once(m, head)
    held = word & RMAP_LOCKED
    value = word ^ held
    if value == at << 1:
        write_once(m, head, held)
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
            write_once(m, head, held)
        else:
            store_release(m, head, more | 1 | held)
        write_once(m, desc + DESC.more, 0)  # a walker still standing here reads 0: foreign, it restarts
        slab_free(m, t, CACHE_DESC, desc)
    return 1


@kernel(inline=True)
def rmap_walk(m, vm, head, kind):
    """Do what `kind` says to every spte of the rmap at `head`.

    Returns changed sptes + (restarts << RESTARTS_SHIFT), or -1 after RESTART_LIMIT restarts."""
    design = read_once(m, vm + VM.design)
    changed = 0
    restarts = 0
    while restarts <= RESTART_LIMIT:
        value = load_acquire(m, head) & ~RMAP_LOCKED  # pairs with store_release in rmap_add: a descriptor is filled before it is seen
        if value & 1 == 0:
            if value:
                changed += spte_visit(m, vm, head, value >> 1, kind, design)
            return changed + (restarts << RESTARTS_SHIFT)
        link = value ^ 1
        while link & 1 == 0 and link != 0:
            desc = link >> 1
            for i in range(DESC_SPTES):
                slot = DESC_SPTES - 1 - i
                if design & WALK == WALK_FORWARD:
                    slot = i
                at = load_acquire(m, desc + DESC.sptes + slot)  # pairs with the releases of rmap_remove: empty last => filled hole
                if at:
                    changed += spte_visit(m, vm, head, at, kind, design)
            link = load_acquire(m, desc + DESC.more)
        if link == (head << 1) | 1 or design & WALK == WALK_NO_NULLS:
            return changed + (restarts << RESTARTS_SHIFT)
        restarts += 1
    return -1
