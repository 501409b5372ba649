"""shrinker: give memory back when the pool asks, and run the callbacks that do it.

Counterpart in Linux: do_shrink_slab() and rcu_do_batch().

Owns       nothing
Guarantees K1  shrink_all() gives up every empty page that no other thread's magazine keeps in use
           K2  a callback is reported complete after it ran, in the order taken (Q3)
Context    outside read sections, with no lock held that a callback may want
Progress   mem_callbacks() runs at most `budget` callbacks and never waits for a grace period
"""

from gnomon.lang.atomics import read_once
from gnomon.lang.fixed import MAX_CACHES
from gnomon.lang.kernel import kernel
from gnomon.mem.frames import frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mem.slab import FUNC_FREE_FRAME, FUNC_FREE_SLAB_PAGE, FUNC_USER, cache_shrink, shrink_callback, slab_flush_magazines
from gnomon.mem.slab_page import CACHE, cache_at
from gnomon.sync.rcu import rcu_advance
from gnomon.sync.rcu_callbacks import rcu_done, rcu_take_ready
from gnomon.sync.state import RCU_HEAD
from gnomon.sync.thread import thread_unregister


@kernel(entry=True)
def shrink_all(m, t):
    """Give up the empty pages of every cache, after emptying thread `t`'s magazines. Returns how many; type-stable
    ones reach the pool after a grace period."""
    slab_flush_magazines(m, t)
    given = 0
    for cache in range(MAX_CACHES):
        if read_once(m, cache_at(cache) + CACHE.object_words) != 0:
            given += cache_shrink(m, t, cache)
    return given


@kernel
def mem_callback(m, head):
    """Run the callback at `head` if it is one of this layer's. Returns 1, or 0 if it belongs to a layer above."""
    func = read_once(m, head + RCU_HEAD.func)
    if func >= FUNC_USER:
        return 0
    if func == FUNC_FREE_SLAB_PAGE:
        shrink_callback(m, head)
    elif func == FUNC_FREE_FRAME:
        frame_free(m, head >> PAGE_WORDS_SHIFT)
    return 1


@kernel(entry=True)
def mem_callbacks(m, t, budget):
    """Move grace periods on, then take and run up to `budget` callbacks. Returns 0 when nothing is ready or the budget is spent.

    A callback numbered FUNC_USER or more is not ours: its head is returned at once; the caller runs it, reports rcu_done(m, t, 1), and
    calls again. FUNC_FREE_FRAME frees the frame in which the head lies."""
    rcu_advance(m, t)
    for _ in range(budget):
        head = rcu_take_ready(m, t)
        if head == 0:
            return 0
        if mem_callback(m, head) == 0:
            return head
        rcu_done(m, t, 1)
    return 0


@kernel(entry=True)
def mem_thread_exit(m, t):
    """Empty thread `t`'s magazines and give its slot back. Returns as thread_unregister()."""
    slab_flush_magazines(m, t)
    return thread_unregister(m, t)
