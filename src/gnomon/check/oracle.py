"""Primitives for scenarios: what a checked kernel may say to the explorer. Compiled or interpreted they are harmless.

expect(condition)   in the explorer: a violation when the condition is 0
choose(n)           in the explorer: every value of 0 … n-1 is tried; elsewhere 0
note(m, at, value)  the observer's store: everybody sees it at once, and it orders nothing. A word that is noted is only ever noted
"""

from __future__ import annotations

from llvmlite import ir

from gnomon.lang.compiled_arena import WORD, word_pointer
from gnomon.lang.primitive import lowered_by, wrap64


@lowered_by(lambda builder, condition: condition)
def expect(condition):
    """Claim that `condition` is not 0. Returns it."""
    return int(condition)


@lowered_by(lambda builder, n: ir.Constant(WORD, 0))
def choose(n):
    """Any of 0 … n-1."""
    return 0


def _emit_note(builder, m, at, value):
    builder.store_atomic(value, word_pointer(builder, m, at), "monotonic", 8)


@lowered_by(_emit_note)
def note(m, at, value):
    """Write down in the observer's word `at` what has just happened. No store buffer delays it, and it waits for none: an observer
    that drained buffers would hide the very barrier whose absence it looks for. Returns 0."""
    m.words[at] = wrap64(int(value))
    return 0
