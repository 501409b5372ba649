"""soak: one stress after another, of every shape and oracle, until the time is over or one finds something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from gnomon.mmu import designs
from gnomon.study.stress.oracle import ORACLES, trial
from gnomon.study.stress.stage import Stalled

SHAPES: dict[str, dict] = {
    "bare, churn": {"aliases": 0, "nap_ns": 300_000},
    "bare, quiet": {"aliases": 0, "churns": ()},
    "one hot word": {"aliases": 0, "churns": (), "pages": 6},
    "Sv39, few aliases": {"aliases": 3, "nap_ns": 1_000_000},
    "Sv39, long rmaps and recycling": {"aliases": 40, "pages": 64, "n_max": 64, "nap_ns": 2_000_000},
    "bare, rings": {"aliases": 0, "ring": 256, "nap_ns": 300_000},
    "Sv39, rings that overflow": {"aliases": 3, "ring": 16, "nap_ns": 1_000_000},
    "three harts on one word of bits": {"aliases": 2, "pages": 20, "harts": 3, "nap_ns": 500_000},
}
ROUNDS, INTERVAL = 12, 0.05
COUNTERS = ("harvested", "protected", "rmap_restarts", "rmap_locked", "remote_flushes", "zaps", "recycled", "moved")


@dataclass(frozen=True)
class Trial:
    """One stress: `found` is empty where nothing was lost."""

    number: int
    shape: str
    oracle: str
    design: str
    seed: int
    seconds: float
    stores: int
    counters: dict[str, int] = field(default_factory=dict)
    found: tuple[str, ...] = ()


def soak(
    seconds: float, seed: int | None = None, design: str = "", tell: Callable[[Trial], object] = lambda trial: None, first: int = 0
) -> list[Trial]:
    """Run trials for about `seconds`. Trial `number` of a seed is always the same stress; the interleaving is the machine's.

    Raises GnomonError for an unknown design."""
    design = designs.describe(designs.parse(design))
    seed = random.SystemRandom().randrange(1 << 30) if seed is None else seed
    done: list[Trial] = []
    began, number = time.monotonic(), first
    while not done or (time.monotonic() - began < seconds and not done[-1].found):
        done.append(one(number, *plan(number), design, seed))
        tell(done[-1])
        number += 1
    return done


def plan(number: int) -> tuple[str, str]:
    """Shape and oracle of a trial: 7 has no factor in common with how many there are, so each comes before any comes again."""
    plans = [(shape, oracle) for oracle in ORACLES for shape in SHAPES]
    return plans[number * 7 % len(plans)]


def one(number: int, shape: str, oracle: str, design: str, seed: int) -> Trial:
    """Trial `number` of `seed`."""
    began = time.monotonic()
    stores, counters = 0, {}
    try:
        found, stress = trial(oracle, ROUNDS, INTERVAL, seed=seed + number * 7919, design=design, **SHAPES[shape])
        counters = {name: stress.rig.field(name) for name in COUNTERS}
        stores = stress.get("stores")
        found += stress.rig.remains()
    except Stalled as error:
        found = [error.message]
    return Trial(number, shape, oracle, design, seed, time.monotonic() - began, stores, counters, tuple(found[:8]))


def totals(trials: list[Trial]) -> dict:
    """What the trials did together; every figure is the sum over them."""
    return {
        "trials": len(trials),
        "stores": sum(t.stores for t in trials),
        "seconds": sum(t.seconds for t in trials),
        **{name: sum(t.counters.get(name, 0) for t in trials) for name in COUNTERS},
        "found": sum(len(t.found) for t in trials),
    }


def document(trials: list[Trial]) -> dict:
    """For machines."""
    return {"trials": [asdict(t) for t in trials], "totals": totals(trials)}
