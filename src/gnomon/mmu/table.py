"""table: the memory of page tables, and how that of a zapped one goes back: the reclaim axis of the design space.

    typesafe-slab          an object of CACHE_TABLE: reusable at once, its page kept for readers until a grace period has passed (S-1, S-7)
    immediate, mode-wait   a frame, back to the pool at once. mode-wait makes every lockless walk of a vCPU a span of guest mode, which
                           the zapper waits for (I-9); nobody outside a vCPU is waited for
    call-rcu               a frame, back to the pool by a callback of its own, after a grace period
    call-rcu-throttled     the same, and the page stays charged to n_max until then (throttle.py)

Guarantees A1  a table begins as zeroes, and is all zero when it is freed
Context    under mmu_lock
"""

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.mem.frames import frame_alloc_zeroed, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mem.slab import CACHE_TABLE, slab_alloc, slab_free
from gnomon.mmu.design import RECLAIM
from gnomon.mmu.vm_words import VM


@kernel
def table_alloc(m, vm, t):
    """Memory for a page table of machine `vm`, all zero. Returns its word reference, 0 when the pool is exhausted."""
    if read_once(m, vm + VM.design) & RECLAIM == 0:
        return slab_alloc(m, t, CACHE_TABLE)
    return frame_alloc_zeroed(m, t) << PAGE_WORDS_SHIFT


@kernel
def table_free(m, vm, t, table):
    """Give the memory of `table` back now. Whoever may still look at it has been waited for, as the design has it."""
    if read_once(m, vm + VM.design) & RECLAIM == 0:
        return slab_free(m, t, CACHE_TABLE, table)
    return frame_free(m, table >> PAGE_WORDS_SHIFT)
