"""C13: "verify that it is the shadow you want" before the cmpxchg, and the exact condition under which that is not enough.

The guard reads the spte, asks who owns its table, and exchanges. Between question and exchange the table may become another's, so
all depends on the value: the exchange hits a middle spte only if that is bit for bit the leaf that was read. Two things must come
together for that, and each alone is harmless:

    same bits    middle sptes have every bit of a writable leaf, which is what guard=recheck makes of them; encoding=levels does not
    same frame   the guest page's frame was taken back and has become the table that the middle spte points to
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, designed, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.check.scenarios.reuse import LEVELS, map_page, zap_table
from gnomon.lang import PAGE_SHIFT, kernel
from gnomon.lang.atomics import fetch_or, read_once, write_once
from gnomon.mem.frames import frame_free
from gnomon.mmu.dirty import harvest
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.tlb import TLB_READ
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM

TARGET = 4
"""The page whose middle table takes the memory of the table under the protector."""


@kernel
def take_back(m, v, index):
    """The host takes the frame of a page that nothing maps."""
    vm = read_once(m, v + VCPU.vm)
    at = read_once(m, vm + VM.backing) + index
    pfn = read_once(m, at)
    write_once(m, at, 0)
    frame_free(m, pfn)
    return 0


@kernel
def fault_fast(m, vm, at):
    """For set-up: what a fast page fault leaves behind before the store is tried again: W and the dirty bit."""
    fetch_or(m, at, WRITABLE)
    fetch_or(m, read_once(m, vm + VM.dirty), 1)
    return 0


def machine(mutant: Mutant | None, same_frame: bool) -> Scenario:
    stage = Stage(designed(mutant, "guard=recheck"), pages=8, constants={**LEVELS, "gnomon.mem.slab.MAGAZINE_HALF": 1})
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 0, TLB_READ)
    s.store(stage.vm + VM.logging, 1)
    table, owner = stage.table_of(0), stage.owner_of_table(0)
    s.run(fault_fast, stage.vm, table)
    s.label(table, "table A", words=2)
    calls = [call(zap_table, v, owner)]
    if same_frame:
        calls.append(call(take_back, v, 0))
    s.thread("recycler", *calls, call(map_page, v, TARGET << PAGE_SHIFT), call(guest_store, v, TARGET << PAGE_SHIFT, 2))
    s.thread("harvester", call(harvest, stage.slot, stage.vm))
    return s


def same_value(mutant: Mutant | None) -> Scenario:
    return machine(mutant, True)


def same_bits(mutant: Mutant | None) -> Scenario:
    return machine(mutant, False)


def same_frame(mutant: Mutant | None) -> Scenario:
    return machine(designed(mutant, "encoding=levels"), True)


register(
    Entry(
        "recheck/same-value",
        "C13: bits and frame the same: the recheck passes and a middle spte loses W for ever",
        same_value,
        witness=True,
    )
)
register(Entry("recheck/same-bits", "C13: the same bits alone do no harm: the frames differ", same_bits))
register(Entry("recheck/same-frame", "C13: the same frame alone does no harm: LEVEL and MMU_W differ", same_frame))
