"""What kernels ask of the host."""

import threading
import time

import pytest
from lang_rig import compiled

from gnomon.lang import PAGE_WORDS, Arena, host


def test_is_the_compiled_clock_pythons_clock():
    clock = compiled(host.monotonic_ns)
    before, between, after = time.monotonic_ns(), clock(), time.monotonic_ns()
    assert before <= between <= after


def test_do_the_ticks_grow():
    ticks = compiled(host.cpu_ticks)
    first = ticks()
    end = time.monotonic() + 60
    while ticks() <= first:  # on another CPU the counter may be behind by a little
        assert time.monotonic() < end


def test_does_membarrier_succeed_once_registered():
    if not host.register_membarrier():
        pytest.skip("this host has no expedited membarrier")
    assert compiled(host.membarrier)() == 0 == host.membarrier()


def test_is_membarrier_refused_when_the_user_switched_it_off(monkeypatch):
    monkeypatch.setenv("GNOMON_MEMBARRIER", "off")
    assert host.register_membarrier() is False


def test_does_a_thread_asleep_on_a_word_wake_when_told_and_only_if_the_word_still_matches():
    wait, wake = compiled(host.futex_wait), compiled(host.futex_wake)
    arena = Arena(PAGE_WORDS)
    assert wait(arena, 64, 1, 1_000_000_000) == -1  # the word is 0
    woken = []
    thread = threading.Thread(target=lambda: woken.append(wait(arena, 64, 0, 600_000_000_000)))
    thread.start()
    while wake(arena, 64, 1) == 0:
        time.sleep(0.001)
    thread.join()
    assert woken == [0]


def test_does_a_sleeper_give_up_when_its_time_is_over():
    arena = Arena(PAGE_WORDS)
    before = time.monotonic()
    assert compiled(host.futex_wait)(arena, 64, 0, 30_000_000) == -1
    assert time.monotonic() - before >= 0.03
    assert host.futex_wait(arena, 64, 0, 1_000) == -1 and host.futex_wait(arena, 64, 1, 1_000) == -1


def test_does_yielding_return():
    assert compiled(host.sched_yield)() == 0 == host.sched_yield()
