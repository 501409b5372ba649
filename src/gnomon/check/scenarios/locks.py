"""The spinlock: L1 exclusion and L2 visibility, as shipped."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.stage import DATA_AT, stage
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.sync.spinlock import spin_lock, spin_trylock, spin_unlock

LOCK_AT, COUNTER_AT = DATA_AT, DATA_AT + 8


@kernel
def add_one(m, lock, counter):
    """An increment that only a lock makes whole."""
    spin_lock(m, lock)
    write_once(m, counter, read_once(m, counter) + 1)
    spin_unlock(m, lock)
    return 0


@kernel
def equals(m, at, value):
    """1 if the word at `at` is `value`."""
    return read_once(m, at) == value


@kernel
def trylock_in_two(m, at):
    """Mutant: looks, then stores."""
    if read_once(m, at) != 0:
        return 0
    write_once(m, at, 1)
    return 1


@kernel
def hold_both(m, first, second):
    """Take two locks, the lower word first."""
    spin_lock(m, first)
    spin_lock(m, second)
    spin_unlock(m, second)
    spin_unlock(m, first)
    return 0


@kernel
def hold_crosswise(m, first, second):
    """Mutant of hold_both(): the order depends on who comes second."""
    if read_once(m, COUNTER_AT):
        spin_lock(m, second)
        spin_lock(m, first)
    else:
        write_once(m, COUNTER_AT, 1)
        spin_lock(m, first)
        spin_lock(m, second)
    spin_unlock(m, second)
    spin_unlock(m, first)
    return 0


def order(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 0)
    scenario.locks = ()
    for n in range(2):
        scenario.thread(f"thread {n}", call(hold_both, LOCK_AT, LOCK_AT + 1))
    scenario.label(LOCK_AT, "lock A")
    scenario.label(LOCK_AT + 1, "lock B")
    scenario.label(COUNTER_AT, "who came first")
    return scenario


def exclusion(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 0)
    scenario.locks = ()  # the lock itself is what is looked at: its words are no assumption
    for n in range(3):
        scenario.thread(f"thread {n}", call(add_one, LOCK_AT, COUNTER_AT), call(add_one, LOCK_AT, COUNTER_AT))
    scenario.at_end("every increment counted", equals, COUNTER_AT, 6)
    scenario.label(LOCK_AT, "lock")
    scenario.label(COUNTER_AT, "counter")
    return scenario


register(
    Entry(
        "lock/exclusion",
        "at most one thread is between spin_lock() and spin_unlock(), and the next sees what it wrote (L1, L2)",
        exclusion,
        {"two-steps": Mutant("takes the lock by a load and a store", {spin_trylock: trylock_in_two}, property="every increment counted")},
    )
)
register(
    Entry(
        "lock/order",
        "two threads that take two locks in one order get both",
        order,
        {"crosswise": Mutant("one takes A then B, the other B then A: deadlock", {hold_both: hold_crosswise}, property="progress")},
    )
)
