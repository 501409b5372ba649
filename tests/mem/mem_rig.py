"""What the tests of mem share, beside sync_rig: an arena with RCU and a pool."""

from __future__ import annotations

import sys
from pathlib import Path

from gnomon.lang import PAGE_WORDS, Arena
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.lang.host import register_membarrier
from gnomon.mem.frames import frames_init, frames_set_debug
from gnomon.mem.shrinker import mem_callbacks
from gnomon.sync.rcu import rcu_init

sys.path.append(str(Path(__file__).parents[1] / "sync"))
from sync_rig import both_worlds, together

__all__ = ["FIXED_FRAMES", "both_worlds", "pool_arena", "settle", "together"]


def pool_arena(frames: int, *, debug: int = 1) -> Arena:
    """A fresh arena of `frames` frames, the fixed ones included, with RCU and the pool set up."""
    arena = Arena(frames * PAGE_WORDS)
    rcu_init(arena, int(register_membarrier()))
    assert frames_init(arena, len(arena)) > 0
    frames_set_debug(arena, debug)
    return arena


def settle(arena: Arena, t: int, world=lambda k: k) -> None:
    """Run callbacks until none waits."""
    for _ in range(4):
        assert world(mem_callbacks)(arena, t, 1000) == 0


FIXED_FRAMES = FRAME_WORDS_AT // PAGE_WORDS
