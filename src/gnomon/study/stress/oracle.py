"""oracle: the questions of KVM's dirty_log_test, and of a migration, asked of a stress.

new        since 2025: over both bitmaps of an iteration, dirty <=> the page holds this iteration. And the copy is whole
old        until 2024: one harvest while the guest runs; what it misses of this iteration must be in the next
migration  a migrator harvests and copies in a tight loop; whenever everybody is parked, a last harvest makes the copy equal to RAM

Each runs `rounds` rounds of `interval` seconds and returns what it found wrong, a sentence each; it ends at the first bad round. What is
dirty because the log was turned on is none of the guest's stores: where the log is turned off and on (churn "split"), it is for a part of
each round in which the first two do not look, and whose pages they copy and forget.

Source: tools/testing/selftests/kvm/dirty_log_test.c.
"""

from __future__ import annotations

import time

import numpy as np

from gnomon.study.stress.stage import Stress


def stir(stress: Stress, interval: float) -> np.ndarray:
    """Let the log be turned off and on for a while, everybody parked before and after. Returns the pages that were dirty after it."""
    if not stress.splits:
        return np.zeros(stress.stress_pages, dtype=bool)
    stress.set(relog=1)
    stress.resume()
    time.sleep(interval)
    stress.pause()
    stress.set(relog=0)
    return stress.take()


def write_a_while(stress: Stress, iteration: int, interval: float) -> np.ndarray:
    """Let the vCPUs store `iteration`, with a harvest under way, and park them. Returns the pages that were dirty at the harvest."""
    stress.set(iteration=iteration)
    stress.resume()
    time.sleep(interval)
    dirty = stress.take()
    time.sleep(interval / 4)
    stress.pause()
    return dirty


def new_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    found = []
    for n in range(rounds):
        iteration = 4 + 2 * n
        stir(stress, interval)
        dirty = write_a_while(stress, iteration, interval) | stress.take()
        values = stress.values()
        if n:
            found += [f"round {n}: page {p} is dirty and holds {values[p]}" for p in np.flatnonzero(dirty & (values != iteration))]
        found += [f"round {n}: page {p} is clean and holds {values[p]}" for p in np.flatnonzero(~dirty & (values >= iteration))]
        found += [f"round {n}: page {p} was lost" for p in stress.lost()]
        if found or stress.get("stuck"):
            break
    return found


def old_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    found: list[str] = []
    owed = np.zeros(stress.stress_pages, dtype=bool)
    for n in range(rounds):
        iteration = 4 + 2 * n
        stirred = stir(stress, interval)
        dirty = write_a_while(stress, iteration, interval)
        values = stress.values()
        found += [f"round {n}: page {p} should be dirty by now" for p in np.flatnonzero(owed & ~stirred & ~dirty)]
        if n:
            bad = dirty & (values != iteration) & (values != iteration - 2)
            found += [f"round {n}: page {p} is dirty and holds {values[p]}" for p in np.flatnonzero(bad)]
        found += [f"round {n}: page {p} is clean and holds {values[p]}" for p in np.flatnonzero(~dirty & (values > iteration))]
        owed = ~dirty & (values == iteration)
        if found or stress.get("stuck"):
            break
    return found


def migration_oracle(stress: Stress, rounds: int, interval: float) -> list[str]:
    found: list[str] = []
    for n in range(rounds):
        stress.set(iteration=4 + 2 * n)
        stress.resume()
        time.sleep(interval)
        stress.pause()
        stress.take()
        found = [f"round {n}: page {p} was lost" for p in stress.lost()]
        if found or stress.get("wrong") or stress.get("stuck"):
            break
    return found


ORACLES = {"new": new_oracle, "old": old_oracle, "migration": migration_oracle}


def trial(oracle: str, rounds: int, interval: float, **shape) -> tuple[list[str], Stress]:
    """What `oracle` found in `rounds` rounds of a stress of this shape (Stress), and the stress."""
    stress = Stress(migrating=oracle == "migration", **shape)
    stress.rig.enable()
    with stress.running():
        stress.pause()
        found = ORACLES[oracle](stress, rounds, interval)
    if stress.get("wrong"):
        found.append(f"{stress.get('wrong')} stores were led to another page's frame")
    if stress.get("stuck"):
        found.append(f"a store to page {stress.get('stuck') - 1} does not retire")
    return found, stress
