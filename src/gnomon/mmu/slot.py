"""slot: the guest's RAM. One slot of VM.pages gfns from VM.base_gfn; a page gets its frame at the first touch.

`index` is gfn - base_gfn. A guest frame's frame word names its machine and its index, so the gfn of a writable spte follows from its
pfn: a fast page fault dirties the gfn of the very value it exchanged, and needs no shadow page for it (better than I-5: no ABA of
gfn, and none of machines that share a pool).

Context    anywhere; backing_fault takes VM.backing_lock, which may be taken under mmu_lock
Guarantees G1  a backing word changes from 0 to a pfn whose frame is zero, once, under VM.backing_lock; any other change is an
               invalidation's (invalidate.py), or is that of pages that come to share a frame, and apart again (share.py). The frame's word
               is set before, and names its machine and its index, or that of one of the pages behind it, as long as there is one
           G2  who reads a frame through its backing word does so under mmu_lock; who writes it, with no invalidation of the page in
               progress besides; or as VM.mover, or through an spte: anything else may find the frame gone (host_page.py)
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, load_acquire, read_once, store_release
from gnomon.mem.frames import frame_alloc_zeroed, run_alloc
from gnomon.mem.pool import FRAME_GUEST, FRAMES_PER_RUN, PAGE_WORDS_SHIFT, frame_owner, frame_payload, frame_set_word, frame_tag, frame_word
from gnomon.mmu.bitmap import set_dirty
from gnomon.mmu.ring import ring_push
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock

INDEX_BITS = 28
INDEX_MASK = (1 << INDEX_BITS) - 1
"""A guest frame's payload: the frame of its VM record above INDEX_BITS, its page index below."""


@kernel
def slot_index(m, vm, gpa):
    """Index of the page of `gpa`, -1 if that is not RAM."""
    index = (gpa >> 12) - read_once(m, vm + VM.base_gfn)
    if index < 0 or index >= read_once(m, vm + VM.pages):
        return -1
    return index


@kernel
def backing(m, vm, index):
    """pfn behind page `index`, 0 if it was never touched."""
    return load_acquire(m, read_once(m, vm + VM.backing) + index)  # pairs with store_release in back_page: the frame is filled


@kernel
def name_frame(m, vm, index, pfn):
    """Make the word of frame `pfn` name this machine and page `index`."""
    return frame_set_word(m, pfn, frame_owner(FRAME_GUEST, ((vm >> PAGE_WORDS_SHIFT) << INDEX_BITS) | index))


@kernel
def back_page(m, vm, index, pfn):
    """Put the frame `pfn`, whose content is the page's, behind page `index`."""
    name_frame(m, vm, index, pfn)
    store_release(m, read_once(m, vm + VM.backing) + index, pfn)
    return pfn


@kernel
def backing_fault(m, vm, t, index):
    """pfn behind page `index`, allocated now if need be. Returns 0 when the pool is exhausted."""
    pfn = backing(m, vm, index)
    if pfn:
        return pfn
    spin_lock(m, vm + VM.backing_lock)
    pfn = backing(m, vm, index)
    if pfn == 0:
        pfn = first_touch(m, vm, t, index)
    spin_unlock(m, vm + VM.backing_lock)
    return pfn


@kernel
def first_touch(m, vm, t, index):
    """A frame for page `index`, which has none: of a 2 MiB run for 512 untouched neighbours when the pool has one.

    Returns 0 when the pool is exhausted. Under VM.backing_lock."""
    first = index - ((index + read_once(m, vm + VM.base_gfn)) & (FRAMES_PER_RUN - 1))
    if first >= 0 and first + FRAMES_PER_RUN <= read_once(m, vm + VM.pages):
        untouched = 1
        for i in range(FRAMES_PER_RUN):
            if backing(m, vm, first + i):
                untouched = 0
                break
        if untouched:
            run = run_alloc(m)
            if run:
                for i in range(FRAMES_PER_RUN):
                    back_page(m, vm, first + i, run + i)
                return run + index - first
    pfn = frame_alloc_zeroed(m, t)
    if pfn == 0:
        return 0
    return back_page(m, vm, index, pfn)


@kernel
def index_of_frame(m, pfn):
    """Index of the guest page that the word of frame `pfn` names: the one behind which it lies, or one of them."""
    return frame_payload(frame_word(m, pfn)) & INDEX_MASK


@kernel
def mark_dirty(m, vm, v, index):
    """Log page `index` as written by vCPU `v`, or by the host if that is 0: in the vCPU's ring if it has one with room, else in the bitmap.

    Full barrier when the bitmap gets it: what made the page writable is visible before the bit (I-7; ring.py for an entry)."""
    if load_acquire(m, vm + VM.logging) == 0:  # pairs with the release of start_logging(): who logs knows whether there are rings
        return 0
    size = read_once(m, vm + VM.ring_size)
    if size and v and ring_push(m, v, size, index):
        return 0
    set_dirty(m, vm, index >> 6, 1 << (index & 63))
    if size:
        fetch_add(m, vm + VM.ring_spilled, 1)  # after the bit: who sees the count finds it
    return 0


@kernel
def mark_frame_dirty(m, vm, v, pfn):
    """Log the guest page behind which frame `pfn` lies, in the log of whichever machine it belongs to now; nothing if to none.

    `v` is a vCPU of machine `vm`, the one that faulted."""
    word = frame_word(m, pfn)
    if frame_tag(word) == FRAME_GUEST:
        owner = frame_payload(word)
        home = (owner >> INDEX_BITS) << PAGE_WORDS_SHIFT
        mark_dirty(m, home, v if home == vm else 0, owner & INDEX_MASK)
    return 0
