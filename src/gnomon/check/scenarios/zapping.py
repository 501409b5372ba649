"""Zaps under a round, a walk and a vCPU with cached roots: I-2, I-9, I-18, I-20.

Each scenario is the smallest in which the rule can be broken; the mutant breaks just that rule.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store, page_word
from gnomon.check.scenarios.reuse import map_page, zap_table
from gnomon.check.scenarios.slab import give_page_up
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, read_once, xchg
from gnomon.mmu.bitmap import dirty_words
from gnomon.mmu.dirty import PAGES_MASK, PROTECTED_SHIFT, harvest, harvest_word
from gnomon.mmu.release import release_page
from gnomon.mmu.rmap import rmap_remove
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.slot import index_of_frame
from gnomon.mmu.spte import PFN_MASK
from gnomon.mmu.vcpu import REQ_FLUSH, VCPU, flush_remote_tlbs, request_all
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import commit_zap, flush_if_stale, zap_all, zap_spte
from gnomon.sync.spinlock import spin_lock, spin_unlock


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
def holds(m, vm, index, value):
    """1 if page `index` holds `value`: a store went to where the guest meant it."""
    return int(page_word(m, vm, index) == value)


@kernel
def rmap_first(m, vm, t, at):
    """Mutant of zap_spte(): out of the rmap, and only then non-present."""
    spte = read_once(m, at)
    fetch_add(m, vm + VM.tlbs_dirty, 1)
    rmap_remove(m, t, read_once(m, vm + VM.rmap) + index_of_frame(m, (spte & PFN_MASK) >> 12), at)
    return xchg(m, at, 0)


@kernel
def flush_if_protected(m, t, vm):
    """Mutant of harvest(): flushes only if an spte lost W, though bits were taken."""
    if cmpxchg(m, vm + VM.harvester, 0, 1) != 0:
        return -1
    found = 0
    for w in range(dirty_words(m, vm)):
        found += harvest_word(m, t, vm, w)
    if found >> PROTECTED_SHIFT:
        flush_remote_tlbs(m, vm)
    return found & PAGES_MASK


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


LOST = "nothing lost"
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
