"""setup: give a machine its tables and its vCPUs, and take everything back. Not while the machine runs."""

from __future__ import annotations

from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.host import sched_yield
from gnomon.mem.frames import run_alloc_n
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mem.slab import CACHE_DESC, slab_free
from gnomon.mmu.bitmap import bitmap_size, summary_words, whole_lines, words_of
from gnomon.mmu.context import reset_context
from gnomon.mmu.region import region_count
from gnomon.mmu.release import run_callbacks
from gnomon.mmu.rmap import take_spare
from gnomon.mmu.sharers import free_links, give_up
from gnomon.mmu.vcpu import VCPU, VCPU_WORDS
from gnomon.mmu.vm_words import HASH_BUCKETS, VM, VM_WORDS
from gnomon.mmu.zap import zap_all


@kernel
def static_words(m, words):
    """`words` zeroed words of whole frames of their own. Returns their word reference, 0 when the pool has not got them."""
    return run_alloc_n(m, (words + PAGE_WORDS - 1) >> PAGE_WORDS_SHIFT) << PAGE_WORDS_SHIFT


@kernel(entry=True)
def vm_create(m, base_gfn, pages, n_max):
    """A machine with `pages` pages of RAM from `base_gfn` and at most `n_max` shadow pages. Returns its reference, 0 for no memory."""
    vm = static_words(m, VM_WORDS)
    if vm == 0:
        return 0
    write_once(m, vm + VM.base_gfn, base_gfn)
    write_once(m, vm + VM.pages, pages)
    write_once(m, vm + VM.n_max, n_max)
    backing = static_words(m, pages)
    rmap = static_words(m, pages)
    tracked = static_words(m, pages)
    bitmaps = static_words(m, 2 * bitmap_size(pages))
    buckets = static_words(m, HASH_BUCKETS)
    regions = static_words(m, 3 * region_count(m, vm))
    if backing == 0 or rmap == 0 or tracked == 0 or bitmaps == 0 or buckets == 0 or regions == 0:
        return 0
    write_once(m, vm + VM.backing, backing)
    write_once(m, vm + VM.rmap, rmap)
    write_once(m, vm + VM.tracked, tracked)
    write_once(m, vm + VM.dirty, bitmaps)
    write_once(m, vm + VM.snapshot, bitmaps + bitmap_size(pages))
    if summary_words(words_of(pages)):
        write_once(m, vm + VM.dirty_lines, bitmaps + whole_lines(words_of(pages)))
        write_once(m, vm + VM.snapshot_lines, bitmaps + bitmap_size(pages) + whole_lines(words_of(pages)))
    write_once(m, vm + VM.hash, buckets)
    write_once(m, vm + VM.region_rmap, regions)
    write_once(m, vm + VM.region_tracked, regions + region_count(m, vm))
    write_once(m, vm + VM.region_sharers, regions + 2 * region_count(m, vm))
    return vm


@kernel(entry=True)
def vcpu_create(m, vm, t):
    """One more vCPU, whose thread has slot `t`. Returns its reference, 0 for no memory."""
    v = static_words(m, VCPU_WORDS)
    if v == 0:
        return 0
    number = read_once(m, vm + VM.harts)
    write_once(m, v + VCPU.vm, vm)
    write_once(m, v + VCPU.thread, t)
    write_once(m, v + VCPU.hart_id, number)
    reset_context(m, v)
    write_once(m, vm + VM.vcpus + number, v)
    write_once(m, vm + VM.harts, number + 1)
    return v


@kernel(entry=True)
def vm_clear(m, vm, t):
    """Zap every shadow page and free every guest frame: the machine is as new, its own tables stay. All vCPUs are out."""
    zap_all(m, vm, t)
    while read_once(m, vm + VM.deferred):  # who still reads is a harvest, and ends
        if run_callbacks(m, t, 64) == 0:
            sched_yield()
    for i in range(read_once(m, vm + VM.harts)):
        v = read_once(m, vm + VM.vcpus + i)
        desc = take_spare(m, v)
        while desc:
            slab_free(m, t, CACHE_DESC, desc)
            desc = take_spare(m, v)
    for index in range(read_once(m, vm + VM.pages)):
        at = read_once(m, vm + VM.backing) + index
        if read_once(m, at):
            give_up(m, vm, index, read_once(m, at))
            write_once(m, at, 0)
    return free_links(m, vm)
