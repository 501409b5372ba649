"""RCU as shipped: grace periods in both flavours, a writer inside a reader, callbacks."""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.stage import DATA_AT, POISON, stage
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.lang.fixed import RCU_AT
from gnomon.sync.rcu import (
    barrier_everywhere,
    finish_grace_periods,
    rcu_advance,
    rcu_read_held,
    rcu_read_lock,
    rcu_read_unlock,
    synchronize_rcu,
)
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_take_ready
from gnomon.sync.state import RCU, RCU_HEAD, THREAD, thread_block

POINTER_AT, OBJECT_AT, SECOND_AT, HEAD_AT = DATA_AT, DATA_AT + 8, DATA_AT + 16, DATA_AT + 24


@kernel
def read_section(m, t, pointer):
    """Follow the pointer inside a read section: what it points to is not freed."""
    rcu_read_lock(m, t)
    at = load_acquire(m, pointer)
    if at:
        expect(read_once(m, at) != POISON)
    rcu_read_unlock(m, t)
    return 0


@kernel
def unlink_and_free(m, t, pointer):
    """Unlink, wait for a grace period, free."""
    at = read_once(m, pointer)
    write_once(m, pointer, 0)
    synchronize_rcu(m, t)
    write_once(m, at, POISON)
    return 0


@kernel
def replace_and_free(m, t, pointer, fresh):
    """Put another object in the place, wait for a grace period, free the old."""
    at = read_once(m, pointer)
    store_release(m, pointer, fresh)
    synchronize_rcu(m, t)
    write_once(m, at, POISON)
    return 0


@kernel
def unlink_and_defer(m, t, pointer, head):
    """Unlink, leave the freeing to a callback."""
    write_once(m, pointer, 0)
    call_rcu(m, t, head, 16)
    return 0


@kernel
def run_one_callback(m, t):
    """Advance grace periods until a callback is ready, and act on it: its object lies before its head."""
    head = 0
    while head == 0:
        rcu_advance(m, t)
        head = rcu_take_ready(m, t)
    write_once(m, head + OBJECT_AT - HEAD_AT, POISON)
    rcu_done(m, t, 1)
    return 0


@kernel
def wait_inside(m, t):
    """A reader that waits for readers."""
    rcu_read_lock(m, t)
    synchronize_rcu(m, t)
    rcu_read_unlock(m, t)
    return 0


@kernel
def no_wait(m, t):
    """Mutant: no grace period at all."""
    return 0


@kernel
def no_barrier(m):
    """Mutant: the writer does not order the readers."""
    return 0


@kernel
def lock_without_fence(m, t):
    """Mutant: the reader of the mb() flavour forgets its fence."""
    number = load_acquire(m, RCU_AT + RCU.counter)
    write_once(m, thread_block(t) + THREAD.seen, number)
    return 0


@kernel
def never_held(m, t):
    """Mutant: nobody asks whether the caller reads."""
    return 0


@kernel
def finish_without_looking(m):
    """Mutant: grace periods complete whoever reads."""
    write_once(m, RCU_AT + RCU.completed, read_once(m, RCU_AT + RCU.fenced))
    return read_once(m, RCU_AT + RCU.completed)


def grace_period(membarrier: int):
    def build(mutant: Mutant | None) -> Scenario:
        scenario = stage(mutant, 3, membarrier=membarrier)
        scenario.store(POINTER_AT, OBJECT_AT)
        scenario.thread("reader", call(read_section, 0, POINTER_AT), call(read_section, 0, POINTER_AT))
        scenario.thread("reader 2", call(read_section, 1, POINTER_AT))
        scenario.thread("writer", call(replace_and_free, 2, POINTER_AT, SECOND_AT), call(unlink_and_free, 2, POINTER_AT))
        _labels(scenario)
        return scenario

    return build


def inside(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 1)
    scenario.thread("reader", call(wait_inside, 0))
    return scenario


def callbacks(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 3)
    scenario.store(POINTER_AT, OBJECT_AT)
    scenario.thread("reader", call(read_section, 0, POINTER_AT))
    scenario.thread("writer", call(unlink_and_defer, 1, POINTER_AT, HEAD_AT))
    scenario.thread("worker", call(run_one_callback, 2))
    _labels(scenario)
    return scenario


def _labels(scenario: Scenario) -> None:
    for at, name in ((POINTER_AT, "pointer"), (OBJECT_AT, "object"), (SECOND_AT, "second object")):
        scenario.label(at, name)
    scenario.label(HEAD_AT, "head", RCU_HEAD)


no_waiting = Mutant("frees without a grace period", {synchronize_rcu: no_wait}, property="expectation")
register(
    Entry(
        "rcu/grace-period",
        "a reader never sees what was freed after synchronize_rcu(), with membarrier and fence-free readers (G1, G2)",
        grace_period(1),
        {
            "no-wait": no_waiting,
            "no-membarrier": Mutant(
                "no barrier on the readers' CPUs", {barrier_everywhere: no_barrier}, models=("tso",), property="expectation"
            ),
        },
    )
)
register(
    Entry(
        "rcu/grace-period-mb",
        "the same where the host has no membarrier: mb() on both sides (G1, G2)",
        grace_period(0),
        {
            "no-wait": no_waiting,
            "no-reader-fence": Mutant(
                "rcu_read_lock() without its mb()", {rcu_read_lock: lock_without_fence}, models=("tso",), property="expectation"
            ),
        },
    )
)
register(
    Entry(
        "rcu/wait-inside-reader",
        "synchronize_rcu() inside a read section returns at once instead of waiting for itself",
        inside,
        {"no-check": Mutant("the caller's own section is not asked for", {rcu_read_held: never_held}, property="progress")},
    )
)
register(
    Entry(
        "rcu/callback",
        "a callback runs once, after the readers of its object have left, on whichever thread (Q1, Q2)",
        callbacks,
        {"no-scan": Mutant("grace periods complete whoever reads", {finish_grace_periods: finish_without_looking}, property="expectation")},
    )
)
