"""rcu: who may a writer overtake (G1-G3)? Directed: one thread plays several slots, so each interleaving is exact."""

import threading

import pytest
from sync_rig import PATIENCE, both_orders, both_worlds, rcu_arena

from gnomon.lang.fixed import RCU_AT
from gnomon.sync.rcu import (
    FIRST_GRACE_PERIOD,
    begin_grace_period,
    finish_grace_periods,
    rcu_advance,
    rcu_is_over,
    rcu_read_held,
    rcu_read_lock,
    rcu_read_unlock,
    rcu_snapshot,
    synchronize_rcu,
)
from gnomon.sync.state import RCU, THREAD, thread_block
from gnomon.sync.stats import sync_stats
from gnomon.sync.thread import thread_register


@pytest.fixture(params=[1, 0], ids=["membarrier", "mb"])
def arena(request):
    made = rcu_arena(request.param)
    for _ in range(3):
        thread_register(made)
    return made


@both_worlds
def test_does_a_grace_period_wait_for_a_reader_inside_and_end_when_it_leaves(world, arena):
    world(rcu_read_lock)(arena, 1)
    number = world(rcu_snapshot)(arena)
    assert world(begin_grace_period)(arena, number) == 1
    assert world(finish_grace_periods)(arena) < number and not world(rcu_is_over)(arena, number)
    world(rcu_read_unlock)(arena, 1)
    assert world(finish_grace_periods)(arena) == number and world(rcu_is_over)(arena, number)


@both_worlds
def test_do_readers_that_keep_coming_not_delay_it(world, arena):
    world(rcu_read_lock)(arena, 1)
    number = world(rcu_snapshot)(arena)
    world(begin_grace_period)(arena, number)
    world(rcu_read_lock)(arena, 2)  # came after the increment
    world(rcu_read_unlock)(arena, 1)
    assert world(finish_grace_periods)(arena) == number


@both_worlds
def test_is_a_reader_that_stores_an_old_number_late_waited_for_by_every_later_grace_period(world, arena):
    """The interleaving for which other designs flip twice."""
    old = int(arena.words[RCU_AT + RCU.counter])  # reader 1 has loaded the counter and stalls before its store
    for n in range(3):
        assert world(begin_grace_period)(arena, old + 1 + n) == 1
        assert world(finish_grace_periods)(arena) == old + 1 + n
    arena.words[thread_block(1) + THREAD.seen] = old
    number = world(rcu_snapshot)(arena)
    world(begin_grace_period)(arena, number)
    assert world(finish_grace_periods)(arena) == number - 1
    world(rcu_read_unlock)(arena, 1)
    assert world(finish_grace_periods)(arena) == number


@both_worlds
def test_does_the_end_of_one_grace_period_end_all_older_ones_and_no_younger(world, arena):
    first = world(rcu_snapshot)(arena)
    world(begin_grace_period)(arena, first)
    world(rcu_read_lock)(arena, 1)  # knows `first`, so delays only what comes after
    world(begin_grace_period)(arena, first + 1)
    world(begin_grace_period)(arena, first + 2)
    assert world(finish_grace_periods)(arena) == first
    world(rcu_read_unlock)(arena, 1)
    assert world(finish_grace_periods)(arena) == first + 2


@both_worlds
def test_is_a_number_begun_by_one_caller_only(world, arena):
    number = world(rcu_snapshot)(arena)
    assert [world(begin_grace_period)(arena, number) for _ in range(2)] == [1, 0]
    assert world(begin_grace_period)(arena, number + 5) == 0


@both_worlds
def test_does_nobody_scan_before_the_barrier_of_the_number_is_done(world, arena):
    """A thread stalled between the increment and `fenced` must not let others complete the number."""
    number = int(arena.words[RCU_AT + RCU.counter]) + 1
    arena.words[RCU_AT + RCU.counter] = number  # the first half of begin_grace_period()
    assert world(finish_grace_periods)(arena) == number - 1
    assert world(begin_grace_period)(arena, number + 1) == 1  # the next one overtakes it and serves it too
    assert world(finish_grace_periods)(arena) == number + 1


@both_worlds
def test_does_waiting_inside_a_section_fail_at_once(world, arena):
    world(rcu_read_lock)(arena, 0)
    assert world(rcu_read_held)(arena, 0) == 1 and world(synchronize_rcu)(arena, 0) == -1
    world(rcu_read_unlock)(arena, 0)
    assert world(rcu_read_held)(arena, 0) == 0 and world(synchronize_rcu)(arena, 0) == 0


@both_worlds
def test_does_a_wait_come_back_only_after_the_reader_left(world, arena):
    world(rcu_read_lock)(arena, 1)
    waiter = threading.Thread(target=world(synchronize_rcu), args=(arena, 0), daemon=True)
    waiter.start()
    while sync_stats(arena)["grace_periods_begun"] == 0:
        pass
    waiter.join(0.05)
    assert waiter.is_alive()
    world(rcu_read_unlock)(arena, 1)
    waiter.join(PATIENCE)
    assert not waiter.is_alive()


@both_worlds
def test_are_no_grace_periods_begun_when_nobody_wants_one(world, arena):
    for _ in range(10):
        world(rcu_advance)(arena, 0)
    assert sync_stats(arena)["grace_periods_begun"] == 0


@both_orders
def test_do_waiters_share_grace_periods(heavy):
    """Many callers at once, no reader: at most one grace period a call, and all come back."""
    arena = rcu_arena(heavy)
    slots = [thread_register(arena) for _ in range(6)]
    threads = [threading.Thread(target=lambda t=t: [synchronize_rcu(arena, t) for _ in range(50)], daemon=True) for t in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    stats = sync_stats(arena)
    assert 50 <= stats["grace_periods_begun"] <= 6 * 50
    assert stats["grace_periods_completed"] == stats["grace_periods_begun"]
    assert arena.words[RCU_AT + RCU.fenced] == FIRST_GRACE_PERIOD + stats["grace_periods_begun"]
