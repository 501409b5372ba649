"""The explorer beside SPIN on one program, and what its verdicts cost.

Program    the Treiber stack of check/programs/treiber.py and study/treiber.pml: 3 threads, 3 tagged nodes, pop pop push push. SPIN's
           steps are finer, so it has more states; what is compared is transitions a second of CPU time of one core, both
           without reductions, and seconds by the clock, both with all of theirs
Memory     the table of fingerprints and the tree of predecessors, over the states stored
TSO        states under TSO over states under SC of the stack with two payload stores a push, with reductions. The targets are what a store
           buffer written by hand costs SPIN
Litmus     every test of the folder named by GNOMON_LITMUS under TSO, each explored once before
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gnomon.check.claims import CLAIMS, settle
from gnomon.check.explore import explore
from gnomon.check.litmus.run import run_file
from gnomon.check.programs.treiber import filled, treiber
from gnomon.errors import GnomonError
from gnomon.study import spin_peer
from gnomon.study.row import LESS, MORE, against, missing, row

BENCH = "check"
REPEATS = 3
LARGE = 10_000_000
GIB = 1 << 30


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    tell("check: the full search, 3 threads and 4")
    yield from speed(tell)
    tell("check: states under TSO")
    yield from buffers()
    tell("check: litmus tests")
    yield litmus()
    tell("check: claims")
    yield from claims()


def speed(tell: Callable[[str], object], states: int = LARGE) -> Iterator[dict]:
    """Transitions a second, seconds with reductions, bytes a state, beside SPIN."""
    small = max(_rate(treiber(3, bare=True))[0] for _ in range(REPEATS))
    rate, stored = _rate(treiber(4, bare=True), states)
    seconds = min(explore(treiber(3, bare=True), "sc").seconds for _ in range(REPEATS))
    tell("check: SPIN, full and reduced")
    peers = {}
    for name, reduced in (("full", False), ("reduced", True)):
        try:
            peers[name] = spin_peer.run(reduced)
        except GnomonError as error:
            peers[name] = str(error)
    full, less = peers["full"], peers["reduced"]
    if isinstance(full, str):
        pan = missing(BENCH, "SPIN, transitions a second of a core", "M/s", full)
        pan_bytes = missing(BENCH, "SPIN, bytes a state", "B", full)
    else:
        pan = row(BENCH, "SPIN, transitions a second of a core", full.transitions / full.cpu / 1e6, "M/s")
        pan_bytes = row(BENCH, "SPIN, bytes a state", full.bytes_a_state, "B")
    if isinstance(less, str):
        pan_seconds = missing(BENCH, "SPIN, search with its reductions", "s", less)
    else:
        pan_seconds = row(BENCH, "SPIN, search with its reductions", less.wall, "s")
    ours = row(BENCH, "transitions a second of a core, 3 threads", small, "M/s")
    yield against(ours, pan, better=MORE, target="ratio >= 1")
    yield against(row(BENCH, "transitions a second of a core, 4 threads", rate, "M/s"), pan, better=MORE, target="ratio >= 1")
    yield pan
    yield against(row(BENCH, "search with reductions, 3 threads", seconds, "s"), pan_seconds, better=LESS, target="ratio >= 1")
    yield pan_seconds
    yield against(row(BENCH, f"bytes a state, {states:,} states", stored, "B", target="<= 32"), pan_bytes, better=LESS)
    yield pan_bytes


def _rate(scenario, states: int = 0) -> tuple[float, float]:
    """(million transitions a second of CPU time, bytes a state) of a full search by one worker."""
    explore(scenario, "sc", reduce=False, max_states=1, workers=1)  # compiled by now
    began = time.process_time()
    result = explore(scenario, "sc", reduce=False, max_states=states, workers=1, memory=8 * GIB)
    return result.transitions / (time.process_time() - began) / 1e6, result.bytes_a_state


def buffers() -> Iterator[dict]:
    """What store buffers cost in states."""
    for threads, turns, target in ((2, 2, "<= 3.3"), (3, 1, "<= 4.7")):
        sc, tso = (explore(filled(threads, turns), model) for model in ("sc", "tso"))
        yield row(BENCH, f"states under TSO over SC, {threads} threads", tso.states / sc.states, "x", target=target)


def litmus() -> dict:
    """Milliseconds a litmus test."""
    figure, folder = "litmus test, mean", os.environ.get("GNOMON_LITMUS", "")
    files = sorted(Path(folder).rglob("*.litmus")) if folder else []
    if not files:
        return missing(BENCH, figure, "ms", "GNOMON_LITMUS names no folder of litmus tests")
    for file in files:
        run_file(file, "tso")
    return row(BENCH, figure, sum(run_file(file, "tso").seconds for file in files) / len(files) * 1e3, "ms", target="<= 5")


def claims() -> Iterator[dict]:
    """Seconds of `gnomon claims`, all and the longest."""
    spent = []
    for claim in CLAIMS:
        began = time.perf_counter()
        settle(claim)
        spent.append(time.perf_counter() - began)
    yield row(BENCH, "all claims", sum(spent), "s", target="<= 300")
    yield row(BENCH, "the longest claim", max(spent), "s", target="<= 60")
