"""rcu_callbacks: taken once, never too early, and the barrier waits for all (Q1-Q3)."""

import threading

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sync_rig import FREE_AT, PATIENCE, both_worlds, rcu_arena

from gnomon.lang import twin
from gnomon.sync.rcu import rcu_advance, rcu_read_lock, rcu_read_unlock, synchronize_rcu
from gnomon.sync.rcu_callbacks import (
    call_rcu,
    rcu_barrier,
    rcu_barrier_begin,
    rcu_barrier_poll,
    rcu_done,
    rcu_pending,
    rcu_take_ready,
)
from gnomon.sync.state import RCU_HEAD
from gnomon.sync.stats import queue_lengths, sync_stats
from gnomon.sync.thread import thread_register

SLOTS = 3


class Callbacks(RuleBasedStateMachine):
    """A few slots read, queue, take and report in any order; the model knows which sections were open at each call_rcu()."""

    world = staticmethod(lambda k: k)

    def __init__(self):
        super().__init__()
        self.arena = rcu_arena(0)
        self.slots = [thread_register(self.arena) for _ in range(SLOTS)]
        self.inside: dict[int, int] = {}  # slot -> serial number of its section
        self.serial = 0
        self.waiting: dict[int, set[int]] = {}  # head -> sections that were open when it was queued
        self.running: dict[int, list[int]] = {t: [] for t in self.slots}
        self.barrier: dict[int, set[int]] = {}  # slot -> heads that its barrier must outlive
        self.next_head = FREE_AT
        self.counts = [0, 0]

    def run(self, kernel, *arguments):
        return self.world(kernel)(self.arena, *arguments)

    @rule(t=st.integers(0, SLOTS - 1))
    def enter_or_leave(self, t):
        if t in self.inside:
            del self.inside[t]
            self.run(rcu_read_unlock, t)
        else:
            self.serial += 1
            self.inside[t] = self.serial
            self.run(rcu_read_lock, t)

    @rule(t=st.integers(0, SLOTS - 1))
    def queue(self, t):
        head, self.next_head = self.next_head, self.next_head + RCU_HEAD.size
        assert self.run(call_rcu, t, head, 100 + t) == 0
        self.waiting[head] = set(self.inside.values())
        self.counts[0] += 1

    @rule(t=st.integers(0, SLOTS - 1))
    def advance(self, t):
        self.run(rcu_advance, t)

    @rule(t=st.integers(0, SLOTS - 1))
    def take(self, t):
        head = self.run(rcu_take_ready, t)
        if head:
            open_then = self.waiting.pop(head)  # KeyError: taken twice, or never queued
            assert not open_then & set(self.inside.values()), "taken while a section that was open at call_rcu() is open"
            self.running[t].append(head)

    @precondition(lambda self: any(self.running.values()))
    @rule(t=st.integers(0, SLOTS - 1))
    def done(self, t):
        if self.running[t]:
            self.running[t].pop(0)
            self.run(rcu_done, t, 1)
            self.counts[1] += 1

    @rule(t=st.integers(0, SLOTS - 1))
    def begin_barrier(self, t):
        refused = t in self.inside or bool(self.running[t])
        assert self.run(rcu_barrier_begin, t) == (-1 if refused else 0)
        if not refused:
            self.barrier[t] = self.incomplete()

    @rule(t=st.integers(0, SLOTS - 1))
    def poll_barrier(self, t):
        if t in self.barrier and self.run(rcu_barrier_poll, t):
            assert not self.barrier.pop(t) & self.incomplete()

    @precondition(lambda self: not self.inside)
    @rule(t=st.integers(0, SLOTS - 1))
    def everything_comes_through_when_no_reader_is_inside(self, t):
        for _ in range(3):
            self.run(rcu_advance, t)
        for _ in range(len(self.waiting)):
            self.take(t)
        assert not self.waiting
        for slot in self.slots:
            while self.running[slot]:
                self.done(slot)
        for slot in list(self.barrier):
            assert self.run(rcu_barrier_poll, slot) == 1
            del self.barrier[slot]

    def incomplete(self) -> set[int]:
        return set(self.waiting) | {head for heads in self.running.values() for head in heads}

    @invariant()
    def counters_agree(self):
        stats = sync_stats(self.arena)
        assert stats["callbacks_waiting"] == len(self.waiting) == sum(queue_lengths(self.arena)) == self.run(rcu_pending)
        assert [stats["callbacks_queued"], stats["callbacks_invoked"]] == self.counts


class InterpretedCallbacks(Callbacks):
    world = staticmethod(twin)


Callbacks.TestCase.settings = InterpretedCallbacks.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCompiled, TestInterpreted = Callbacks.TestCase, InterpretedCallbacks.TestCase


@both_worlds
def test_does_a_barrier_wait_for_a_callback_that_somebody_took_and_still_runs(world):
    arena = rcu_arena(0)
    a, b = world(thread_register)(arena), world(thread_register)(arena)
    world(call_rcu)(arena, a, FREE_AT, 77)
    world(synchronize_rcu)(arena, a)
    assert world(rcu_take_ready)(arena, b) == FREE_AT
    assert world(rcu_pending)(arena) == 0
    barrier = threading.Thread(target=world(rcu_barrier), args=(arena, a), daemon=True)
    barrier.start()
    barrier.join(0.05)
    assert barrier.is_alive()
    world(rcu_done)(arena, b, 1)
    barrier.join(PATIENCE)
    assert not barrier.is_alive()


@both_worlds
def test_do_callbacks_that_come_later_not_hold_a_barrier_up(world):
    arena = rcu_arena(0)
    a, b = world(thread_register)(arena), world(thread_register)(arena)
    world(rcu_barrier_begin)(arena, a)
    assert world(rcu_barrier_poll)(arena, a) == 1
    world(call_rcu)(arena, b, FREE_AT, 77)
    assert world(rcu_barrier_poll)(arena, a) == 1


@both_worlds
def test_is_the_longest_queue_remembered(world):
    arena = rcu_arena(0)
    t = world(thread_register)(arena)
    for n in range(5):
        world(call_rcu)(arena, t, FREE_AT + n * RCU_HEAD.size, 77)
    world(synchronize_rcu)(arena, t)
    while world(rcu_take_ready)(arena, t):
        world(rcu_done)(arena, t, 1)
    stats = sync_stats(arena)
    assert (stats["longest_queue"], stats["callbacks_waiting"], stats["callbacks_invoked"]) == (5, 0, 5)
