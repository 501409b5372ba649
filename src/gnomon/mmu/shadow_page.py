"""shadow page: a page table of ours, keyed by (gfn, role). Counterpart in Linux: struct kvm_mmu_page.

    direct      sptes follow from the position: entry i maps gfn + i * pages_of(level - 1). Bare and M-mode, and below guest superpages
    indirect    shadows the guest's table page `gfn`, entry for entry; that page is write-tracked as long as we do (tracked[])

Owns       the SP header (CACHE_SP, type-stable), the hash and the active list; its table is release.py's
Guarantees S1  at most one shadow page a key; every one in use is in the hash and the active list
           S2  tracked[index] > 0 before any entry of the guest's table is read to fill an spte (I-15)
Context    everything here under mmu_lock
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.arith import mul, shr
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.mem.pool import FRAME_TABLE, PAGE_WORDS_SHIFT, frame_owner, frame_payload, frame_set_word, frame_word
from gnomon.mem.slab import CACHE_SP, slab_alloc, slab_free
from gnomon.mmu.table import table_alloc
from gnomon.mmu.vm_words import HASH_BUCKETS, VM
from gnomon.sync.state import RCU_HEAD

TABLE_ENTRIES = 512
TABLE_SHIFT = 9
ROOT_LEVEL = 3
ROLE_LEVEL = 3  # mask
ROLE_DIRECT = 1 << 2
ROLE_ACCESS_SHIFT = 4  # R W X U bits of an spte lie above it
HASH_MULTIPLIER = 0x61C8864680B583EB
HASH_SHIFT = 54
BITMAP_WORDS = 8
"""A bit an entry."""

SP = record(
    "SP",
    "Header of a shadow page.",
    gfn=1,  # indirect: the guest's table; direct: first gfn mapped
    role=1,
    table=1,  # word ref of the page table
    parents=1,  # rmap head of the sptes that point here
    hash_next=1,
    newer=1,  # neighbours in the active list
    older=1,
    zap_next=1,  # chain of zapped pages that wait for the flush
    writes=1,  # tracked writes since it was last used for a fault
    vm=1,  # the machine it belongs to
    rcu=RCU_HEAD.size,  # its callback, where it is freed through RCU (release.py)
    unsync=1,  # leaf table: the guest stores to its table directly; 2 while it waits in the chain of a sync (unsync.py)
    unsync_children=1,  # how many entries lead to unsync tables: bits of unsync_bitmap
    work_next=1,  # chain of a pass under mmu_lock: pages to mark, pages to sync
    unsync_bitmap=BITMAP_WORDS,
)


@kernel
def make_role(level, direct, access):
    """The role word. `access` matters for direct pages only: what the superpage above allows."""
    return level | (ROLE_DIRECT * direct) | (access << ROLE_ACCESS_SHIFT)


@kernel
def role_level(role):
    """Level of the table, 1 = leaf table."""
    return role & ROLE_LEVEL


@kernel
def hash_head(m, vm, gfn):
    """Word of the hash bucket of `gfn`: all roles of a gfn share it."""
    return read_once(m, vm + VM.hash) + (shr(mul(gfn, HASH_MULTIPLIER), HASH_SHIFT) & (HASH_BUCKETS - 1))


@kernel
def sp_find(m, vm, gfn, role):
    """The shadow page of (gfn, role), 0 if there is none."""
    sp = read_once(m, hash_head(m, vm, gfn))
    while sp:
        if read_once(m, sp + SP.gfn) == gfn and read_once(m, sp + SP.role) == role:
            return sp
        sp = read_once(m, sp + SP.hash_next)
    return 0


@kernel
def sp_alloc(m, vm, t, gfn, role):
    """A new shadow page of (gfn, role) with an empty table, in the hash and at the young end of the active list.

    Returns 0, and changes nothing, when the pool is exhausted. The caller tracks the gfn of an indirect one."""
    sp = slab_alloc(m, t, CACHE_SP)
    if sp == 0:
        return 0
    table = table_alloc(m, vm, t)
    if table == 0:
        slab_free(m, t, CACHE_SP, sp)
        return 0
    write_once(m, sp + SP.gfn, gfn)
    write_once(m, sp + SP.role, role)
    write_once(m, sp + SP.table, table)
    write_once(m, sp + SP.parents, 0)
    write_once(m, sp + SP.writes, 0)
    write_once(m, sp + SP.vm, vm)
    write_once(m, sp + SP.unsync, 0)
    write_once(m, sp + SP.unsync_children, 0)
    for word in range(BITMAP_WORDS):
        write_once(m, sp + SP.unsync_bitmap + word, 0)
    frame_set_word(m, table >> PAGE_WORDS_SHIFT, frame_owner(FRAME_TABLE, sp))
    head = hash_head(m, vm, gfn)
    write_once(m, sp + SP.hash_next, read_once(m, head))
    write_once(m, head, sp)
    active_insert(m, vm, sp)
    fetch_add(m, vm + VM.n_used, 1)
    return sp


@kernel
def active_insert(m, vm, sp):
    """Put `sp` at the young end."""
    newest = read_once(m, vm + VM.active_head)
    write_once(m, sp + SP.newer, 0)
    write_once(m, sp + SP.older, newest)
    if newest:
        write_once(m, newest + SP.newer, sp)
    else:
        write_once(m, vm + VM.active_tail, sp)
    write_once(m, vm + VM.active_head, sp)
    return 0


@kernel
def active_remove(m, vm, sp):
    """Take `sp` out of the active list."""
    newer = read_once(m, sp + SP.newer)
    older = read_once(m, sp + SP.older)
    if newer:
        write_once(m, newer + SP.older, older)
    else:
        write_once(m, vm + VM.active_head, older)
    if older:
        write_once(m, older + SP.newer, newer)
    else:
        write_once(m, vm + VM.active_tail, newer)
    return 0


@kernel
def hash_remove(m, vm, sp):
    """Take `sp` out of its hash bucket."""
    head = hash_head(m, vm, read_once(m, sp + SP.gfn))
    if read_once(m, head) == sp:
        write_once(m, head, read_once(m, sp + SP.hash_next))
        return 0
    before = read_once(m, head)
    while read_once(m, before + SP.hash_next) != sp:
        before = read_once(m, before + SP.hash_next)
    write_once(m, before + SP.hash_next, read_once(m, sp + SP.hash_next))
    return 0


@kernel
def child_page(m, table):
    """The shadow page whose table holds the word `table`."""
    return frame_payload(frame_word(m, table >> PAGE_WORDS_SHIFT))
