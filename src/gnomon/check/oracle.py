"""Primitives for scenarios: what a checked kernel may say to the explorer. Compiled or interpreted they are harmless.

expect(condition)   in the explorer: a violation when the condition is 0
choose(n)           in the explorer: every value of 0 … n-1 is tried; elsewhere 0
"""

from __future__ import annotations

from llvmlite import ir

from gnomon.lang.compiled_arena import WORD
from gnomon.lang.primitive import lowered_by


@lowered_by(lambda builder, condition: condition)
def expect(condition):
    """Claim that `condition` is not 0. Returns it."""
    return int(condition)


@lowered_by(lambda builder, n: ir.Constant(WORD, 0))
def choose(n):
    """Any of 0 … n-1."""
    return 0
