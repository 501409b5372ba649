"""log modes: how logging begins, and the clear form, which takes pages a range at a time.

Counterpart in Linux: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, its flag KVM_DIRTY_LOG_INITIALLY_SET, and KVM_CLEAR_DIRTY_LOG.

    initially set    every page with a frame is dirty at first and nothing is protected: each page is by the harvest or clear that takes it
    write-protect    nothing is dirty at first, all is write-protected before the call returns: what is logged was written since
    clear            user space reads the bitmap as it is, names pages to forget, which are protected again, and copies them after that

Guarantees L1  enable_protected: a store that retires after it returned faulted first, and is in a later snapshot
           L2  clear: a store that retires after it returned faulted first, or its page is dirty; a page not named is as it was
           L3  clear is a transaction as a harvest is: what it took is in VM.snapshot until commit or merge_back
Context    no lock held; clear_begin takes VM.harvester
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import popcount
from gnomon.lang.atomics import cmpxchg, fetch_add, fetch_and, read_once, write_once
from gnomon.mmu.bitmap import add_taken, dirty_words
from gnomon.mmu.dirty import BUSY, harvest_lock, harvest_unlock, protect_word, start_logging
from gnomon.mmu.vcpu import flush_remote_tlbs
from gnomon.mmu.vm_words import VM

ALL_BITS = -1


@kernel
def page_bits(m, vm, w):
    """The bits of word `w` of a bitmap that stand for pages."""
    rest = read_once(m, vm + VM.pages) - (w << 6)
    return ALL_BITS if rest >= 64 else (1 << rest) - 1


@kernel(entry=True)
def enable_protected(m, t, vm):
    """Start logging with an empty log: write-protect everything."""
    start_logging(m, t, vm, 0)  # full barrier: a fault that does not see it has its spte and rmap entry where the walk finds them
    harvest_lock(m, vm)
    changed = 0
    for w in range(dirty_words(m, vm)):
        changed += protect_word(m, t, vm, w, page_bits(m, vm, w))
    fetch_add(m, vm + VM.protected, changed)
    harvest_unlock(m, vm)
    return flush_remote_tlbs(m, vm)


@kernel(entry=True)
def clear_begin(m, vm):
    """Open the snapshot, in whose words the caller then writes the pages to clear. Returns 0, or BUSY while another one is open."""
    return BUSY if cmpxchg(m, vm + VM.harvester, 0, 1) else 0


@kernel(entry=True)
def clear_dirty_log(m, t, vm, first, words):
    """Forget and write-protect the dirty pages among those named in words first … first + words - 1 of the open snapshot.

    Returns how many; the snapshot keeps those. The caller copies the pages after this call."""
    count = 0
    changed = 0
    harvest_lock(m, vm)
    for w in range(first, first + words):
        at = read_once(m, vm + VM.snapshot) + w
        named = read_once(m, at) & page_bits(m, vm, w)
        taken = 0
        if named:
            taken = fetch_and(m, read_once(m, vm + VM.dirty) + w, ~named) & named  # full barrier, as in harvest_word
        write_once(m, at, 0)
        if taken:
            add_taken(m, vm, w, taken)
            count += popcount(taken)
            changed += protect_word(m, t, vm, w, taken)
    harvest_unlock(m, vm)
    if count:
        fetch_add(m, vm + VM.protected, changed)
        flush_remote_tlbs(m, vm)
    return count
