"""Hypothesis here: no deadlines, since tests share the machine with compilers, and the same examples in every run, so that `main` is
green or red for a reason in the change. GNOMON_RANDOM=1 seeks new examples; what it finds becomes an @example."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # two processes that fill one cache directory at once can crash (Numba #4807): each worker has its own, before gnomon is imported
    place = os.environ.get("GNOMON_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gnomon"
    os.environ["GNOMON_CACHE"] = str(Path(place) / f"tests-{worker}")

settings.register_profile(
    "gnomon", deadline=None, derandomize=not os.environ.get("GNOMON_RANDOM"), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gnomon")
