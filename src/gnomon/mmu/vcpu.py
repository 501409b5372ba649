"""VCPU: one virtual CPU as the MMU sees it, its mode and its requests.

`v` is the reference of a run of VCPU_WORDS words: this record, then the hart's registers (hart/), then the TLB (tlb.py).
Counterpart in Linux: struct kvm_vcpu, vcpu->mode, vcpu->requests (Documentation/virt/kvm/vcpu-requests.rst).

The mode word is a count of transitions: odd inside guest mode, even outside. Inside, the hart may use its TLB and the hardware
walk may read shadow tables; outside, it may do neither.

V1  guest entry: mode becomes odd, full barrier, requests are read (I-10). A requester sets its bit, full barrier, reads the mode.
    One of the two sees the other: never "entered with the request pending and nobody waiting".
V2  A requester waits until the mode is even or its bits are gone: bits are only cleared outside, so either way the span that
    missed them has ended, and the next entry handles them before the TLB is used (I-11: the wait is for the span's end).
V3  A request's payload is written before its bit and read after it (I-12).
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.atomics import (
    cpu_relax,
    fetch_add,
    fetch_and,
    fetch_or,
    load_acquire,
    mb,
    read_once,
    store_release,
    write_once,
    xchg,
)
from gnomon.lang.host import sched_yield
from gnomon.mmu.design import FLUSH_SKIPPED
from gnomon.mmu.tlb import TLB_AT, TLB_WORDS, tlb_flush_all
from gnomon.mmu.vm_words import VM
from gnomon.sync.thread import advance_to

VCPU_WORDS = 2048
HART_AT = 256
"""Word offset of the hart's own registers from the vCPU's reference."""
assert TLB_AT + TLB_WORDS <= VCPU_WORDS

REQ_FLUSH = 1  # forget the TLB
REQ_ROOTS = 2  # some root of yours was zapped: look all of them up again (I-20)
REQ_PAUSE = 4  # leave to the thread's owner and stay there
REQ_EVENT = 8  # an interrupt may have become pending
REQ_RING = 16  # leave and wait: your dirty ring is full
REQ_MMU = REQ_FLUSH | REQ_ROOTS

ROOT_SLOTS = 8
"""Slot 0 is the direct root; the others cache shadow roots by satp."""
SPARE_DESCS = 4
"""A slow fault adds at most one leaf and two parent links to rmaps."""
SPIN_LIMIT = 200

VCPU = record(
    "VCPU",
    "One virtual CPU: modes, requests, roots, and what the last translation said.",
    mode=8,  # V1; a cache line of its own: requesters spin on it
    requests=8,  # V1; written by others
    vm=1,
    thread=1,  # thread slot of the hart's thread: RCU reader and slab magazines
    hart_id=1,
    fetch_regime=1,  # tag of fetches and of loads/stores, always current
    data_regime=1,
    fetch_slot=1,  # root slot of the regimes
    data_slot=1,
    next_slot=1,  # root slot to be reused next
    fault_gpa=1,  # where the last translation that did not end in XL_OK wanted to go
    fault_access=1,
    fault_pfn=1,  # frame that was looked up for this fault before mmu_lock was taken, 0 = none (host_page.py)
    fault_seq=1,  # VM.invalidate_seq before that
    ring=1,  # word ref of the dirty ring, 0 = none yet (ring.py)
    ring_dirty=1,  # entries ever pushed: the vCPU's
    ring_fetch=1,  # … collected and …
    ring_reset=1,  # … reset: the reader's
    ring_waits=1,  # times the vCPU waited for a reset
    root_satp=ROOT_SLOTS,  # satp ppn that slot i is for, -1 = free
    root=ROOT_SLOTS,  # shadow page of slot i, 0 = look it up at the next walk
    seen_big_zaps=1,  # VM.big_zaps at the last whole flush
    spare=SPARE_DESCS,  # rmap descriptors set aside before mmu_lock is taken, so that rmap_add cannot fail
    fast_faults=1,
    slow_faults=1,
    spurious_faults=1,
    guest_faults=1,  # page faults that belong to the guest
    mmio=1,
    tracked_writes=1,
    walks=1,
    tlb_flushes=1,
    exits=1,
    out_of_memory=1,
)
assert VCPU.size <= HART_AT


@kernel
def guest_enter(m, v):
    """Enter guest mode with every MMU request handled. Called outside guest mode, with no lock."""
    while True:
        xchg(m, v + VCPU.mode, read_once(m, v + VCPU.mode) + 1)  # full barrier, pairs with request(): forbids "pending, and neither sees"
        pending = read_once(m, v + VCPU.requests) & REQ_MMU
        if pending == 0:
            return 0
        guest_exit(m, v)
        handle_requests(m, v, pending)


@kernel
def guest_exit(m, v):
    """Leave guest mode: what the hart did inside is performed before anyone sees it outside."""
    store_release(m, v + VCPU.mode, read_once(m, v + VCPU.mode) + 1)  # pairs with the requester's acquire in wait_for_exit()
    return 0


@kernel
def handle_requests(m, v, pending):
    """Serve REQ_FLUSH and REQ_ROOTS, outside guest mode. The bits are cleared first: a later request sets them again (V3)."""
    fetch_and(m, v + VCPU.requests, ~pending)
    tlb_flush_all(m, v)
    write_once(m, v + VCPU.tlb_flushes, read_once(m, v + VCPU.tlb_flushes) + 1)
    if pending & REQ_ROOTS:
        for slot in range(ROOT_SLOTS):
            write_once(m, v + VCPU.root + slot, 0)
    return 0


@kernel
def make_request(m, v, bits):
    """Set request bits of a vCPU, without waiting. Full barrier."""
    fetch_or(m, v + VCPU.requests, bits)  # full barrier, pairs with the xchg of guest_enter(): forbids reading "outside" in
    mb()  # wait_for_exit() while the vCPU enters without seeing the bit
    return 0


@kernel
def wait_for_exit(m, v, bits):
    """Wait until no guest-mode span is left that began before `bits` were requested (V2).

    Either the vCPU is outside, and its next entry sees the bits; or the bits are gone, and they are only cleared outside."""
    turns = 0
    while read_once(m, v + VCPU.requests) & bits and read_once(m, v + VCPU.mode) & 1:
        cpu_relax()
        turns += 1
        if turns >= SPIN_LIMIT:
            sched_yield()  # fewer cores than threads: the vCPU may need ours
            turns = 0
    mb()  # what the vCPU did inside happened before what the caller does next (frees a page, hands out a snapshot)
    return 0


@kernel
def request_all(m, vm, bits):
    """Make `bits` (of REQ_MMU) requests of every vCPU and wait until no span that missed them is left.

    The caller is outside guest mode: two requesters wait for each other's spans, never for each other."""
    harts = read_once(m, vm + VM.harts)
    for i in range(harts):
        make_request(m, read_once(m, vm + VM.vcpus + i), bits)
    for i in range(harts):
        wait_for_exit(m, read_once(m, vm + VM.vcpus + i), bits)
    return 0


@kernel
def flush_remote_tlbs(m, vm):
    """Every translation cached before this call is gone, or will be before its vCPU enters guest mode again, on return."""
    seen = load_acquire(m, vm + VM.tlbs_dirty)  # a zap that comes later may leave what escapes this flush: it is not counted clean
    if read_once(m, vm + VM.design) & FLUSH_SKIPPED:
        return 0
    request_all(m, vm, REQ_FLUSH)
    fetch_add(m, vm + VM.remote_flushes, 1)
    advance_to(m, vm + VM.tlbs_clean, seen)  # two flushes at once: the one that saw more counts
    return 0
