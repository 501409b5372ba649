"""Does every right design survive on real threads what breaks the wrong ones? Zap, recycling, harvests, table churn, slab shrinking."""

import random

import pytest

from gnomon.mmu.axes import AXES
from gnomon.mmu.designs import parse, wrongs
from gnomon.study.stress.oracle import ORACLES
from gnomon.study.stress.soak import SHAPES, one, plan

SEED = random.SystemRandom().randrange(1 << 30)
SINGLE = [f"{axis.name}={choice.name}" for axis in AXES for choice in axis.choices if choice.value and not choice.wrong]
PAIRED = [
    "reclaim=mode-wait,protector=locked",
    "reclaim=mode-wait,protector=rmap-bit",
    "reclaim=call-rcu,guard=none",
    "reclaim=call-rcu-throttled,guard=recheck",
    "guard=none,protector=rmap-bit",
    "guard=recheck,encoding=levels",
]
UNBOUNDED = "reclaim=call-rcu"
"""Wrong for the memory it may hold, and loses nothing."""
SEEDS, ROUNDS = 3, 6


def loses(design):
    """What the table says is wrong with a design, but for the memory that it holds."""
    return [wrong for wrong in wrongs(parse(design)) if not wrong.startswith(f"{UNBOUNDED}:")]


STRESSED = [*SINGLE, *PAIRED, UNBOUNDED]


def trials(index):
    """Shape and oracle of each seed of design number `index`: one seed has every churn at once, the others take the shapes in turn."""
    return [("everything at once", "migration"), *(plan((SEEDS - 1) * index + n) for n in range(SEEDS - 1))]


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(STRESSED)), ids=STRESSED)
def test_does_a_right_design_lose_nothing_and_leak_nothing(index):
    """Three seeds a design."""
    design = STRESSED[index]
    assert not loses(design)
    stores = 0
    for n, (shape, oracle) in enumerate(trials(index)):
        trial = one(n, shape, oracle, design, SEED, ROUNDS)
        assert not trial.found, f"{design}, {shape}, {oracle}, seed {trial.seed} + {n}: {trial.found}"
        stores += trial.stores
    assert stores > 0


def test_does_every_shape_and_every_oracle_meet_a_right_design():
    """The designs share the shapes out among them."""
    met = {pair for index in range(len(STRESSED)) for pair in trials(index)}
    assert {shape for shape, _ in met} == set(SHAPES) and {oracle for _, oracle in met} == set(ORACLES)


def test_is_every_right_choice_stressed():
    """What is neither shipped nor wrong is in the list, and no list is empty."""
    assert len(SINGLE) >= 5 and SEEDS >= 3 and not any(loses(design) for design in [*SINGLE, *PAIRED])
