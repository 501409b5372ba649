"""The tutorial's Treiber stack: naive (ABA) and with counted pointers."""

from __future__ import annotations

from gnomon.check.programs.treiber import treiber
from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.entry import Entry, Mutant, register

TAGS = "gnomon.check.programs.treiber.TAGS"


def stack(mutant: Mutant | None) -> Scenario:
    return treiber(2, tags=mutant.constants.get(TAGS, 64) if mutant else 64)


register(
    Entry(
        "tutorial/treiber",
        "a Treiber stack on a type-stable pool with counted pointers hands every node to one thread",
        stack,
        {"naive": Mutant("no tags: ABA", constants={TAGS: 1}, property="expectation")},
    )
)
