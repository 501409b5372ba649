"""A to B: the table under the protector is freed and reused at once as another table. C8 … C12, and what guards against it.

The machine has three levels of two entries. Page 0 is mapped by the leaf table A. A recycler zaps A and maps another page, one of
whose tables takes A's memory, the very word that the harvester is about to write-protect included. The guards are the shipped
kernels' (rmap.py, guard_lets), chosen by the design.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, designed, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.lang import PAGE_SHIFT, kernel
from gnomon.lang.atomics import fetch_or, read_once, write_once
from gnomon.mmu.dirty import commit, harvest
from gnomon.mmu.release import do_batch
from gnomon.mmu.rmap import spte_exchange
from gnomon.mmu.slow_fault import direct_fault
from gnomon.mmu.spte import PRESENT, WRITABLE
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import commit_zap, prepare_zap
from gnomon.sync.spinlock import spin_lock, spin_unlock

LEVELS = {"gnomon.mmu.shadow_page.ROOT_LEVEL": 3}


@kernel
def zap_table(m, v, sp):
    """The recycler: zap shadow page `sp`, as make_pages_available() does with the oldest."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    spin_lock(m, vm + VM.mmu_lock)
    commit_zap(m, vm, t, prepare_zap(m, vm, t, sp, 0))
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def map_page(m, v, gpa):
    """A slow fault of page `gpa`, for a load: its tables are made from what was just freed."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    spin_lock(m, vm + VM.mmu_lock)
    direct_fault(m, vm, v, t, gpa, TLB_WRITE)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def fault_elsewhere(m, vm):
    """For set-up: page 0 is logged as dirty once more, so that a protector comes to look at its spte, W or not."""
    fetch_or(m, read_once(m, vm + VM.dirty), 1)
    return 0


@kernel
def exchange_by_store(m, at, spte, new):
    """Mutant of spte_exchange(): a plain store in the place of the cmpxchg."""
    write_once(m, at, new)
    return 1


@kernel
def only_what_was_meant(m, vm, at, index):
    """0 if the spte at `at`, of page `index`, lost W though nobody took that page's dirty bit: the protector meant another page."""
    spte = read_once(m, at)
    unasked = read_once(m, read_once(m, vm + VM.dirty)) & (1 << index)
    return int(spte & PRESENT == 0 or spte & WRITABLE != 0 or unasked == 0)


def machine(mutant: Mutant | None) -> tuple[Stage, int, int]:
    """Page 0 dirty and mapped by table A. Returns the stage, A and its shadow page."""
    stage = Stage(mutant, pages=8, constants=LEVELS)
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 0, TLB_WRITE)
    stage.log()
    s.run(guest_store, v, 0, 1)
    table = stage.table_of(0)
    s.label(table, "table A", words=2)
    return stage, table, stage.owner_of_table(0)


def reuse(mutant: Mutant | None, target: int) -> Scenario:
    """The recycler reuses A for the path to page `target`, and stores there; the harvester protects page 0."""
    stage, _, owner = machine(mutant)
    v = stage.vcpus[0]
    recycle = [call(zap_table, v, owner), call(map_page, v, target << PAGE_SHIFT), call(guest_store, v, target << PAGE_SHIFT, 2)]
    stage.scenario.thread("recycler", *recycle)
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


def middle_reuse(mutant: Mutant | None) -> Scenario:
    return reuse(mutant, 4)


def leaf_reuse(mutant: Mutant | None) -> Scenario:
    return reuse(designed(mutant, "guard=none"), 2)


def fixup(mutant: Mutant | None) -> Scenario:
    return reuse(designed(mutant, "guard=fixup"), 4)


def one_bit_guard(mutant: Mutant | None) -> Scenario:
    return reuse(designed(mutant, "guard=mmu-writable"), 4)


def wrong_page(mutant: Mutant | None) -> Scenario:
    stage, table, owner = machine(mutant)
    v = stage.vcpus[0]
    stage.scenario.thread("recycler", call(zap_table, v, owner), call(map_page, v, 2 << PAGE_SHIFT))
    stage.scenario.thread("harvester", stage.round())
    stage.scenario.at_end("a successful cmpxchg protects the page that was meant", only_what_was_meant, stage.vm, table, 2)
    return stage.finish()


def freed_table(mutant: Mutant | None) -> Scenario:
    """A vCPU in a fast fault and a protector outside any vCPU, both in table A, which a recycler frees; callbacks that are ready run."""
    stage = Stage(mutant, vcpus=2, pages=2, handshake=True)
    stage.touch(0, 0)
    stage.log()
    s, v = stage.scenario, stage.vcpus[0]
    s.run(guest_store, v, 0, 1)
    s.run(harvest, stage.slot, stage.vm)
    s.run(commit, stage.vm)
    s.run(fault_elsewhere, stage.vm)
    owner = stage.owner_of_table(0)
    s.thread("vcpu", stage.store(0, 0, 2))
    s.thread("recycler", call(zap_table, stage.vcpus[1], owner), call(do_batch, 1))
    s.thread("harvester", stage.round())
    return stage.finish()


register(Entry("reuse/wrong-page", "C8: the cmpxchg of the protector succeeds on a page that reused the table", wrong_page, witness=True))
register(Entry("reuse/leaf", "C9: without any guard, write-protecting another last-level spte is repaired by the next fault", leaf_reuse))
register(
    Entry(
        "reuse/middle-level-guard",
        "C11: with the level in the spte, a reused middle spte never loses W",
        middle_reuse,
        {
            "none": Mutant(
                "C10: no guard: the guest faults for ever on a write-protected middle spte",
                design="guard=none",
                property="progress",
            ),
            "plain-store": Mutant("a plain store brings back what was zapped meanwhile (I-4)", {spte_exchange: exchange_by_store}),
        },
    )
)
register(Entry("reuse/middle-fixup", "C12: without a guard, a fault path that repairs middle sptes lets the guest go on", fixup))
register(Entry("reuse/middle-mmu-writable", "today's one-bit guard (MMU_W set, PS clear) keeps middle sptes writable too", one_bit_guard))
register(
    Entry(
        "reuse/freed-table",
        "nobody looks into a table's memory after it went back to the pool: fast fault and protector against a recycler (I-9, S-2)",
        freed_table,
        {
            "immediate": Mutant("frees the frame after the flush", design="reclaim=immediate", property="use after free"),
            "mode-wait": Mutant("waits for vCPUs, and the protector is none (I-9)", design="reclaim=mode-wait", property="use after free"),
        },
    )
)
