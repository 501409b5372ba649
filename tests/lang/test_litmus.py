"""Litmus tests on real threads: what does this host do, and what do our barriers forbid?"""

import platform
import threading

import pytest

from gnomon.lang import PAGE_WORDS, Arena, kernel
from gnomon.lang.atomics import barrier, cpu_relax, load_acquire, mb, read_once, store_release, write_once
from gnomon.lang.host import membarrier, register_membarrier, sched_yield
from gnomon.lang.kernel import compile_kernel

X, Y, SEEN, TURN = 64, 72, 80, 96  # cache lines apart; SEEN has a word a thread
ROUNDS = 20_000
SPINS = 1000
NOTHING, FENCE, HEAVY, LIGHT = 0, 1, 2, 3


@kernel
def meet(m, me, turn):
    """Wait until both threads have come to `turn`."""
    store_release(m, TURN + 8 * me, turn)
    spins = 0
    while load_acquire(m, TURN + 8 - 8 * me) < turn:
        cpu_relax()
        spins += 1
        if spins > SPINS:  # the other one is not running: both may share a CPU now
            sched_yield()
    return 0


@kernel
def store_buffering(m, me, rounds, order):
    """Thread `me` of SB: store to mine, `order`, load the other's. Thread 0 returns in how many rounds both loads missed both stores."""
    mine = X
    other = Y
    if me == 1:
        mine = Y
        other = X
    both_missed = 0
    for n in range(rounds):
        meet(m, me, 3 * n + 1)
        write_once(m, mine, 1)
        if order == FENCE:
            mb()
        elif order == HEAVY:
            membarrier()
        elif order == LIGHT:
            barrier()
        write_once(m, SEEN + me, read_once(m, other))
        meet(m, me, 3 * n + 2)
        if me == 0 and read_once(m, SEEN) == 0 and read_once(m, SEEN + 1) == 0:
            both_missed += 1
        meet(m, me, 3 * n + 3)
        write_once(m, mine, 0)
    return both_missed


def run(orders, rounds=ROUNDS) -> int:
    compile_kernel(store_buffering)
    arena = Arena(PAGE_WORDS)
    result = []
    other = threading.Thread(target=store_buffering, args=(arena, 1, rounds, orders[1]))
    mine = threading.Thread(target=lambda: result.append(store_buffering(arena, 0, rounds, orders[0])))
    for thread in (other, mine):
        thread.start()
    for thread in (other, mine):
        thread.join()
    return result[0]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 is known to show it; elsewhere it is allowed, not certain")
def test_do_two_stores_pass_each_others_loads_without_a_barrier():
    assert any(run((NOTHING, NOTHING)) for _ in range(50))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="as above")
def test_does_the_compiler_barrier_alone_not_forbid_it():
    assert any(run((LIGHT, LIGHT)) for _ in range(50))


def test_does_mb_on_both_sides_forbid_it():
    assert run((FENCE, FENCE), 3 * ROUNDS) == 0


def test_does_membarrier_on_one_side_and_a_compiler_barrier_on_the_other_forbid_it():
    """The asymmetry RCU is built on: the reader pays nothing."""
    if not register_membarrier():
        pytest.skip("this host has no expedited membarrier")
    assert run((HEAVY, LIGHT), 10_000) == 0
