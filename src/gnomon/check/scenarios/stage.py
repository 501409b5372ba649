"""stage: the set-up that scenarios share, and what they put in the place of kernels that only pass time or count.

QUIET   spin_pause() is nothing (its turn count would make every turn of a waiting loop a new state), spin_wait() does not count
        how often it waited. Neither changes what a lock excludes.
"""

from __future__ import annotations

from gnomon.check.scenario import Owners, Scenario
from gnomon.check.scenarios.entry import Mutant
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT, RCU_AT, THREAD_WORDS, THREADS_AT
from gnomon.mem.frames import frames_init
from gnomon.mem.pool import FRAME_TAG_MASK, PAGE_WORDS_SHIFT, POOL
from gnomon.sync.rcu import rcu_init
from gnomon.sync.spinlock import spin_lock, spin_pause, spin_trylock, spin_unlock, spin_wait
from gnomon.sync.state import RCU, THREAD
from gnomon.sync.thread import thread_register

POISON = -81985529216486896
DATA_AT = 15 * 1024
"""Free words below the frame words, in the block of the last thread slots."""


@kernel
def no_pause(turn):
    """spin_pause() where the scheduler tries every order anyway."""
    return 0


@kernel
def quiet_wait(m, at):
    """spin_wait() without its statistics."""
    while spin_trylock(m, at) == 0:
        pass
    return 0


QUIET = {spin_pause: no_pause, spin_wait: quiet_wait}
LOCKS = ((spin_lock, spin_unlock),)


def stage(
    mutant: Mutant | None,
    threads: int,
    words: int = 1 << 14,
    membarrier: int = 1,
    constants: dict | None = None,
    replace: dict | None = None,
) -> Scenario:
    """A scenario with RCU set up and `threads` thread slots registered."""
    chosen = mutant or Mutant("")
    scenario = Scenario(
        "unnamed",
        words=words,
        constants={**(constants or {}), **chosen.constants},
        replace={**QUIET, **(replace or {}), **chosen.replace},
        locks=LOCKS,
    )
    if words > FRAME_WORDS_AT:
        scenario.run(frames_init, words)
    scenario.run(rcu_init, 0)
    scenario.store(RCU_AT + RCU.membarrier, membarrier)
    scenario.label(RCU_AT, "rcu", RCU)
    scenario.name_value(POISON, "POISON")
    for t in range(threads):
        scenario.run(thread_register)
        scenario.label(THREADS_AT + t * THREAD_WORDS, f"thread {t}", THREAD)
    if words > FRAME_WORDS_AT:
        scenario.label(FRAMES_AT, "pool", POOL)
        scenario.label(FRAME_WORDS_AT, "frame", words=words // PAGE_WORDS, quiet=True)
    return scenario


def frames_are_safe(scenario: Scenario) -> None:
    """No access to a word of a frame that is in the pool."""
    static = int(scenario.arena.words[FRAMES_AT + POOL.static])
    first, last = static << PAGE_WORDS_SHIFT, len(scenario.arena)
    scenario.memory_safety(Owners(FRAME_WORDS_AT + static, first, last, PAGE_WORDS_SHIFT, FRAME_TAG_MASK))
