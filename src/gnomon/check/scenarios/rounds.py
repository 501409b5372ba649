"""Rounds of pre-copy that are special: the last one, with every vCPU stopped (I-8), and one whose copy fails (I-2)."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, copy_round, guest_store, last_round
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.check.scenarios.zapping import LOST, dirty_page
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release
from gnomon.mmu.dirty import commit, harvest, merge_back
from gnomon.mmu.vcpu import REQ_PAUSE, VCPU, make_request, wait_for_exit
from gnomon.mmu.vm_words import VM

PARKED_AT = DATA_AT + 48


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
