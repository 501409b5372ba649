"""Aging without mmu_lock beside stores, a harvest, and a page that the host moves: clearing A changes nothing else (I-4)."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.invalidate import CONTENT, SAFETY, TRIES, modelled_is_zero, page_holds
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import frames_are_safe
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mem.frames import frame_is_zero
from gnomon.mmu.age import age_page
from gnomon.mmu.invalidate import MOVE, change_frames
from gnomon.mmu.rmap import spte_age
from gnomon.mmu.spte import ACCESSED, PRESENT
from gnomon.mmu.vm_words import VM

SPARE_SLOT = 1
"""Thread slot of the vCPU that nobody runs: the ager's."""


@kernel
def age_by_store(m, at):
    """Mutant of spte_age(): a plain store in the place of the cmpxchg."""
    spte = read_once(m, at)
    if spte & (PRESENT | ACCESSED) != PRESENT | ACCESSED:
        return 0
    write_once(m, at, spte & ~ACCESSED)
    return 1


def machine(mutant: Mutant | None) -> Stage:
    stage = Stage(mutant, vcpus=2, constants=TRIES, replace={frame_is_zero: modelled_is_zero})
    stage.touch(0, 0)
    return stage


def ager(stage: Stage):
    return call(age_page, SPARE_SLOT, stage.vm, stage.word(stage.vm + VM.rmap))


def harvested(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    stage.scenario.thread("ager", ager(stage))
    return stage.finish()


def moved(mutant: Mutant | None) -> Scenario:
    stage = machine(mutant)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1))
    stage.scenario.thread("mover", call(change_frames, stage.vm, stage.slot, 0, 1, MOVE))
    stage.scenario.thread("ager", ager(stage))
    stage.scenario.at_end(CONTENT, page_holds, stage.vm, 0, 1)
    frames_are_safe(stage.scenario)
    return stage.scenario


BREAKS = "clears A by a plain store of what it read before (I-4)"
register(
    Entry(
        "age/harvested",
        "aging beside a store and a harvest undoes neither: no store is lost (I-4)",
        harvested,
        {"plain-store": Mutant(BREAKS, {spte_age: age_by_store}, property="nothing lost")},
    )
)
register(
    Entry(
        "age/moved",
        "aging never brings an spte back that was zapped: the old frame stays untouched (I-4)",
        moved,
        {"plain-store": Mutant(BREAKS, {spte_age: age_by_store}, property=SAFETY)},
    )
)
