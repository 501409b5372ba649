"""unsync: which leaf tables the guest stores to directly until its next SFENCE.VMA, and how a fence finds them.

Counterpart in Linux: mmu_try_to_unsync_pages, mark_unsync, kvm_mmu_page.unsync_children.

Owns       SP.unsync, SP.unsync_children and SP.unsync_bitmap (the marks), VM.unsync_pages
Guarantees U1  every link to an unsync table has its bit in the page that holds it, and every link to a page with bits has its own: a root
               with no bits has no unsync table below
           U2  the marks are visible before an spte of the table's page may get W (I-14)
           U3  a mark goes only when the sptes below have been compared with the guest's table again, or the link is gone
           U4  only leaf tables are unsync: a page that is shadowed at a higher level too is tracked
Context    mmu_lock held
Readers    SP.unsync and SP.unsync_children in guest mode, VM.unsync_pages anywhere, with no lock (fence.py)
"""

from __future__ import annotations

from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.atomics import fetch_add, read_once, store_release, wmb, write_once
from gnomon.mmu.rmap import DESC
from gnomon.mmu.shadow_page import ROLE_DIRECT, SP, child_page, hash_head, role_level
from gnomon.mmu.vm_words import VM


@kernel
def try_to_unsync(m, vm, index):
    """Make every shadow page of guest table page `index` unsync. Returns 1: it may be mapped writable. 0: it must stay tracked (U4)."""
    gfn = index + read_once(m, vm + VM.base_gfn)
    first = read_once(m, hash_head(m, vm, gfn))
    sp = first
    while sp:
        role = read_once(m, sp + SP.role)
        if read_once(m, sp + SP.gfn) == gfn and role & ROLE_DIRECT == 0 and role_level(role) > 1:
            return 0
        sp = read_once(m, sp + SP.hash_next)
    sp = first
    while sp:
        if read_once(m, sp + SP.gfn) == gfn and read_once(m, sp + SP.role) & ROLE_DIRECT == 0:
            mark_unsync(m, vm, sp)
        sp = read_once(m, sp + SP.hash_next)
    wmb()  # pairs with the rmb of mmu_sfence: forbids "a store went through the writable spte, the fence finds no mark" (U2, I-14)
    return 1


@kernel
def mark_unsync(m, vm, sp):
    """Mark leaf table `sp` unsync, up to the roots."""
    if read_once(m, sp + SP.unsync) == 0:
        write_once(m, sp + SP.unsync, 1)
        fetch_add(m, vm + VM.unsync_pages, 1)
        mark_parents(m, sp, 1)
    return 0


@kernel
def forget_unsync(m, vm, sp):
    """`sp` is in sync again, or gone: take its marks away (U3)."""
    if read_once(m, sp + SP.unsync):
        mark_parents(m, sp, 0)
        store_release(m, sp + SP.unsync, 0)  # as in mark_link
        fetch_add(m, vm + VM.unsync_pages, -1)
    return 0


@kernel
def unmark_link(m, at):
    """The middle spte at `at` links nothing any more."""
    above = mark_link(m, at, 0, 0)
    if above:
        mark_parents(m, above, 0)
    return 0


@kernel
def mark_parents(m, sp, mark):
    """Set (`mark` 1) or clear (0) the bits of all links to `sp`, and so on above wherever a page got its first bit or lost its last."""
    write_once(m, sp + SP.work_next, 0)
    while sp:
        chain = read_once(m, sp + SP.work_next)
        value = read_once(m, sp + SP.parents)
        if value & 1 == 0:
            if value:
                chain = mark_link(m, value >> 1, mark, chain)
        else:
            link = value ^ 1
            while link & 1 == 0:
                desc = link >> 1
                for i in range(read_once(m, desc + DESC.count)):
                    chain = mark_link(m, read_once(m, desc + DESC.sptes + i), mark, chain)
                link = read_once(m, desc + DESC.more)
        sp = chain
    return 0


@kernel
def mark_link(m, at, mark, chain):
    """Set or clear the bit of the link at `at`. Returns `chain`, with its page in front if that got its first bit or lost its last."""
    page = child_page(m, at)
    word = page + SP.unsync_bitmap + ((at & (PAGE_WORDS - 1)) >> 6)
    bits = read_once(m, word)
    bit = 1 << (at & 63)
    if int(bits & bit != 0) == mark:
        return chain
    write_once(m, word, bits ^ bit)
    before = read_once(m, page + SP.unsync_children)
    after = before - 1
    if mark:
        after = before + 1
    store_release(m, page + SP.unsync_children, after)  # pairs with the acquire in is_unsync(): who finds no mark finds no stale spte (U3)
    if before and after:
        return chain
    write_once(m, page + SP.work_next, chain)
    return page
