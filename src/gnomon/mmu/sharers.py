"""sharers: the pages of a machine that lie behind one frame, as a ring. Counterpart in Linux: KSM's stable node and its rmap items.

    link of a = b + 1, link of b = c + 1, link of c = a + 1     pages a, b and c lie behind one frame
    link of a = 0, or no links of a's region                    the frame behind page a is its own

Owns       VM.region_sharers[r]   a frame with the links of region r, from the first time that a page of it shares until vm_clear
           VM.shared_pages, VM.shared_frames; which page the word of a shared frame names
Guarantees D1  the word of a frame names a page that lies behind it: where one page is left of a ring, its stores are logged as its own (F2)
           D2  a frame is freed by the last page that gives it up, and by no other
           D3  the sptes of a page are in the rmap of that page, whichever page its frame's word names
           D4  a region with a shared page has no large spte: the page counts in VM.region_tracked, as a guest table does (region.py)
Context    mmu_lock, or no vCPU and no protector at work
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import clear_page
from gnomon.mem.frames import frame_alloc_reserve, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mmu.region import leaf_rmap, place_in_region, region_count, region_of, sharer_after
from gnomon.mmu.rmap import RMAP_LOCKED, rmap_find
from gnomon.mmu.slot import name_frame
from gnomon.mmu.spte import HOST_WRITABLE, LARGE
from gnomon.mmu.vm_words import VM

MOST_SHARERS = 256
"""Pages behind one frame at most, so that a walk of the ring is short. Linux has as many (max_page_sharing), for its rmap walks."""


@kernel
def rmap_has(m, head, at):
    """1 if the spte at `at` is in the rmap at `head`. Under mmu_lock."""
    value = read_once(m, head) & ~RMAP_LOCKED
    if value & 1:
        return int(rmap_find(m, value >> 1, at) != 0)
    return int(value == at << 1)


@kernel
def spte_rmap(m, vm, at, spte):
    """The rmap head that has the leaf `spte`, at `at` until now (D3)."""
    head = leaf_rmap(m, vm, spte)
    if spte & (HOST_WRITABLE | LARGE):  # then its frame is one page's own
        return head
    rmap = read_once(m, vm + VM.rmap)
    named = head - rmap
    index = named
    following = sharer_after(m, vm, index)
    while following and rmap_has(m, rmap + index, at) == 0:
        index = following - 1
        following = sharer_after(m, vm, index)
        if index == named:
            break
    return rmap + index


@kernel
def sharer_count(m, vm, index):
    """How many pages lie behind the frame of page `index`, which has one."""
    count = 1
    following = sharer_after(m, vm, index)
    while following and following - 1 != index:
        count += 1
        following = sharer_after(m, vm, following - 1)
    return count


@kernel
def have_links(m, vm, index):
    """Words for the links of the region of page `index`. Returns 0 if there is no frame for them, one below POOL.min either.

    Below it, because who shares is about to free a frame."""
    at = read_once(m, vm + VM.region_sharers) + region_of(m, vm, index)
    if read_once(m, at) == 0:
        pfn = frame_alloc_reserve(m)
        if pfn == 0:
            return 0
        clear_page(m, pfn << 12)
        write_once(m, at, pfn << PAGE_WORDS_SHIFT)
    return 1


@kernel
def free_links(m, vm):
    """No page shares a frame any more, and none will: free the links."""
    for region in range(region_count(m, vm)):
        at = read_once(m, vm + VM.region_sharers) + region
        if read_once(m, at):
            frame_free(m, read_once(m, at) >> PAGE_WORDS_SHIFT)
            write_once(m, at, 0)
    return 0


@kernel
def set_sharer(m, vm, index, following):
    """Make `following`, 0 or page + 1, what comes after page `index` in its ring, and count the page (D4)."""
    links = read_once(m, read_once(m, vm + VM.region_sharers) + region_of(m, vm, index))
    at = links + place_in_region(m, vm, index)
    change = int(following != 0) - int(read_once(m, at) != 0)
    write_once(m, at, following)
    if change:
        fetch_add(m, read_once(m, vm + VM.region_tracked) + region_of(m, vm, index), change)
        fetch_add(m, vm + VM.shared_pages, change)
    return 0


@kernel
def join(m, vm, index, other):
    """Page `other`, whose frame was its own, lies behind the frame of page `index` now."""
    following = sharer_after(m, vm, index)
    if following == 0:
        following = index + 1
        fetch_add(m, vm + VM.shared_frames, 1)
    set_sharer(m, vm, other, following)
    return set_sharer(m, vm, index, other + 1)


@kernel
def leave(m, vm, index, pfn):
    """Page `index` lies behind the shared frame `pfn` no more. If one page is left, the frame is its own."""
    following = sharer_after(m, vm, index) - 1
    before = following
    while sharer_after(m, vm, before) - 1 != index:
        before = sharer_after(m, vm, before) - 1
    set_sharer(m, vm, index, 0)
    if before == following:
        set_sharer(m, vm, before, 0)
        fetch_add(m, vm + VM.shared_frames, -1)
    else:
        set_sharer(m, vm, before, following + 1)
    return name_frame(m, vm, following, pfn)  # D1: before anyone can make an spte of that page with HOST_WRITABLE


@kernel
def give_up(m, vm, index, pfn):
    """Page `index` has another frame than `pfn` by now, or none, and no TLB knows better. Returns 1 if `pfn` is free now."""
    if sharer_after(m, vm, index):
        leave(m, vm, index, pfn)
        return 0
    frame_free(m, pfn)
    return 1
