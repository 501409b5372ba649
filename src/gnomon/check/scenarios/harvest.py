"""The lockless harvest against guest stores: fast faults and slow faults, I-1, I-2, I-5, I-7, I-8."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_touch
from gnomon.lang import kernel
from gnomon.lang.arith import popcount
from gnomon.lang.atomics import read_once, xchg
from gnomon.mmu.bitmap import add_taken
from gnomon.mmu.dirty import PROTECTED_SHIFT, harvest_word, protect_word
from gnomon.mmu.tlb import TLB_READ
from gnomon.mmu.vm_words import VM


@kernel
def protect_then_take(m, t, vm, w):
    """Mutant of harvest_word(): write-protects first, takes the bits after."""
    changed = protect_word(m, t, vm, w, read_once(m, read_once(m, vm + VM.dirty) + w))
    taken = xchg(m, read_once(m, vm + VM.dirty) + w, 0)
    add_taken(m, vm, w, taken)
    return popcount(taken) + (changed << PROTECTED_SHIFT)


def fast_fault(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant)
    stage.touch(0, 0)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round(), stage.round())
    return stage.finish()


def slow_fault(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, pages=2)
    stage.touch(0, 1)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


def two_vcpus(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, vcpus=2, pages=1)
    stage.touch(0, 0)
    stage.touch(1, 0)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1))
    stage.scenario.thread("vcpu 1", stage.store(1, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


def load_and_store(mutant: Mutant | None) -> Scenario:
    """One vCPU maps a page for a load, without W; the other gives it W by a fast fault as soon as it can be seen."""
    stage = Stage(mutant, vcpus=2, pages=2)
    for n in range(2):
        stage.touch(n, 1)
    stage.log()
    stage.scenario.thread("vcpu 0", call(guest_touch, stage.vcpus[0], 0, TLB_READ))
    stage.scenario.thread("vcpu 1", stage.store(1, 0, 1), stage.store(1, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish()


BITMAP_FIRST = Mutant("sets the dirty bit before the spte is writable (I-7)", design="publish=bitmap-first", property="nothing lost")
SKIP_FLUSH = Mutant("hands the snapshot out without a flush (I-1)", design="flush=skipped", property="nothing lost")
register(
    Entry(
        "harvest/fast-fault",
        "a page written through fast page faults is never lost by a lockless harvest (I-1, I-5, I-7, I-8)",
        fast_fault,
        {
            "bitmap-first": BITMAP_FIRST,
            "drop-dirty": Mutant("a fast fault forgets the dirty bit (I-5)", design="fast-fault=drop-dirty", property="nothing lost"),
            "skip-flush": SKIP_FLUSH,
            "protect-first": Mutant(
                "write-protects before taking the bits (I-1)", {harvest_word: protect_then_take}, property="nothing lost"
            ),
        },
    )
)
register(
    Entry(
        "harvest/slow-fault",
        "a page mapped by a slow fault while the harvester runs without mmu_lock is never lost (I-7)",
        slow_fault,
        {"bitmap-first": BITMAP_FIRST, "skip-flush": SKIP_FLUSH},
    )
)
register(
    Entry(
        "harvest/two-vcpus",
        "two vCPUs writing one page against a harvester lose nothing",
        two_vcpus,
        {"bitmap-first": BITMAP_FIRST},
    )
)
register(
    Entry(
        "harvest/load-and-store",
        "a page mapped for one vCPU's load and made writable by another's fast fault meanwhile is never lost",
        load_and_store,
        {
            "spte-first": Mutant(
                "makes the spte visible before its rmap entry, as Linux does", design="publish=spte-first", property="nothing lost"
            ),
        },
    )
)
