"""What the tests of lang share: a compiled kernel around one primitive."""

from __future__ import annotations

import inspect
from functools import cache

from gnomon.lang.kernel import KERNELS, compile_kernel, kernel

LEAST, GREATEST = -(1 << 63), (1 << 63) - 1


@cache
def compiled(primitive):
    """A kernel that calls `primitive` with its own arguments and returns what that returns."""
    names = list(inspect.signature(primitive).parameters)
    arguments = ", ".join(names)
    scope = {"primitive": primitive}
    exec(f"def wrapper({arguments}):\n    return primitive({arguments})\n", scope)
    made = kernel(scope["wrapper"])
    KERNELS.pop("None.wrapper", None)
    compile_kernel(made)
    return made
