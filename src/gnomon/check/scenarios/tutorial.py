"""The tutorial's Treiber stack: naive (ABA) and with counted pointers."""

from __future__ import annotations

from gnomon.check.programs.treiber import treiber
from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.entry import Entry, Mutant, register

TAGS, NODES = "gnomon.check.programs.treiber.TAGS", "gnomon.check.programs.treiber.NODES"


def stack(mutant: Mutant | None) -> Scenario:
    chosen = mutant.constants if mutant else {}
    return treiber(2, tags=chosen.get(TAGS, 64), nodes=chosen.get(NODES, 3))


register(
    Entry(
        "tutorial/treiber",
        "a Treiber stack on a type-stable pool with counted pointers hands every node to one thread",
        stack,
        {"naive": Mutant("no tags: ABA", constants={TAGS: 1}, property="expectation")},
    )
)
