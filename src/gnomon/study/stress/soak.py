"""soak: one stress after another, of every shape and oracle, until the time is over or one finds something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from gnomon.errors import GnomonError
from gnomon.mmu import designs
from gnomon.study.stress.churn import KINDS, STEADY
from gnomon.study.stress.oracle import ORACLES, trial
from gnomon.study.stress.stage import REGION, Stalled

EVERY = {
    "pages": REGION + 96,
    "aliases": 2,
    "mega": True,
    "edits": True,
    "alike": True,
    "churns": tuple(KINDS),
    "n_max": 128,
    "nap_ns": 500_000,
}
SHAPES: dict[str, dict] = {
    "everything at once": {**EVERY, "design": "guest-tables=unsync"},
    "bare, churn": {"aliases": 0, "nap_ns": 300_000},
    "bare, quiet": {"aliases": 0, "churns": ()},
    "one hot word": {"aliases": 0, "churns": (), "pages": 6},
    "Sv39, few aliases": {"aliases": 3, "nap_ns": 1_000_000},
    "Sv39, long rmaps and recycling": {"aliases": 40, "pages": 64, "n_max": 64, "nap_ns": 2_000_000},
    "bare, rings": {"aliases": 0, "ring": 256, "nap_ns": 300_000},
    "Sv39, rings that overflow": {"aliases": 3, "ring": 16, "nap_ns": 1_000_000},
    "three harts on one word of bits": {"aliases": 2, "pages": 20, "harts": 3, "nap_ns": 500_000},
    "bare, split and recovered": {"aliases": 0, "pages": REGION + 96, "n_max": 64, "churns": ("split", "age"), "nap_ns": 200_000},
    "bare, pages that share": {"aliases": 0, "alike": True, "churns": (*STEADY, "share"), "nap_ns": 100_000},
    "Sv39, tables edited": {"aliases": 2, "edits": True, "nap_ns": 1_000_000},
    "Sv39, tables unsync": {"aliases": 2, "edits": True, "nap_ns": 1_000_000, "design": "guest-tables=unsync"},
}
ROUNDS, INTERVAL = 12, 0.05
COUNTERS = (
    "harvested",
    "protected",
    "rmap_restarts",
    "rmap_locked",
    "remote_flushes",
    "zaps",
    "recycled",
    "moved",
    "merged",
    "unshared",
    "splits",
    "recoveries",
    "syncs",
)


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
    seconds: float,
    seed: int | None = None,
    design: str = "",
    tell: Callable[[Trial], object] = lambda trial: None,
    first: int = 0,
    shape: str = "",
) -> list[Trial]:
    """Run trials for about `seconds`, of one shape or of all.

    Trial `number` of a seed is always the same stress; the interleaving is the machine's. Some shapes have a choice of their own, as
    guest-tables=unsync, where `design` does not name that axis.
    Raises GnomonError for an unknown design or shape."""
    refuse_unknown(design, shape)
    seed = random.SystemRandom().randrange(1 << 30) if seed is None else seed
    done: list[Trial] = []
    began, number = time.monotonic(), first
    while not done or (time.monotonic() - began < seconds and not done[-1].found):
        done.append(one(number, *plan(number, shape), design, seed))
        tell(done[-1])
        number += 1
    return done


def refuse_unknown(design: str, shape: str) -> None:
    """Raises GnomonError for a design or a shape that there is not, naming what there is."""
    designs.parse(design)
    if shape and shape not in SHAPES:
        raise GnomonError(f"no stress has the shape: {shape}", f"one of: {'; '.join(SHAPES)}", exit_code=2)


def plan(number: int, shape: str = "") -> tuple[str, str]:
    """Shape and oracle of a trial: 7 has no factor in common with how many there are, so each comes before any comes again."""
    plans = [(each, oracle) for oracle in ORACLES for each in ([shape] if shape else SHAPES)]
    return plans[number * 7 % len(plans)]


def shaped(shape: str, design: str) -> dict:
    """What Stress is made with for `shape` in a machine of `design`."""
    found = dict(SHAPES[shape])
    return {**found, "design": designs.merge(found.get("design", ""), design)}


def one(number: int, shape: str, oracle: str, design: str, seed: int, rounds: int = ROUNDS) -> Trial:
    """Trial `number` of `seed`."""
    began = time.monotonic()
    stores, counters = 0, {}
    try:
        found, stress = trial(oracle, rounds, INTERVAL, seed=seed + number * 7919, **shaped(shape, design))
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
