"""Two vCPUs, a protector and a recycler at once: what the whole design is for.

Two vCPUs store to one page that both have mapped, a recycler zaps the table that they share, a harvester takes the page, copies it
and commits; the last round follows with every vCPU stopped. The request handshake is its specification (refine/handshake); the rest
is as shipped: fast and slow faults, the walker, zap, rmap, harvest, RCU, slab, locks.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.reuse import zap_table


def everybody(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, vcpus=3, pages=2, handshake=True)
    for n in range(2):
        stage.touch(n, 0)
    stage.log()
    s = stage.scenario
    s.thread("vcpu 0", stage.store(0, 0, 1))
    s.thread("vcpu 1", stage.store(1, 0, 2))
    s.thread("recycler", call(zap_table, stage.vcpus[2], stage.owner_of_table(0)))
    s.thread("harvester", stage.round())
    return stage.finish()


register(
    Entry(
        "central/two-vcpus",
        "two vCPUs, a protector and a recycler at once: nothing lost, nothing used after free, everybody gets to the end",
        everybody,
        {
            "bitmap-first": Mutant("dirty bit before the spte is writable (I-7)", design="publish=bitmap-first", property="nothing lost"),
            "drop-dirty": Mutant("a fast fault forgets the dirty bit (I-5)", design="fast-fault=drop-dirty", property="nothing lost"),
            "skip-flush": Mutant("hands the snapshot out without a flush (I-1)", design="flush=skipped", property="nothing lost"),
        },
        slow=True,
    )
)
