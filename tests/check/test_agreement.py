"""Do the native explorer, with and without reductions, and a naive one find the same final states?"""

import random

import pytest

from gnomon.check.explore import explore
from gnomon.check.litmus.parse import Litmus
from gnomon.check.litmus.run import _compiled, build, layout, run

from . import naive
from .random_kernels import random_program, setup_words


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
@pytest.mark.parametrize("seed", range(60))
def test_do_reduced_and_full_search_agree_on_random_kernels(seed, model):
    """Locks, shared, private and read-only words, early exits: outcomes, verdicts and properties must be the same."""
    scenario = random_program(seed)
    reduced = explore(scenario, model, outcomes=setup_words(), buffer=8)
    full = explore(random_program(seed), model, outcomes=setup_words(), reduce=False, buffer=8)
    assert (reduced.verdict, reduced.property) == (full.verdict, full.property)
    if not reduced.violated:
        assert reduced.outcomes == full.outcomes
    assert reduced.states <= full.states


def test_does_the_search_say_when_the_assumption_of_a_reduction_broke():
    """Words that turn out to be shared become scheduling points, and only those."""
    scenario = random_program(0)
    result = explore(scenario, "sc")
    assert result.visible
