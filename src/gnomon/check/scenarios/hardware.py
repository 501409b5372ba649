"""Hardware that does more than it is asked: a TLB may be filled with whatever the tables allow, at any time in guest mode.

speculate() is that hardware, a choice in the guest's span: do nothing; walk for a load, which sets A; or cache a store's translation, where
W and D are there already (D is exact, so hardware never sets it unasked). It uses the shipped leaf_of() and tlb_fill(); nobody counts it.
"""

from __future__ import annotations

from gnomon.check.oracle import choose
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.check.scenarios.reuse import map_page, zap_table
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.check.scenarios.zapping import holds
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, write_once
from gnomon.mmu.release import release_page
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.spte import ACCESSED, DIRTY, PFN_MASK, PRESENT, WRITABLE
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_fill, tlb_flush_all
from gnomon.mmu.vcpu import REQ_FLUSH, REQ_ROOTS, VCPU, flush_remote_tlbs, guest_enter, guest_exit, make_request, request_all, wait_for_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import WALK_FAULT, hardware_walk, is_allowed, leaf_of, regime_slot
from gnomon.mmu.zap import prepare_zap
from gnomon.sync.spinlock import spin_lock, spin_unlock

COUNTED_AT = DATA_AT + 96


@kernel
def speculate(m, v, va):
    """What hardware may do unasked about the page of `va`."""
    regime = read_once(m, v + VCPU.data_regime)
    wish = choose(3)
    if wish == 1:
        hardware_walk(m, v, va, TLB_READ, regime)
    elif wish == 2:
        root = read_once(m, v + VCPU.root + regime_slot(regime))
        at = 0
        if root:
            at = leaf_of(m, root, va, TLB_WRITE)
        if at:
            spte = load_acquire(m, at)
            wanted = PRESENT | WRITABLE | ACCESSED | DIRTY
            if spte & wanted == wanted:
                tlb_fill(m, v, va, TLB_WRITE, regime, spte & PFN_MASK)
    return 0


@kernel
def idle_span(m, v, va):
    """A span of guest mode in which the guest asks nothing about the page."""
    guest_enter(m, v)
    speculate(m, v, va)
    guest_exit(m, v)
    return 0


@kernel
def quiet_span(m, v, va):
    """The same span on hardware that does only what it is asked."""
    guest_enter(m, v)
    guest_exit(m, v)
    return 0


@kernel
def forget(m, v):
    """For set-up: an empty TLB."""
    return tlb_flush_all(m, v)


@kernel
def flush_walkers(m, vm):
    """Mutant of flush_remote_tlbs(): asks only the vCPUs that walked since they were last asked."""
    for i in range(read_once(m, vm + VM.harts)):
        v = read_once(m, vm + VM.vcpus + i)
        walks = read_once(m, v + VCPU.walks)
        if walks != read_once(m, COUNTED_AT + i):
            write_once(m, COUNTED_AT + i, walks)
            make_request(m, v, REQ_FLUSH)
            wait_for_exit(m, v, REQ_FLUSH)
    return 0


@kernel
def walk_by_store(m, v, va, access, regime):
    """Mutant of hardware_walk(): sets A and D by a plain store of what it read."""
    root = read_once(m, v + VCPU.root + regime_slot(regime))
    if root == 0:
        return WALK_FAULT
    at = leaf_of(m, root, va, access)
    if at == 0:
        return WALK_FAULT
    wanted = ACCESSED
    if access == TLB_WRITE:
        wanted = ACCESSED | DIRTY
    spte = load_acquire(m, at)
    if spte & PRESENT == 0 or is_allowed(spte, access, regime) == 0:
        return WALK_FAULT
    if spte & wanted != wanted:
        write_once(m, at, spte | wanted)
    tlb_fill(m, v, va, access, regime, spte & PFN_MASK)
    return 0


@kernel
def zap_after_flush(m, vm, t, sp):
    """Unlink and free with no flush in between."""
    zapped = prepare_zap(m, vm, t, sp, 0)
    while zapped:
        following = read_once(m, zapped + SP.zap_next)
        release_page(m, vm, t, zapped)
        zapped = following
    return 0


@kernel
def zap_flushing_first(m, v, sp):
    """Mutant of the recycler: flushes, then unlinks and frees."""
    vm = read_once(m, v + VCPU.vm)
    spin_lock(m, vm + VM.mmu_lock)
    request_all(m, vm, REQ_FLUSH)
    zap_after_flush(m, vm, read_once(m, v + VCPU.thread), sp)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def zap_unlocked(m, v, sp):
    """Mutant of the recycler: the same without mmu_lock."""
    vm = read_once(m, v + VCPU.vm)
    request_all(m, vm, REQ_FLUSH | REQ_ROOTS)
    return zap_after_flush(m, vm, read_once(m, v + VCPU.thread), sp)


def harvested(speculation: bool):
    def build(mutant: Mutant | None) -> Scenario:
        """Page 0 is dirty and writable; the guest touches nothing until a round is over, then stores."""
        stage = Stage(mutant)
        s, v = stage.scenario, stage.vcpus[0]
        stage.touch(0, 0)
        stage.log()
        s.run(guest_store, v, 0, 1)
        s.run(forget, v)
        s.store(COUNTED_AT, stage.word(v + VCPU.walks))
        del s.significant[v + VCPU.walks]  # a mutant looks at it
        s.thread("vcpu 0", call(idle_span if speculation else quiet_span, v, 0), stage.store(0, 0, 2))
        s.thread("harvester", stage.round())
        s.label(COUNTED_AT, "walks counted")
        return stage.finish()

    return build


def marked(mutant: Mutant | None) -> Scenario:
    """The walker sets A and D of an spte that is being write-protected."""
    stage = Stage(mutant, vcpus=2)
    stage.touch(0, 0)
    stage.log()
    stage.scenario.run(guest_store, stage.vcpus[0], 0, 1)
    table = stage.table_of(0)
    stage.scenario.store(table, stage.word(table) & ~(ACCESSED | DIRTY))
    stage.scenario.run(forget, stage.vcpus[0])
    stage.scenario.thread("vcpu 0", call(idle_span, stage.vcpus[0], 0), stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


def recycled(mutant: Mutant | None) -> Scenario:
    """The table of page 0 becomes that of page 2 while vCPU 0 touches neither; then vCPU 0 stores to page 0."""
    stage = Stage(mutant, vcpus=2, pages=4)
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 0)
    stage.log()
    s.run(guest_store, v, 0, 1)
    s.run(forget, v)
    s.thread("vcpu 0", call(idle_span, v, 0), stage.store(0, 0, 2))
    s.thread("recycler", call(zap_table, stage.vcpus[1], stage.owner_of_table(0)), call(map_page, stage.vcpus[1], 2 << 12))
    s.at_end("a store goes to the page it was meant for", holds, stage.vm, 0, 2)
    return stage.finish()


MEANT = "a store goes to the page it was meant for"
WALKERS = "asks only the vCPUs that walked since they were last asked"
register(
    Entry(
        "hardware/harvest",
        "a TLB filled unasked during a round loses nothing (I-1, T2, T3)",
        harvested(True),
        {
            "skip-flush": Mutant("no flush", design="flush=skipped", property="nothing lost"),
            "flush-walkers": Mutant(WALKERS, {flush_remote_tlbs: flush_walkers}, property="nothing lost"),
        },
    )
)
register(
    Entry(
        "hardware/asked-only",
        "the same guest on hardware that fills its TLB only when asked: what such a model does not see",
        harvested(False),
        {"flush-walkers": Mutant(f"{WALKERS}: not caught here", {flush_remote_tlbs: flush_walkers}, models=())},
        models=("sc",),
    )
)
register(
    Entry(
        "hardware/accessed-dirty",
        "the walker sets A and D by itself, and never brings back a W that was taken meanwhile (I-4)",
        marked,
        {"plain-store": Mutant("sets A and D by a plain store (I-4)", {hardware_walk: walk_by_store}, property="nothing lost")},
    )
)
register(
    Entry(
        "hardware/zap",
        "a TLB filled unasked does not outlive the table it was filled from (I-9)",
        recycled,
        {
            "flush-first": Mutant("flushes, then unlinks", {zap_table: zap_flushing_first}, property=MEANT),
            "unlocked": Mutant("unlinks without mmu_lock", {zap_table: zap_unlocked}),
            "free-at-once": Mutant("freed before the flush", design="zap=free-at-once"),
        },
    )
)
