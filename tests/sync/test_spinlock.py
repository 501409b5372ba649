"""spinlock: at most one inside (L1), and the next sees what the last did (L2)."""

import threading

import pytest
from sync_rig import FREE_AT, PATIENCE, both_worlds, rcu_arena, together

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.sync.spinlock import spin_is_locked, spin_lock, spin_pause, spin_trylock, spin_unlock
from gnomon.sync.stats import sync_stats

LOCK, COUNT, MET = FREE_AT, FREE_AT + 8, FREE_AT + 16


@kernel
def add_under_lock(m, n):
    """Add 1 to COUNT, n times, by a load and a store that only the lock protects."""
    for _ in range(n):
        spin_lock(m, LOCK)
        write_once(m, COUNT, read_once(m, COUNT) + 1)
        spin_unlock(m, LOCK)
    return 0


@kernel
def meet(m, turn):
    """Wait until both threads have come to `turn`, counted from 1."""
    fetch_add(m, MET, 1)
    spins = 0
    while read_once(m, MET) < 2 * turn:
        spins = spin_pause(spins)
    return 0


@kernel
def add_under_broken_lock(m, n):
    """The same with a lock that tests and sets in two steps. Each of two threads waits between the steps until the other is there too, and
    in what it takes for the locked part until the other is inside: what may happen on a bad day happens each time."""
    for i in range(n):
        spins = 0
        while read_once(m, LOCK) != 0:
            spins = spin_pause(spins)
        meet(m, 2 * i + 1)
        write_once(m, LOCK, 1)
        before = read_once(m, COUNT)
        meet(m, 2 * i + 2)
        write_once(m, COUNT, before + 1)
        spin_unlock(m, LOCK)
    return 0


@both_worlds
def test_is_a_taken_lock_refused_and_a_released_one_given(world):
    arena = rcu_arena(0)
    assert world(spin_trylock)(arena, LOCK) == 1 and world(spin_is_locked)(arena, LOCK) == 1
    assert world(spin_trylock)(arena, LOCK) == 0
    assert world(spin_unlock)(arena, LOCK) == 0 and world(spin_is_locked)(arena, LOCK) == 0
    assert world(spin_lock)(arena, LOCK) == 0 and world(spin_trylock)(arena, LOCK) == 0


def increments_lost(kernel, threads: int, each: int) -> int:
    arena = rcu_arena(0)
    together(*[(kernel, arena, each)] * threads)
    assert not arena.words[LOCK]
    return threads * each - int(arena.words[COUNT])


@pytest.mark.parametrize("threads", [2, 5])
def test_is_no_increment_lost_under_the_lock_with_more_threads_than_cpus_too(threads):
    assert increments_lost(add_under_lock, threads, 500_000) == 0


def test_would_this_test_notice_a_lock_that_is_none():
    assert increments_lost(add_under_broken_lock, 2, 200) == 200


@both_worlds
def test_does_a_waiter_get_the_lock_when_it_is_released_and_is_the_wait_counted(world):
    arena = rcu_arena(0)
    spin_lock(arena, LOCK)
    waiter = threading.Thread(target=world(spin_lock), args=(arena, LOCK), daemon=True)
    waiter.start()
    while sync_stats(arena)["contended_locks"] == 0:
        pass
    assert waiter.is_alive()
    spin_unlock(arena, LOCK)
    waiter.join(PATIENCE)
    assert not waiter.is_alive() and spin_is_locked(arena, LOCK) == 1
