"""RCU in batches: does a flood raise the batch, does it fall again, do grace periods hurry when they should?"""

from sync_rig import FREE_AT, both_worlds, rcu_arena

from gnomon.lang.fixed import RCU_AT
from gnomon.sync.rcu import BLIMIT, rcu_advance
from gnomon.sync.rcu_batch import MAX_BLIMIT, rcu_batch, rcu_batch_over
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_pending, rcu_take_ready
from gnomon.sync.state import RCU
from gnomon.sync.stats import sync_stats
from gnomon.sync.thread import thread_register

FUNC = 20


def filled(world, count, **marks):
    """An arena whose only thread has queued `count` callbacks under these marks."""
    arena = rcu_arena(0)
    t = thread_register(arena)
    for name, value in marks.items():
        arena.words[RCU_AT + getattr(RCU, name)] = value
    queue(world, arena, t, 0, count)
    return arena, t


def queue(world, arena, t, first, count):
    for n in range(first, first + count):
        world(call_rcu)(arena, t, FREE_AT + 3 * n, FUNC)


def run(world, arena, t, count):
    """Run `count` callbacks and end the batch."""
    for _ in range(count):
        world(rcu_advance)(arena, t)
        assert world(rcu_take_ready)(arena, t)
        world(rcu_done)(arena, t, 1)
    world(rcu_batch_over)(arena, t)


@both_worlds
def test_is_a_batch_blimit_and_a_share_of_a_long_queue(world):
    """bl = max(blimit, length >> divisor), as rcu_do_batch() has it."""
    arena, t = filled(world, 5)
    assert world(rcu_batch)(arena, t) == BLIMIT
    queue(world, arena, t, 5, 95)
    arena.words[RCU_AT + RCU.divisor] = 2
    assert world(rcu_batch)(arena, t) == 100 >> 2


@both_worlds
def test_does_a_flood_raise_the_batch_until_qlowmark(world):
    arena, t = filled(world, 20, qhimark=20, qlowmark=4)
    assert world(rcu_batch)(arena, t) == BLIMIT
    queue(world, arena, t, 20, 1)
    assert world(rcu_batch)(arena, t) == MAX_BLIMIT
    assert sync_stats(arena)["floods"] == 1
    queue(world, arena, t, 21, 20)
    assert sync_stats(arena)["floods"] == 1, "the next flood is qhimark further on"
    queue(world, arena, t, 41, 1)
    assert sync_stats(arena)["floods"] == 2
    run(world, arena, t, 37)
    assert rcu_pending(arena) == 5 and world(rcu_batch)(arena, t) == MAX_BLIMIT
    run(world, arena, t, 1)
    assert world(rcu_batch)(arena, t) == BLIMIT


@both_worlds
def test_does_nobody_hurry_without_a_flood(world):
    """A callback waits for whoever moves grace periods on; with `expedite`, above qovld, and in a flood call_rcu() does."""
    arena, _ = filled(world, 10)
    assert sync_stats(arena)["grace_periods_begun"] == 0
    for marks in ({"expedite": 1}, {"qovld": 9}, {"qhimark": 9}):
        arena, _ = filled(world, 10, **marks)
        found = sync_stats(arena)
        assert found["grace_periods_hurried"] > 0 and found["grace_periods_begun"] == found["grace_periods_hurried"]


@both_worlds
def test_is_no_queue_a_flood_when_the_marks_are_0(world):
    arena, t = filled(world, 200, qhimark=0, qovld=0)
    assert sync_stats(arena)["floods"] == 0 and world(rcu_batch)(arena, t) == BLIMIT
