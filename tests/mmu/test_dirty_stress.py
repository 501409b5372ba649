"""Does the lockless dirty log lose a write? dirty_log_test's two oracles and a migration, on real threads, against churn.

vCPU threads store through TLB, walk, fast and slow fault and tracked writes; a harvester takes their pages without mmu_lock; a third
party zaps and recycles shadow pages, gives slab pages up and runs RCU callbacks. Run with -s to see the figures and the seed.
"""

import random

import pytest

from gnomon.study.stress.oracle import ORACLES, trial
from gnomon.study.stress.soak import SHAPES, shaped

SEED = random.SystemRandom().randrange(1 << 30)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("oracle", ORACLES)
def test_does_a_harvest_ever_lose_a_write(oracle, shape):
    """Each shape, each oracle, three seconds: dirty means written now, clean means not, and the copy is RAM (I-1, I-5, I-7, I-8)."""
    found, stress = trial(oracle, 24, 0.1, seed=SEED, **shaped(shape, ""))
    rig = stress.rig
    figures = {name: stress.get(name) for name in ("stores", "zaps", "harvests")}
    figures |= {name: rig.field(name) for name in ("harvested", "protected", "rmap_restarts", "rmap_locked", "remote_flushes")}
    print(f"\n{oracle}, {shape}, seed {SEED}: {figures}")
    assert not found, f"seed {SEED}: {found[:5]} of {len(found)}"
    assert stress.get("stores") > 0
    assert rig.remains() == []


@pytest.mark.parametrize("design", ["", "guest-tables=unsync"])
def test_does_a_short_stress_hold(design):
    """The same for half a second, in every run of the tests."""
    found, stress = trial("new", 4, 0.1, seed=SEED, **shaped("Sv39, few aliases", design))
    assert not found, f"seed {SEED}: {found[:5]}"
    assert stress.rig.remains() == []
