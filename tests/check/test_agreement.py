"""Do the native explorer, with and without reductions, and a naive one find the same final states?"""

import importlib
import random

import pytest

from gnomon.check import run as run_module
from gnomon.check import worker as worker_module
from gnomon.check.explore import explore
from gnomon.check.litmus.parse import Litmus
from gnomon.check.litmus.run import _compiled, build, layout, run
from gnomon.check.machine import compile_scenario
from gnomon.check.programs.treiber import treiber
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios import catalog
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once

from . import naive
from .random_kernels import (
    GUARDED,
    PRIVATE,
    SHARED,
    equals,
    lock,
    locked_add,
    no_lock,
    nothing_lock,
    random_program,
    setup_words,
    unlock,
)

explore_module = importlib.import_module("gnomon.check.explore")


def random_litmus(rng: random.Random, most_threads: int = 3, most_instructions: int = 4) -> Litmus:
    threads = []
    for _ in range(rng.randint(2, most_threads)):
        word = lambda: f"[{rng.choice('xyz')}]"  # noqa: E731
        made = []
        for _ in range(rng.randint(1, most_instructions if len(threads) < 2 else 2)):
            register = rng.choice(["EAX", "EBX"])
            made.append(
                rng.choice(
                    [
                        ("MOV", word(), rng.randint(1, 2)),
                        ("MOV", word(), rng.randint(1, 2)),
                        ("MOV", register, word()),
                        ("MOV", register, word()),
                        ("MOV", word(), register),
                        ("XCHG", word(), register),
                        ("INC", word()),
                        ("MFENCE",),
                    ]
                )
            )
        threads.append(made)
    condition = ("true",)
    for name in ["x", "y", "z", *(f"{t}:{r}" for t in range(len(threads)) for r in ("EAX", "EBX"))]:
        condition = ("and", condition, ("is", name, 0))
    return Litmus("random", "exists", condition, threads)


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("batch", range(5))
def test_does_a_naive_explorer_find_the_same_final_states(batch, model):
    rng = random.Random(batch)
    for _ in range(60):
        test = random_litmus(rng)
        found = {tuple(state[name] for name in test.observed) for state, _ in run(test, model).finals}
        assert found == naive.outcomes(test, model == "tso"), test.threads


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_does_the_reduction_lose_final_states_of_litmus_tests(model):
    rng = random.Random(99)
    for _ in range(20):
        test = random_litmus(rng, 2, 2)
        places = tuple(layout(test)[name] for name in test.observed)
        compiled = _compiled(len(test.threads))
        reduced = explore(build(test), model, compiled=compiled, outcomes=places)
        full = explore(build(test), model, compiled=compiled, outcomes=places, reduce=False)
        assert reduced.outcomes == full.outcomes
        assert reduced.states < full.states


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("batch", range(10))
def test_do_all_reductions_and_the_full_search_agree_on_random_kernels(batch, model, monkeypatch):
    """Locks, shared, private and read-only words, early exits, endless waiting: outcomes, verdicts and properties must be the same,
    with private words merged, with alternatives left out, by one worker and by two that share every level."""
    monkeypatch.setattr(explore_module, "PATIENCE", 0)
    monkeypatch.setattr(run_module, "TOGETHER", 1)
    monkeypatch.setattr(worker_module, "PIECE", 1)
    for seed in range(12 * batch, 12 * batch + 12):
        ways = {
            "full": {"reduce": False, "workers": 1},
            "merged": {"partial_order": False, "workers": 1},
            "alone": {"small": 1, "workers": 1},
            "together": {"small": 1, "workers": 2},
        }
        found = {name: explore(random_program(seed), model, outcomes=setup_words(), **how) for name, how in ways.items()}
        full = found["full"]
        for name, result in found.items():
            assert result.verdict == full.verdict, (seed, name, str(result), str(full))
            assert result.property == full.property or (full.violated and {result.property, full.property} == {"expectation", "progress"})
            assert result.states <= full.states or full.violated
            if not result.violated:
                assert result.outcomes == full.outcomes, (seed, name)
        # who ends in the middle of a level may have stored a few more on two processes
        assert found["together"].states == found["alone"].states or full.violated
        assert len(found["together"].schedule) == len(found["alone"].schedule)
        if full.violated:
            assert found["alone"].shortest and len(found["alone"].schedule) <= len(full.schedule)


def test_does_leaving_out_alternatives_leave_states_out():
    merged, alone = (sum(explore(random_program(seed), "sc", small=small).states for seed in range(10)) for small in (1 << 30, 1))
    assert alone < 0.95 * merged


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_do_two_workers_find_as_many_states_as_one(model, monkeypatch):
    monkeypatch.setattr(explore_module, "PATIENCE", 0)
    monkeypatch.setattr(run_module, "TOGETHER", 1)
    monkeypatch.setattr(worker_module, "PIECE", 1 << 12)
    for how in ({"reduce": False}, {"small": 1}):
        one, two = (explore(treiber(3, bare=True), model, workers=n, **how) for n in (1, 2))
        assert (one.states, one.transitions, one.ends) == (two.states, two.transitions, two.ends)


def counting(locks: tuple, words: int = 512) -> Scenario:
    """Two threads that add under what may be a lock."""
    take, give = locks
    scenario = Scenario("counting", words=words, replace={lock: take, unlock: give}, locks=(locks,))
    for t in range(2):
        scenario.thread(f"t{t}", call(locked_add, 0, 1))
    scenario.at_end("every increment counted", equals, GUARDED, 2)
    return scenario


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("small", [1, 1 << 30])
@pytest.mark.parametrize("take,give,right", [(lock, unlock, True), (no_lock, unlock, False), (nothing_lock, nothing_lock, False)])
def test_is_a_lock_that_does_not_exclude_believed(take, give, right, small, model):
    """A scenario may call anything a lock: the search finds out, and merges nothing on its word."""
    result = explore(counting((take, give)), model, small=small)
    assert result.proved if right else result.property == "every increment counted"


@kernel
def tick(m, at):
    """A statistic: read, incremented, stored back, until somebody has looked."""
    while read_once(m, PRIVATE + 1) == 0:
        write_once(m, at, read_once(m, at) + 1)
    return 0


@kernel
def look_at(m, at, bits):
    """Store what some bits of a word are."""
    write_once(m, PRIVATE, read_once(m, at) & bits)
    write_once(m, PRIVATE + 1, 1)
    return 0


@kernel
def one_of(m, at, bits):
    """1 if the word at `at` is one of the bits, or none."""
    return read_once(m, at) & ~bits == 0


@pytest.mark.parametrize(
    "claimed,looked_at,right", [(0, 1, False), (0, 0, True), (1, 1, True), (1, 2, False), (3, 2, True), (1, -1, False)]
)
def test_is_it_believed_that_only_some_bits_matter(claimed, looked_at, right):
    """A word of which the program looks at other bits than the scenario says counts whole: here it then counts without end."""
    scenario = Scenario("ticking", words=512)
    scenario.thread("ticks", call(tick, SHARED))
    scenario.thread("looks", call(look_at, SHARED, looked_at))
    scenario.at_end("looked", one_of, PRIVATE, looked_at)
    scenario.only_bits(SHARED, claimed)
    result = explore(scenario, "sc", max_states=3000)
    assert result.verdict == ("proved" if right else "bounded"), str(result)


def test_does_the_search_say_when_the_assumption_of_a_reduction_broke():
    """Words that turn out to be shared become scheduling points, and only those."""
    scenario = random_program(0)
    result = explore(scenario, "sc")
    assert result.visible


def test_has_a_proof_as_many_states_on_any_number_of_workers():
    """On a scenario that learns of its words, locks and futures as it goes, and whose counters nobody looks at."""
    scenario = catalog.build("harvest/two-vcpus")
    compiled = compile_scenario(scenario)
    found = [explore(scenario, "tso", workers=n, compiled=compiled) for n in (1, 2, 2, 3, 8)]
    assert {(r.verdict, r.states, r.transitions) for r in found} == {("proved", found[0].states, found[0].transitions)}
