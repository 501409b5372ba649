"""shard_task: what a worker does for a sharded exploration: enter what has come for some shards, expand what was new there.

A task depends on what it is given and on nothing that this worker alone knows. The worker keeps the tables of shards it has had, as a
cache: where a table has not just the states that the task is about, the answer is Missing, and the same task comes again with the shard's
log. A task that is done again, here or elsewhere, gives the same answer.
"""

from __future__ import annotations

import platform
import threading
from dataclasses import dataclass, field

import numpy as np

import gnomon
from gnomon.check.futures import Futures
from gnomon.check.machine import Compiled, compile_scenario
from gnomon.check.own import build_own, is_own
from gnomon.check.portion import Assumed, Expanded, Portion, Unnumbered, futures_of
from gnomon.check.scenario import Scenario
from gnomon.check.shard import Fresh, Parcel, Shard
from gnomon.check.space import LANES
from gnomon.study.sweep import source_digest

RUNS = 3
"""Explorations of which a worker keeps shards."""


@dataclass(frozen=True)
class Asked:
    """The scenario, by what every worker can build it from."""

    name: str
    settings: tuple[tuple[str, int], ...]
    digest: str
    source: str


@dataclass(frozen=True)
class Turn:
    """One shard's part in a level."""

    shard: int
    count: int  # states it had entered before
    parcels: tuple[Parcel, ...]
    log: bytes | None = None  # their fingerprints, for a worker that has not had the shard


@dataclass(frozen=True)
class Missing:
    """This worker has not these shards as they were before the level."""


@dataclass(frozen=True)
class Wanted:
    """A lock without a number was met."""

    lock: int


@dataclass(frozen=True)
class Stranger:
    """This worker cannot take part; why, in a sentence."""

    why: str


@dataclass(frozen=True)
class Entered:
    """What was new in a shard."""

    shard: int
    first: int
    fingerprints: np.ndarray
    whence: np.ndarray
    numbers: np.ndarray
    bytes: int  # of the shard's table, and of what is new


@dataclass(frozen=True)
class Done:
    entered: tuple[Entered, ...]
    expanded: Expanded | None


@dataclass
class _Held:
    shard: Shard
    lock: threading.Lock = field(default_factory=threading.Lock)


Made = tuple[Scenario, Compiled, Futures]
_scenarios: dict[tuple[Asked, str], tuple[Made | None, str]] = {}
_held: dict[str, dict[int, _Held]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Level:
    """What the tasks of one level have in common."""

    run: str
    asked: Asked
    expand: bool  # else only enter


def work(level: Level, assumed: Assumed, turns: tuple[Turn, ...]) -> Done | Missing | Wanted | Stranger:
    """Done, or what must be seen to first."""
    asked = level.asked
    if source_digest() != asked.source:
        mine = source_digest()[:12]
        return Stranger(f"{platform.node()} has gnomon {gnomon.__version__} of other sources: {mine}, not {asked.source[:12]}")
    made, why = _scenario(asked, assumed.model)
    if made is None:
        return Stranger(f"{platform.node()} cannot build the same {asked.name}: {why}")
    scenario, compiled, futures = made
    shards = _shards(level.run)
    held = []
    for turn in turns:
        with _lock:
            held.append(shards.setdefault(turn.shard, _Held(Shard(scenario.progress))))
    portion = Portion(scenario, compiled, assumed, futures)
    blocks = -(-portion.machine.threads * portion.machine.stride // LANES)
    fresh = [_enter(mine, turn, list(assumed.slots), blocks) for turn, mine in zip(turns, held, strict=True)]
    if None in fresh:
        return Missing()
    entered = tuple(
        Entered(turn.shard, new.first, new.fingerprints, new.whence, new.numbers, mine.shard.bytes + new.frontier.nbytes)
        for turn, mine, new in zip(turns, held, fresh, strict=True)
    )
    try:
        frontiers = [(turn.shard, new.first, new.frontier) for turn, new in zip(turns, fresh, strict=True)]
        expanded = portion.expand(frontiers) if level.expand else None
    except Unnumbered as error:
        return Wanted(error.lock)
    return Done(entered, expanded)


def _enter(held: _Held, turn: Turn, slots: list[int], blocks: int) -> Fresh | None:
    """What is new in the shard; None where the shard here has seen more or less than it should, and there is no log to make it from."""
    with held.lock:
        if held.shard.count != turn.count:
            if turn.log is None:
                return None
            held.shard.restore(turn.log)
        return held.shard.enter(list(turn.parcels), slots, blocks)


def _scenario(asked: Asked, model: str) -> tuple[Made | None, str]:
    """The scenario and its program, or why they are not what was asked for."""
    with _lock:
        if (asked, model) not in _scenarios:
            _scenarios[asked, model] = _build(asked, model)
        return _scenarios[asked, model]


def _build(asked: Asked, model: str) -> tuple[Made | None, str]:
    from gnomon.check.scenarios.catalog import build

    try:
        made = build_own(asked.name) if is_own(asked.name) else build(asked.name, dict(asked.settings))
    except (OSError, ValueError) as error:
        return None, str(error)
    if made.digest() != asked.digest:
        return None, f"its digest is {made.digest()[:12]}, not {asked.digest[:12]}"
    compiled = compile_scenario(made)
    return (made, compiled, futures_of(made, compiled, model)), ""


def _shards(run: str) -> dict[int, _Held]:
    """What this worker holds of a run; of runs that nobody has asked about for long, nothing."""
    with _lock:
        mine = _held.pop(run, {})
        _held[run] = mine  # last in the order
        while len(_held) > RUNS:
            del _held[next(iter(_held))]
        return mine


def forget(run: str) -> None:
    """A run is over."""
    with _lock:
        _held.pop(run, None)
