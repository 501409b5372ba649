"""Ordering rules of their own: I-3, I-6, I-9, I-12, I-15, I-16, I-18, I-20, and the half of I-2 that a failed copy needs.

Each scenario is the smallest in which the rule can be broken; the mutant breaks just that rule.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, copy_round, guest_store, last_round, page_word
from gnomon.check.scenarios.reuse import map_page, zap_table
from gnomon.check.scenarios.slab import give_page_up
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, load_acquire, read_once, store_release, write_once, xchg
from gnomon.lang.guest_memory import store64
from gnomon.mem.pool import (
    FRAME_GUEST,
    PAGE_WORDS_SHIFT,
    frame_owner,
    frame_set_word,
    frame_word,
)
from gnomon.mmu.dirty import commit, dirty_words, harvest, harvest_word, merge_back
from gnomon.mmu.fast_fault import FAST_FIXED, FAST_NOT, FAST_SPURIOUS, fast_page_fault
from gnomon.mmu.guest_walk import track_page
from gnomon.mmu.host_access import host_store_begin, host_store_end
from gnomon.mmu.invalidate import TAKE_ANY, change_frames
from gnomon.mmu.release import release_page
from gnomon.mmu.rmap import PROTECT_TABLE, rmap_remove, spte_protect
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.slot import INDEX_BITS, back_page, backing, index_of_frame, mark_dirty, slot_index
from gnomon.mmu.slow_fault import direct_fault
from gnomon.mmu.spte import PFN_MASK, PRESENT, WRITABLE, is_fast_writable
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end, zap_entries
from gnomon.mmu.translate import XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import (
    REQ_FLUSH,
    REQ_PAUSE,
    REQ_ROOTS,
    VCPU,
    flush_remote_tlbs,
    guest_enter,
    guest_exit,
    make_request,
    request_all,
    wait_for_exit,
)
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import is_allowed, leaf_of, regime_slot
from gnomon.mmu.zap import commit_zap, flush_if_stale, zap_all, zap_spte
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock
from gnomon.sync.spinlock import spin_lock, spin_unlock

PARKED_AT = DATA_AT + 48
SHADOW_AT = DATA_AT + 64
"""What a shadow of page 0, taken as a guest table, is made from."""


@kernel
def zap_page(m, v, at, flush):
    """Zap the leaf spte at `at`; without `flush` as a tracked store does, which leaves the flush to the guest's SFENCE.VMA."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    zap_spte(m, vm, read_once(m, v + VCPU.thread), at)
    if flush:
        flush_if_stale(m, vm, flush)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def zap_everything(m, v):
    """Zap the direct root and all below it, as vm_clear() does, and give the tables' pages up."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    spin_lock(m, vm + VM.mmu_lock)
    zap_all(m, vm, t)
    spin_unlock(m, vm + VM.mmu_lock)
    return give_page_up(m, t)


@kernel
def take_back(m, v, sp, index):
    """The recycler zaps the table `sp`, then the host takes the frame of page `index`."""
    vm = read_once(m, v + VCPU.vm)
    zap_table(m, v, sp)
    return change_frames(m, vm, read_once(m, v + VCPU.thread), index, index + 1, TAKE_ANY)


@kernel
def map_to_read(m, v, gpa):
    """A slow fault of page `gpa` for a load: mapped, and while dirty pages are logged without W."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    direct_fault(m, vm, v, read_once(m, v + VCPU.thread), gpa, TLB_READ)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def table_store(m, v, gpa, value):
    """A store of the guest to a page that may be tracked by now."""
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    while True:
        host = tlb_host(m, v, gpa, TLB_WRITE, regime)
        if host >= 0:
            store64(m, host, value)
            break
        if mmu_translate(m, v, gpa, TLB_WRITE) == XL_TRACKED:
            at = tracked_begin(m, v)
            store64(m, at, value)
            tracked_end(m, v, at, 8)
            break
    guest_exit(m, v)
    return 0


@kernel
def host_store(m, vm, t, value):
    """A device stores to page 0."""
    store64(m, host_store_begin(m, vm, t, 0), value)
    host_store_end(m, vm, t, 0, 8)
    return 0


@kernel
def shadow_table(m, v):
    """Begin to shadow page 0: track it, then read its entry, as guest_walk.py does."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    track_page(m, vm, read_once(m, v + VCPU.thread), 0)
    write_once(m, SHADOW_AT, page_word(m, vm, 0))
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def reread_entry(m, vm, t, index, offset, size):
    """In the place of zap_entries(): the shadow is made anew from what the entry is now."""
    return write_once(m, SHADOW_AT, page_word(m, vm, index))


@kernel
def shadow_is_true(m, vm):
    """1 if the shadow is made from what the guest's table holds."""
    return int(read_once(m, SHADOW_AT) == page_word(m, vm, 0))


@kernel
def holds(m, vm, index, value):
    """1 if page `index` holds `value`: a store went to where the guest meant it."""
    return int(page_word(m, vm, index) == value)


@kernel
def look_at_backing(m, vm):
    """Somebody without mmu_lock looks at page 0: its frame is a guest frame of that page and holds what the guest wrote, or zero."""
    pfn = backing(m, vm, 0)
    if pfn:
        expect(frame_word(m, pfn) == frame_owner(FRAME_GUEST, ((vm >> PAGE_WORDS_SHIFT) << INDEX_BITS) | 0))
        seen = read_once(m, pfn << PAGE_WORDS_SHIFT)
        expect(seen == 0 or seen == 1)
    return 0


@kernel
def failed_round(m, t, vm):
    """A round whose copy failed."""
    if harvest(m, t, vm) >= 0:
        merge_back(m, vm)
    return 0


@kernel
def store_and_park(m, v, n, gpa, value):
    """A vCPU that stores unless it is asked to pause, and parks: its fault path is over too."""
    if read_once(m, v + VCPU.requests) & REQ_PAUSE == 0:
        guest_store(m, v, gpa, value)
    return store_release(m, PARKED_AT + n, 1)


@kernel
def wait_parked(m, v, n):
    """Wait until the vCPU has parked."""
    while load_acquire(m, PARKED_AT + n) == 0:
        pass
    return 0


@kernel
def wait_outside(m, v, n):
    """Mutant of wait_parked(): waits until the vCPU is out of guest mode; it may be in the middle of a fault."""
    return wait_for_exit(m, v, REQ_PAUSE)


@kernel
def stop_and_copy(m, t, vm):
    """Stop every vCPU, then the last round: the destination equals the source."""
    harts = read_once(m, vm + VM.harts)
    for n in range(harts):
        make_request(m, read_once(m, vm + VM.vcpus + n), REQ_PAUSE)
    for n in range(harts):
        wait_parked(m, read_once(m, vm + VM.vcpus + n), n)
    copy_round(m, t, vm)
    expect(last_round(m, vm))
    return 0


@kernel
def rmap_first(m, vm, t, at):
    """Mutant of zap_spte(): out of the rmap, and only then non-present."""
    spte = read_once(m, at)
    fetch_add(m, vm + VM.tlbs_dirty, 1)
    rmap_remove(m, t, read_once(m, vm + VM.rmap) + index_of_frame(m, (spte & PFN_MASK) >> 12), at)
    return xchg(m, at, 0)


@kernel
def publish_early(m, vm, index, pfn):
    """Mutant of back_page(): the backing word before the frame word."""
    store_release(m, read_once(m, vm + VM.backing) + index, pfn)
    frame_set_word(m, pfn, frame_owner(FRAME_GUEST, ((vm >> PAGE_WORDS_SHIFT) << INDEX_BITS) | index))
    return pfn


@kernel
def begin_unlocked(m, vm, t, gpa):
    """Mutant of host_store_begin(): no mmu_lock."""
    return backing(m, vm, slot_index(m, vm, gpa)) << 12


@kernel
def end_unlocked(m, vm, t, gpa, size):
    """Mutant of host_store_end(): no mmu_lock, and no barrier between the store and the look at `tracked`."""
    index = slot_index(m, vm, gpa)
    if read_once(m, read_once(m, vm + VM.tracked) + index):
        spin_lock(m, vm + VM.mmu_lock)
        zap_entries(m, vm, t, index, gpa & 4095, size)
        spin_unlock(m, vm + VM.mmu_lock)
    return mark_dirty(m, vm, 0, index)


@kernel
def track_by_w(m, vm, t, index):
    """Mutant of track_page(): protects, and flushes only if an spte had W."""
    fetch_add(m, read_once(m, vm + VM.tracked) + index, 1)
    value = read_once(m, read_once(m, vm + VM.rmap) + index)
    had = 0
    if value:
        had = read_once(m, value >> 1) & WRITABLE
        spte_protect(m, vm, read_once(m, vm + VM.rmap) + index, value >> 1, PROTECT_TABLE, 0)
    if had:
        flush_remote_tlbs(m, vm)
    return 0


@kernel
def flush_if_protected(m, t, vm):
    """Mutant of harvest(): flushes only if an spte lost W, though bits were taken."""
    if cmpxchg(m, vm + VM.harvester, 0, 1) != 0:
        return -1
    before = read_once(m, vm + VM.protected)
    count = 0
    for w in range(dirty_words(m, vm)):
        if harvest_word(m, t, vm, w):
            count += 1
    if read_once(m, vm + VM.protected) != before:
        flush_remote_tlbs(m, vm)
    return count


@kernel
def commit_keeping_roots(m, vm, t, zapped):
    """Mutant of commit_zap(): the vCPUs flush, and keep their roots."""
    if zapped == 0:
        return 0
    request_all(m, vm, REQ_FLUSH)
    sp = zapped
    while sp:
        following = read_once(m, sp + SP.zap_next)
        release_page(m, vm, t, sp)
        sp = following
    return 0


@kernel
def fault_by_address(m, v, va, access, regime):
    """Mutant of fast_page_fault(): the page that becomes dirty is the one that the guest asked for, not the one behind the spte."""
    if access != TLB_WRITE:
        return FAST_NOT
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    result = FAST_NOT
    rcu_read_lock(m, t)
    root = read_once(m, v + VCPU.root + regime_slot(regime))
    if root and load_acquire(m, v + VCPU.requests) & REQ_ROOTS == 0:
        at = leaf_of(m, root, va, access)
        if at:
            spte = load_acquire(m, at)
            if spte & PRESENT and is_allowed(spte, access, regime):
                result = FAST_SPURIOUS
            elif is_fast_writable(spte) and cmpxchg(m, at, spte, spte | WRITABLE) == spte:
                mark_dirty(m, vm, v, slot_index(m, vm, va))
                result = FAST_FIXED
    rcu_read_unlock(m, t)
    return result


def zapper(mutant: Mutant | None) -> Scenario:
    """Page 0 is dirty, writable, cached; its spte goes while a round takes it."""
    stage = dirty_page(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    stage.scenario.thread("zapper", call(zap_page, stage.vcpus[1], stage.table_of(0), 1))
    return stage.finish()


def left_to_the_guest(mutant: Mutant | None) -> Scenario:
    """The spte is gone and its flush was left to the guest, then a round takes the page."""
    stage = dirty_page(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 2))
    stage.scenario.thread("harvester", call(zap_page, stage.vcpus[1], stage.table_of(0), 0), stage.round())
    return stage.finish()


def stopped(mutant: Mutant | None) -> Scenario:
    """Two vCPUs in the middle of things when the last round begins."""
    stage = Stage(mutant, vcpus=2, pages=1)
    for n in range(2):
        stage.touch(n, 0)
    stage.log()
    for n in range(2):
        stage.scenario.thread(f"vcpu {n}", call(store_and_park, stage.vcpus[n], n, 0, n + 1))
    stage.scenario.thread("source", call(stop_and_copy, stage.slot, stage.vm))
    stage.scenario.label(PARKED_AT, "parked", words=2)
    return stage.finish()


def copy_fails(mutant: Mutant | None) -> Scenario:
    stage = dirty_page(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 2))
    stage.scenario.thread("harvester", call(failed_round, stage.slot, stage.vm), stage.round())
    return stage.finish()


def dirty_page(mutant: Mutant | None, vcpus: int = 2, pages: int = 1) -> Stage:
    stage = Stage(mutant, vcpus=vcpus, pages=pages)
    stage.touch(0, 0)
    stage.log()
    stage.scenario.run(guest_store, stage.vcpus[0], 0, 1)
    return stage


def walker(mutant: Mutant | None) -> Scenario:
    """A walk is inside the table of page 0 while that is zapped and becomes the table of page 2."""
    stage = Stage(mutant, vcpus=2, pages=4)
    stage.touch(0, 0)
    stage.log()
    s = stage.scenario
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread("recycler", call(zap_table, stage.vcpus[1], stage.owner_of_table(0)), call(map_page, stage.vcpus[1], 2 << 12))
    s.at_end("a store goes to the page it was meant for", holds, stage.vm, 0, 1)
    return stage.finish()


def roots(mutant: Mutant | None) -> Scenario:
    """A vCPU has a cached root that is zapped and whose frame goes back to the pool."""
    stage = Stage(mutant, vcpus=2, pages=2, constants={"gnomon.lang.fixed.MAX_CACHES": 3})
    stage.touch(0, 0)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1))
    stage.scenario.thread("recycler", call(zap_everything, stage.vcpus[1]))
    return stage.finish()


def moved_frame(mutant: Mutant | None) -> Scenario:
    """The frame of page 0 becomes the frame of page 2, at the same place of the same table, under a fast fault of page 0."""
    stage = Stage(mutant, vcpus=2, pages=4)
    stage.touch(0, 0)
    stage.log()
    s, v = stage.scenario, stage.vcpus[1]
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread(
        "vcpu 1",
        call(take_back, v, stage.owner_of_table(0), 0),
        call(map_to_read, v, 2 << 12),
        call(guest_store, v, 2 << 12, 2),
    )
    return stage.finish()


def guest_table(harvester: bool):
    def build(mutant: Mutant | None) -> Scenario:
        """vCPU 0 stores to a page that vCPU 1 begins to shadow as a page table."""
        stage = Stage(mutant, vcpus=2, replace={zap_entries: reread_entry})
        stage.touch(0, 0)
        stage.log()
        s = stage.scenario
        s.run(guest_store, stage.vcpus[0], 0, 1)
        s.thread("vcpu 0", call(table_store, stage.vcpus[0], 0, 2))
        s.thread("vcpu 1", call(shadow_table, stage.vcpus[1]))
        if harvester:
            s.thread("harvester", stage.round())
        s.label(SHADOW_AT, "shadow")
        s.at_end("the shadow is made from what the guest's table holds", shadow_is_true, stage.vm)
        return stage.finish()

    return build


def device(mutant: Mutant | None) -> Scenario:
    """A device stores to a page that vCPU 1 begins to shadow as a page table."""
    stage = Stage(mutant, vcpus=2, replace={zap_entries: reread_entry})
    stage.touch(0, 0)
    stage.log()
    s = stage.scenario
    s.thread("device", call(host_store, stage.vm, stage.slot, 2))
    s.thread("vcpu 1", call(shadow_table, stage.vcpus[1]))
    s.label(SHADOW_AT, "shadow")
    s.at_end("the shadow is made from what the guest's table holds", shadow_is_true, stage.vm)
    return stage.finish()


def first_touch(mutant: Mutant | None) -> Scenario:
    """Page 0 gets its frame, which was another page's before, while somebody looks."""
    stage = Stage(mutant, vcpus=1, pages=4)
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 2, TLB_WRITE)
    s.run(guest_store, v, 2 << 12, 7)
    s.run(take_back, v, stage.owner_of_table(2), 2)
    stage.log()
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread("reader", call(look_at_backing, stage.vm))
    return stage.finish()


LOST = "nothing lost"
SHADOW = "the shadow is made from what the guest's table holds"
register(
    Entry(
        "harvest/zap",
        "a page whose spte is zapped during a round is not lost: an entry leaves the rmap only when it maps nothing (I-18)",
        zapper,
        {"rmap-first": Mutant("out of the rmap while it is still present (I-18)", {zap_spte: rmap_first}, property=LOST)},
    )
)
register(
    Entry(
        "harvest/lazy-zap",
        "a round flushes whenever it took a bit, also when it met no spte: a TLB may know one that is gone (I-2)",
        left_to_the_guest,
        {"flush-if-protected": Mutant("flushes only if an spte lost W (I-2)", {harvest: flush_if_protected}, property=LOST)},
    )
)
register(
    Entry(
        "harvest/last-round",
        "the last round takes everything, every vCPU having left guest mode and its fault path (I-8, H3)",
        stopped,
        {"not-stopped": Mutant("waits for guest mode to end, not for the fault path (I-8)", {wait_parked: wait_outside})},
    )
)
register(
    Entry(
        "harvest/failed-copy",
        "a round whose copy failed loses nothing: its bits are merged back, and the flush was made (I-2, H2)",
        copy_fails,
        {"forgets": Mutant("a failed copy is committed", {merge_back: commit}, property=LOST)},
    )
)
register(
    Entry(
        "mmu/zap-under-walk",
        "a shadow page is freed only after every walk that may be inside has left (I-9)",
        walker,
        {"free-at-once": Mutant("freed and reused with a walk inside (I-9)", design="zap=free-at-once")},
    )
)
register(
    Entry(
        "mmu/zap-root",
        "a cached root is not used once its page is gone: who frees it asks for new roots first (I-20, F4)",
        roots,
        {
            "keeps-roots": Mutant("the vCPUs are only asked to flush", {commit_zap: commit_keeping_roots}, property="use after free"),
        },
    )
)
register(
    Entry(
        "mmu/moved-frame",
        "a fast fault logs the page behind the spte it changed, whichever that is by now (I-6)",
        moved_frame,
        {"by-address": Mutant("logs the page that the guest asked for (I-6)", {fast_page_fault: fault_by_address}, property=LOST)},
    )
)
register(
    Entry(
        "mmu/track-table",
        "a store to a guest table that is being shadowed is seen by the shadow, or comes after it (I-15)",
        guest_table(False),
        {"untracked": Mutant("the table's page stays writable (I-15)", design="guest-tables=untracked", property=SHADOW)},
    )
)
register(
    Entry(
        "mmu/track-protected",
        "page-table protection flushes though the dirty log cleared W before it: a TLB may still have W (I-3)",
        guest_table(True),
        {"flush-if-w": Mutant("flushes only if the spte had W (I-3)", {track_page: track_by_w}, property=SHADOW)},
    )
)
register(
    Entry(
        "mmu/device-store",
        "a store by a device sees that the page is shadowed, or the shadow sees the store (I-15)",
        device,
        {
            "no-lock": Mutant(
                "neither mmu_lock nor a barrier between the store and the look (I-15)",
                {host_store_begin: begin_unlocked, host_store_end: end_unlocked},
                models=("tso",),
                property=SHADOW,
            )
        },
    )
)
register(
    Entry(
        "mmu/first-touch",
        "a page's frame is visible only when it is zero and says whose it is (I-16)",
        first_touch,
        {"early": Mutant("visible before it says whose it is (I-16)", {back_page: publish_early}, property="expectation")},
    )
)
