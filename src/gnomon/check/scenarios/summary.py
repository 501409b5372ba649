"""The summary of the dirty bitmap (bitmap.py) against faults that set bits under it: B1.

Machines as small as the checker's have none; here the one word has one, of one line. The last round is a harvest, which comes only to
lines that the summary names: a bit that no harvest would take is a page that does not arrive.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, arrived, copy_taken
from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_or, read_once, write_once
from gnomon.mmu.bitmap import set_dirty, take_lines
from gnomon.mmu.dirty import PAGES_MASK, harvest, harvest_line, protect_dirty
from gnomon.mmu.vm_words import VM

EVERY_BITMAP = {"gnomon.mmu.bitmap.PLAIN_WORDS": 0}


@kernel
def last_harvest(m, t, vm):
    """last_round(), by a harvest of its own."""
    harvest(m, t, vm)
    copy_taken(m, vm, read_once(m, read_once(m, vm + VM.snapshot)))
    return arrived(m, vm)


@kernel
def set_line_first(m, vm, w, bits):
    """Mutant of set_dirty(): the line's bit, then the page's."""
    lines = read_once(m, vm + VM.dirty_lines)
    if read_once(m, lines) & 1 == 0:
        fetch_or(m, lines, 1)
    return fetch_or(m, read_once(m, vm + VM.dirty) + w, bits)


@kernel
def set_without_barrier(m, vm, w, bits):
    """Mutant of set_dirty(): a plain store of the page's bit. With one vCPU nobody else sets any."""
    at = read_once(m, vm + VM.dirty) + w
    write_once(m, at, read_once(m, at) | bits)
    lines = read_once(m, vm + VM.dirty_lines)
    if read_once(m, lines) & 1 == 0:
        fetch_or(m, lines, 1)
    return 0


@kernel
def look_then_take(m, t, vm):
    """Mutant of protect_dirty(): takes the line's bit after it looked at the line."""
    found = 0
    if read_once(m, read_once(m, vm + VM.dirty_lines)):
        found = harvest_line(m, t, vm, 0)
        take_lines(m, vm, 0)
    return found & PAGES_MASK


def summary(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, pages=2, constants=EVERY_BITMAP)
    stage.touch(0, 1)
    stage.touch(0, 0)
    stage.log()
    for name in ("dirty_lines", "snapshot_lines"):
        stage.scenario.label(stage.word(stage.vm + getattr(VM, name)), name)
    stage.scenario.thread("vcpu 0", stage.store(0, 1, 1), stage.store(0, 0, 2))
    stage.scenario.thread("harvester", stage.round())
    return stage.finish(last_harvest, stage.slot, stage.vm)


register(
    Entry(
        "harvest/summary",
        "a harvest that looks only where the summary of the bitmap says so finds every page whose fault is over",
        summary,
        {
            "line-first": Mutant("sets the line's bit before the page's", {set_dirty: set_line_first}, property="nothing lost"),
            "take-late": Mutant("looks at the line, then takes the line's bit", {protect_dirty: look_then_take}, property="nothing lost"),
            "no-barrier": Mutant(
                "no barrier between the page's bit and the look at the line's",
                {set_dirty: set_without_barrier},
                models=("tso",),
                property="nothing lost",
            ),
        },
    )
)
