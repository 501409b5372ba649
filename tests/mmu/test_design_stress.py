"""Does every right design survive on real threads what breaks the wrong ones? Zap, recycling, harvests, table churn, slab shrinking."""

import random

import pytest

from gnomon.mmu.designs import AXES, parse, wrongs
from gnomon.study.stress.soak import SHAPES, one

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
HARD = ("Sv39, long rmaps and recycling", "bare, churn")


def loses(design):
    """What the table says is wrong with a design, but for the memory that it holds."""
    return [wrong for wrong in wrongs(parse(design)) if not wrong.startswith(f"{UNBOUNDED}:")]


@pytest.mark.slow
@pytest.mark.parametrize("design", [*SINGLE, *PAIRED, UNBOUNDED])
def test_does_a_right_design_lose_nothing_and_leak_nothing(design):
    assert not loses(design)
    for number, shape in enumerate(HARD):
        trial = one(number, shape, "migration", design, SEED)
        assert not trial.found, f"{design}, {shape}, seed {SEED}: {trial.found}"
        assert trial.stores > 0 and shape in SHAPES


def test_is_every_right_choice_stressed():
    """What is neither shipped nor wrong is in the list, and no list is empty."""
    assert len(SINGLE) >= 5 and not any(loses(design) for design in [*SINGLE, *PAIRED])
