"""Host: the memory and threads that machines of one process share: one arena, one frame pool, one RCU, the slab caches."""

from __future__ import annotations

import threading

from gnomon.errors import GnomonError
from gnomon.lang import PAGE_WORDS, Arena
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT
from gnomon.lang.host import register_membarrier
from gnomon.lang.warm import warm
from gnomon.mem.frames import frames_init, frames_set_debug, frames_set_watermarks
from gnomon.mem.pool import POOL
from gnomon.mem.shrinker import mem_thread_exit
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE, cache_init
from gnomon.mem.slab_page import CTOR_ZERO, TYPESAFE
from gnomon.mmu.release import do_batch
from gnomon.mmu.rmap import DESC
from gnomon.mmu.shadow_page import SP
from gnomon.sync.rcu import rcu_init
from gnomon.sync.thread import thread_register

MIN_FRAMES, LOW_FRAMES, HIGH_FRAMES = 32, 128, 256
BATCHES = 8
"""RCU batches at one look: their size is RCU's own (rcu_batch.py)."""


class Host:
    """An arena of `frames` page frames, ready for machines.

    Raises GnomonError when there are too few frames to begin with, MemoryError when the host refuses the mapping."""

    def __init__(self, frames: int, *, debug: bool = False):
        warm()  # a hart that spins while another thread compiles would wait behind the compiler's lock
        self.arena = Arena(frames * PAGE_WORDS)
        free = frames_init(self.arena, frames * PAGE_WORDS)
        if free < HIGH_FRAMES:
            overhead = FRAME_WORDS_AT // PAGE_WORDS
            raise GnomonError(
                f"a host of {frames} frames is too small: {overhead} frames are needed for its own tables and {HIGH_FRAMES} to work with"
            )
        frames_set_debug(self.arena, int(debug))
        frames_set_watermarks(self.arena, MIN_FRAMES, LOW_FRAMES, HIGH_FRAMES)
        rcu_init(self.arena, int(register_membarrier()))
        cache_init(self.arena, CACHE_SP, SP.size, TYPESAFE)  # who has an spte asks its owner, lockless too
        cache_init(self.arena, CACHE_DESC, DESC.size, TYPESAFE | CTOR_ZERO)
        cache_init(self.arena, CACHE_TABLE, PAGE_WORDS, TYPESAFE | CTOR_ZERO)
        self._lock = threading.Lock()

    def thread(self) -> int:
        """A thread slot for RCU and magazines. Raises GnomonError when all are taken."""
        with self._lock:
            t = thread_register(self.arena)
        if t < 0:
            raise GnomonError("every thread slot of the host is taken", hint="stop a machine first: each hart needs one")
        return t

    def thread_exit(self, t: int) -> None:
        """Give a slot back; its thread runs no kernels any more."""
        mem_thread_exit(self.arena, t)

    def housekeeping(self, t: int) -> None:
        """Move RCU on and free what has waited long enough. Called now and then by a thread of slot `t`."""
        for _ in range(BATCHES):
            if do_batch(self.arena, t) == 0:
                break

    @property
    def low(self) -> bool:
        """Whether the pool has fallen below its low watermark and is not back at the high one."""
        return bool(self.arena.words[FRAMES_AT + POOL.reclaim_wanted])
