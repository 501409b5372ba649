"""Does a sleeper wake for what it waits for, and is one that sleeps for ever seen?"""

import pytest

from gnomon.check.explore import explore
from gnomon.check.frontend import OutsideDialect
from gnomon.check.oracle import expect
from gnomon.check.render import render
from gnomon.check.scenario import Scenario, call
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, read_once, write_once, xchg
from gnomon.lang.host import futex_wait, futex_wake

WORD, FLAG, DONE, COUNT, OTHER = 128, 136, 144, 152, 160
FREE, HELD, WANTED = 0, 1, 2


@kernel
def sleep_until_set(m, seen_first):
    """Wait for FLAG: with the count of WORD read before the flag, as it should be, or after."""
    while True:
        seen = 0
        if seen_first:
            seen = read_once(m, WORD)
        if read_once(m, FLAG):
            return 0
        if seen_first == 0:
            seen = read_once(m, WORD)
        futex_wait(m, WORD, seen, 1000)


@kernel
def sleep_once(m, at, expected, timeout):
    """One futex_wait()."""
    return futex_wait(m, at, expected, timeout)


@kernel
def set_then_wake(m, stores_first):
    """The other side: the flag before the count and the wake, or behind."""
    if stores_first:
        write_once(m, FLAG, 1)
    fetch_add(m, WORD, 1)
    futex_wake(m, WORD, 1)
    if stores_first == 0:
        write_once(m, FLAG, 1)
    return 0


@kernel
def set_and_wake_none(m, at):
    """Counts and never wakes."""
    write_once(m, FLAG, 1)
    fetch_add(m, WORD, 1)
    return 0


@kernel
def wake_one(m, at):
    """Wakes one."""
    return futex_wake(m, at, 1)


@kernel
def wake_all(m, at):
    """Wakes everybody."""
    return futex_wake(m, at, 1000)


@kernel
def wake_two(m, at):
    """What the explorer refuses."""
    return futex_wake(m, at, 2)


@kernel
def plain_store_wake(m, at):
    """Stores, unfenced, and wakes: the system call's barrier is between the store and the look at who sleeps."""
    write_once(m, at, 1)
    futex_wake(m, at, 1)
    return 0


@kernel
def tick_for_ever(m, at):
    """Somebody who is always busy."""
    while True:
        xchg(m, at, 0)


@kernel
def mutex_lock(m, at):
    """A lock that sleeps: 0 free, 1 held, 2 held and wanted."""
    found = cmpxchg(m, at, FREE, HELD)
    if found == FREE:
        return 0
    if found != WANTED:
        found = xchg(m, at, WANTED)
    while found != FREE:
        futex_wait(m, at, WANTED, 1000)
        found = xchg(m, at, WANTED)
    return 0


@kernel
def mutex_lock_held(m, at):
    """Mutant: whoever was woken takes it as held and not wanted, though others may sleep."""
    found = cmpxchg(m, at, FREE, HELD)
    while found != FREE:
        if found == WANTED or cmpxchg(m, at, HELD, WANTED) != FREE:
            futex_wait(m, at, WANTED, 1000)
        found = cmpxchg(m, at, FREE, HELD)
    return 0


@kernel
def mutex_unlock(m, at):
    """Give it back, waking one if somebody may sleep."""
    if xchg(m, at, FREE) == WANTED:
        futex_wake(m, at, 1)
    return 0


@kernel
def add_under_mutex(m, at):
    """An increment that only a lock makes whole."""
    mutex_lock(m, WORD)
    write_once(m, at, read_once(m, at) + 1)
    mutex_unlock(m, WORD)
    return 0


@kernel
def took(m, at):
    """Claim that the wait was ended by nothing but a wake."""
    expect(futex_wait(m, at, 0, 1000) == 0)
    return 0


@kernel
def equals(m, at, value):
    """1 if the word at `at` is `value`."""
    return read_once(m, at) == value


def made(*threads, **how) -> Scenario:
    scenario = Scenario("futex", words=512, **how)
    for n, one in enumerate(threads):
        scenario.thread(f"t{n}", one)
    return scenario


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("small", [1, 1 << 30])
def test_is_a_lost_wakeup_found(model, small):
    """Count before condition, condition before count and wake: each order broken is a sleep for ever."""
    for seen_first, stores_first in ((1, 1), (0, 1), (1, 0), (0, 0)):
        scenario = made(call(sleep_until_set, seen_first), call(set_then_wake, stores_first))
        result = explore(scenario, model, small=small)
        assert result.proved if seen_first and stores_first else result.property == "deadlock", (seen_first, stores_first, str(result))
    text = render(scenario, result)
    assert "t0 sleeps on word 128" in text and "nobody wakes it" in text and "sleeps: word 128 = " in text


def test_is_a_change_without_a_wake_a_sleep_for_ever():
    assert explore(made(call(sleep_until_set, 1), call(set_and_wake_none, WORD)), "sc").property == "deadlock"


def test_may_kernels_that_poll_count_on_the_time():
    poll = made(call(sleep_until_set, 0), call(set_and_wake_none, WORD), time_passes=True)
    assert explore(poll, "tso").proved


def test_may_the_time_be_up_whenever_it_likes():
    result = explore(made(call(took, WORD), call(wake_one, WORD)), "sc")
    assert result.property == "expectation"


def test_is_a_sleeper_missed_while_somebody_else_is_busy_for_ever():
    scenario = made(call(sleep_once, WORD, 0, 1000))
    scenario.thread("busy", call(tick_for_ever, OTHER), forever=True)
    result = explore(scenario, "sc")
    assert result.property == "progress" and "t0 sleeps on word 128" in render(scenario, result)


def test_may_a_thread_that_serves_for_ever_sleep_at_the_end():
    scenario = made(call(set_and_wake_none, WORD))
    scenario.thread("server", call(sleep_once, OTHER, 0, 1000), forever=True)
    scenario.at_end("counted", equals, WORD, 1)
    assert explore(scenario, "tso").proved
    scenario.at_end("counted twice", equals, WORD, 2)
    assert explore(scenario, "tso").property == "counted twice"


@pytest.mark.parametrize("expected,timeout", [(1, 1000), (0, 0), (0, -5), (1 << 31, 1000)])
def test_does_a_wait_for_what_is_not_so_or_no_time_return_at_once(expected, timeout):
    assert explore(made(call(sleep_once, WORD, expected, timeout)), "tso").proved


def test_are_the_low_32_bits_what_counts():
    assert explore(made(call(sleep_once, WORD, 1 << 32, 1000)), "sc").property == "deadlock"


def test_is_each_sleeper_tried_by_a_wake_of_one_and_all_by_a_greater():
    def sleepers(waker, times):
        threads = [call(sleep_once, WORD, 0, 1000, into=COUNT + n) for n in range(2)]
        scenario = made(*threads)
        scenario.thread("waker", *(call(waker, WORD, into=OTHER + n) for n in range(times)))
        return explore(scenario, "sc", outcomes=(COUNT, COUNT + 1, OTHER), max_seconds=600)

    assert sleepers(wake_one, 1).property == "deadlock"
    some = sleepers(wake_all, 1)
    assert some.property == "deadlock"  # who comes after the wake
    told = explore(made(call(sleep_once, WORD, 0, 1000, into=COUNT), call(sleep_once, WORD, 0, 1000, into=COUNT + 1),
                        call(wake_one, WORD, into=OTHER), time_passes=True), "sc", outcomes=(COUNT, COUNT + 1, OTHER))  # fmt: skip
    assert told.outcomes == {(-1, -1, 0), (0, -1, 1), (-1, 0, 1)}
    told = explore(made(call(sleep_once, WORD, 0, 1000, into=COUNT), call(sleep_once, WORD, 0, 1000, into=COUNT + 1),
                        call(wake_all, WORD, into=OTHER), time_passes=True), "sc", outcomes=(COUNT, COUNT + 1, OTHER))  # fmt: skip
    assert told.outcomes == {(-1, -1, 0), (0, -1, 1), (-1, 0, 1), (0, 0, 2)}


def test_does_the_system_call_order_the_store_before_the_look_at_sleepers():
    """Under TSO the store would stay in its buffer while the waker finds nobody asleep."""
    for model in ("sc", "tso"):
        assert explore(made(call(sleep_once, WORD, 0, 1000), call(plain_store_wake, WORD)), model).proved


@pytest.mark.parametrize("small", [1, 1 << 30])
@pytest.mark.parametrize("model", ["sc", "tso"])
def test_is_a_lock_that_sleeps_right_and_its_famous_mutant_not(model, small):
    def contenders(**how):
        scenario = made(*(call(add_under_mutex, COUNT) for _ in range(3)), **how)
        scenario.at_end("every increment counted", equals, COUNT, 3)
        return explore(scenario, model, small=small)

    assert contenders().proved
    assert contenders(replace={mutex_lock: mutex_lock_held}).property == "deadlock"


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_do_all_reductions_agree_where_threads_sleep(model):
    for lock in (mutex_lock, mutex_lock_held):
        found = []
        for how in ({"reduce": False}, {"partial_order": False}, {"small": 1}):
            scenario = made(*(call(add_under_mutex, COUNT) for _ in range(2)), call(add_under_mutex, OTHER), replace={mutex_lock: lock})
            found.append(explore(scenario, model, outcomes=(COUNT, OTHER, WORD), **how))
        assert len({(r.verdict, r.property) for r in found}) == 1, [str(r) for r in found]
        if found[0].proved:
            assert found[0].outcomes == found[1].outcomes == found[2].outcomes
            assert found[0].states >= found[1].states


def test_is_a_wake_of_two_refused_with_its_line():
    with pytest.raises(OutsideDialect, match=r"test_futex.py:\d+ futex_wake\(\) wakes one, or at least 8"):
        explore(made(call(wake_two, WORD)))
