"""thread: slots of threads (T1-T3)."""

from sync_rig import FREE_AT, both_worlds, rcu_arena, together

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add
from gnomon.lang.fixed import MAX_THREADS
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock, synchronize_rcu
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_queue_length, rcu_take_ready
from gnomon.sync.thread import thread_register, thread_unregister


@both_worlds
def test_is_there_a_slot_for_max_threads_and_minus_1_for_the_next(world):
    arena = rcu_arena(0)
    register = world(thread_register)
    assert [register(arena) for _ in range(MAX_THREADS)] == list(range(MAX_THREADS))
    assert register(arena) == -1
    assert world(thread_unregister)(arena, 5) == 0
    assert register(arena) == 5 and register(arena) == -1


@both_worlds
def test_is_leaving_refused_inside_a_read_section_and_twice(world):
    arena = rcu_arena(0)
    t = world(thread_register)(arena)
    world(rcu_read_lock)(arena, t)
    assert world(thread_unregister)(arena, t) == -1
    world(rcu_read_unlock)(arena, t)
    assert world(thread_unregister)(arena, t) == 0
    assert world(thread_unregister)(arena, t) == -1


@both_worlds
def test_do_the_callbacks_of_a_thread_that_left_reach_another(world):
    arena = rcu_arena(0)
    left, stays = world(thread_register)(arena), world(thread_register)(arena)
    world(call_rcu)(arena, left, FREE_AT, 77)
    assert world(thread_unregister)(arena, left) == 0
    assert world(synchronize_rcu)(arena, stays) == 0
    assert world(rcu_take_ready)(arena, stays) == FREE_AT
    assert world(rcu_queue_length)(arena, left) == 0


@both_worlds
def test_is_leaving_with_callbacks_taken_and_not_reported_refused(world):
    arena = rcu_arena(0)
    t = world(thread_register)(arena)
    world(call_rcu)(arena, t, FREE_AT, 77)
    world(synchronize_rcu)(arena, t)
    assert world(rcu_take_ready)(arena, t) == FREE_AT
    assert world(thread_unregister)(arena, t) == -1
    world(rcu_done)(arena, t, 1)
    assert world(thread_unregister)(arena, t) == 0


@kernel
def churn_slots(m, rounds):
    """Register, claim the slot's own word, leave; count each time that the slot was somebody else's too."""
    for _ in range(rounds):
        t = thread_register(m)
        if t >= 0:
            if cmpxchg(m, FREE_AT + t, 0, 1) != 0:
                fetch_add(m, FREE_AT + MAX_THREADS, 1)
            cmpxchg(m, FREE_AT + t, 1, 0)
            thread_unregister(m, t)
    return 0


def test_does_a_slot_ever_belong_to_two_threads():
    arena = rcu_arena(0)
    together(*[(churn_slots, arena, 50_000)] * 3)
    assert arena.words[FREE_AT + MAX_THREADS] == 0
