"""Hypothesis here: no deadlines, since tests share the machine with compilers, and the same examples in every run, so that `main` is
green or red for a reason in the change. GNOMON_RANDOM=1 seeks new examples; what it finds becomes an @example."""

import os

from hypothesis import settings

settings.register_profile("gnomon", deadline=None, derandomize=not os.environ.get("GNOMON_RANDOM"))
settings.load_profile("gnomon")
