"""Does the explorer say what it found, what it did not, and why it stopped?"""

import signal
import threading

import pytest

from gnomon.check.explore import explore
from gnomon.check.oracle import choose, expect
from gnomon.check.programs.treiber import treiber
from gnomon.check.render import render
from gnomon.check.run import Run
from gnomon.check.scenario import Owners, Scenario, call
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, cpu_relax, mb, read_once, store_release, write_once
from gnomon.lang.host import membarrier

X, Y, A, B = 128, 136, 144, 152


@kernel
def store_then_look(m, mine, other, result):
    """Store buffering."""
    write_once(m, mine, 1)
    write_once(m, result, read_once(m, other))
    return 0


@kernel
def store_barrier_all_look(m, mine, other, result):
    """The writer's half of a membarrier protocol."""
    write_once(m, mine, 1)
    membarrier()
    write_once(m, result, read_once(m, other))
    return 0


@kernel
def take_both(m, first, second):
    """Two locks in the given order."""
    while cmpxchg(m, first, 0, 1) != 0:
        cpu_relax()
    while cmpxchg(m, second, 0, 1) != 0:
        cpu_relax()
    store_release(m, second, 0)
    store_release(m, first, 0)
    return 0


@kernel
def wait_for(m, at):
    """Spin until somebody sets the word."""
    while read_once(m, at) == 0:
        cpu_relax()
    return 0


@kernel
def set_it(m, at, value):
    """One store."""
    write_once(m, at, value)
    return 0


@kernel
def fill_buffer(m, at):
    """Six stores without a fence."""
    for i in range(6):
        write_once(m, at, i)
    return 0


@kernel
def follow(m, at):
    """Load through a pointer."""
    return read_once(m, read_once(m, at))


@kernel
def is_small(m, at):
    """A property."""
    return read_once(m, at) < 2


@kernel
def roll(m, at):
    """Nondeterminism."""
    value = choose(4)
    write_once(m, at, value * 10)
    expect(value != 3)
    return 0


@kernel
def look(m, at):
    """Only reads."""
    mb()
    return read_once(m, at)


def two(first, second) -> Scenario:
    scenario = Scenario("two", words=512)
    scenario.thread("a", first)
    scenario.thread("b", second)
    return scenario


def test_is_a_deadlock_of_spinning_threads_found_as_lack_of_progress():
    result = explore(two(call(take_both, X, Y), call(take_both, Y, X)), "sc")
    assert result.violated and result.property == "progress"
    assert "and then for ever:" in render(two(call(take_both, X, Y), call(take_both, Y, X)), result)
    assert explore(two(call(take_both, X, Y), call(take_both, X, Y)), "sc").proved


def test_is_waiting_for_somebody_who_comes_no_violation():
    assert explore(two(call(wait_for, X), call(set_it, X, 1)), "tso").proved
    assert explore(two(call(wait_for, X), call(set_it, Y, 1)), "tso").property == "progress"


def test_does_a_membarrier_on_one_side_forbid_store_buffering():
    def outcomes(model, first, second):
        return explore(two(call(first, X, Y, A), call(second, Y, X, B)), model, outcomes=(A, B)).outcomes

    assert (0, 0) not in outcomes("sc", store_then_look, store_then_look)
    assert (0, 0) in outcomes("tso", store_then_look, store_then_look)
    assert (0, 0) not in outcomes("tso", store_barrier_all_look, store_then_look)


def test_is_a_property_of_every_state_checked_in_every_state():
    scenario = two(call(set_it, X, 2), call(set_it, X, 1))
    scenario.always("X stays small", is_small, X)
    result = explore(scenario, "tso")
    assert result.property == "X stays small" and len(result.schedule) == 2
    scenario = two(call(set_it, X, 1), call(set_it, X, 0))
    scenario.always("X stays small", is_small, X)
    assert explore(scenario, "tso").proved


@pytest.mark.parametrize("pointer,reason", [(0, "null pointer"), (511, ""), (512, "outside memory"), (-1, "outside memory")])
def test_is_a_wild_pointer_told(pointer, reason):
    scenario = two(call(follow, X), call(set_it, Y, 1))
    scenario.store(X, pointer)
    assert explore(scenario).property == reason


def test_is_an_access_to_freed_memory_told():
    scenario = two(call(set_it, X, 0), call(look, 256))
    scenario.store(X, 1)
    scenario.memory_safety(Owners(at=X, first=256, last=384, granule=6))
    result = explore(scenario, "sc")
    assert result.violated and result.property == "use after free"


def test_is_every_choice_tried():
    scenario = two(call(roll, X), call(set_it, Y, 1))
    result = explore(scenario, "sc")
    assert result.property == "expectation"
    assert "chooses 3" in render(scenario, result)


def test_is_a_full_store_buffer_never_called_proved():
    result = explore(two(call(fill_buffer, X), call(look, X)), "tso", buffer=3)
    assert result.verdict == "bounded" and "store buffer of 3 entries" in result.reason
    assert explore(two(call(fill_buffer, X), call(look, X)), "tso", buffer=6).proved


def test_does_a_stopped_search_keep_and_label_what_it_has():
    stopped = explore(treiber(3), "sc", reduce=False, max_states=5000)
    assert stopped.verdict == "bounded" and stopped.states >= 5000 and "stopped at 5,000 states" in str(stopped)
    small = explore(treiber(3), "sc", reduce=False, memory=8 << 20)
    assert small.verdict == "bounded" and "memory limit of 8 MiB" in small.reason


def test_does_ctrl_c_keep_what_was_found(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_look", interrupt)
    result = explore(treiber(3), "sc")
    assert result.verdict == "bounded" and result.reason == "interrupted" and result.states > 0


def test_does_ctrl_c_reach_a_search_of_two_workers():
    timers = []

    def later(*_):
        """Once it searches, and not in the instant in which it says so."""
        if not timers:
            timers.append(threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)))
            timers[0].start()

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background may have it ignored
    try:
        result = explore(treiber(4, bare=True), "sc", reduce=False, workers=2, memory=16 << 30, progress=later)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert result.verdict == "bounded" and result.reason == "interrupted" and result.states > 0


def test_is_aba_found_and_the_tagged_stack_proved_under_both_models():
    for model in ("sc", "tso"):
        assert explore(treiber(2, tags=1), model).property == "expectation"
        assert explore(treiber(2), model).proved


def test_does_a_state_cost_at_most_32_bytes():
    result = explore(treiber(3, bare=True), "sc", reduce=False)
    assert result.proved and result.states > 100_000
    assert result.bytes_a_state <= 32


def test_is_a_scenario_without_threads_refused():
    with pytest.raises(ValueError, match="no threads"):
        explore(Scenario("empty", words=512))


def test_is_an_unknown_model_refused():
    with pytest.raises(ValueError, match="no memory model is named 'power'"):
        explore(two(call(look, X), call(look, Y)), "power")


def test_does_a_host_without_memory_leave_a_result_that_says_so(monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(Run, "_look", refuse)
    result = explore(treiber(2), "sc")
    assert result.verdict == "bounded" and result.reason.startswith("the host has no more memory") and result.states > 1
