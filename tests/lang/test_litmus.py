"""Litmus tests on real threads: what does this host do, and what do our barriers forbid?"""

import platform

import pytest

from gnomon.lang import PAGE_WORDS, Arena, kernel
from gnomon.lang.atomics import barrier, load_acquire, mb, read_once, store_release, write_once
from gnomon.lang.host import membarrier, monotonic_ns, register_membarrier
from gnomon.sync.spinlock import spin_pause
from hunting import LIMIT, apart, dither, needs_two_cpus, next_offset

X, Y, SEEN, TURN, STOP, MET, DITHER = 64, 72, 80, 96, 112, 120, 128  # cache lines apart; SEEN has a word a thread
ROUNDS = 20_000
LONGEST = 10.0
"""Seconds after which a run that finds nothing ends."""
ENOUGH = 1000
NOTHING, FENCE, HEAVY, LIGHT = 0, 1, 2, 3


@kernel
def meet(m, me, turn):
    """Wait until both threads have come to `turn`."""
    store_release(m, TURN + 8 * me, turn)
    spins = 0
    while load_acquire(m, TURN + 8 - 8 * me) < turn:
        spins = spin_pause(spins)
    return 0


@kernel
def store_buffering(m, me, rounds, order, for_ns):
    """Thread `me` of SB: store to mine, `order`, load the other's. Thread 0 counts in MET the rounds in which both loads saw both stores,
    and returns 1 if both missed both; it ends with the first round in which they do, or with the time."""
    mine = X
    other = Y
    if me == 1:
        mine = Y
        other = X
    both_missed = 0
    offset = 1
    until_ns = monotonic_ns() + for_ns
    for n in range(rounds):
        offset = next_offset(offset)
        meet(m, me, 3 * n + 1)
        dither(m, DITHER, offset, me)
        write_once(m, mine, 1)
        if order == FENCE:
            mb()
        elif order == HEAVY:
            membarrier()
        elif order == LIGHT:
            barrier()
        write_once(m, SEEN + me, read_once(m, other))
        meet(m, me, 3 * n + 2)
        if me == 0:
            seen = read_once(m, SEEN) + read_once(m, SEEN + 1)
            if seen == 2:
                write_once(m, MET, read_once(m, MET) + 1)
            elif seen == 0:
                both_missed += 1
            if both_missed or monotonic_ns() > until_ns:
                write_once(m, STOP, 1)
        meet(m, me, 3 * n + 3)
        write_once(m, mine, 0)
        if read_once(m, STOP) != 0:
            break
    return both_missed


def run(orders, rounds, seconds=LIMIT) -> tuple[int, int]:
    """Whether both threads missed the other's store in one of up to `rounds` rounds, and in how many the two met."""
    arena = Arena(PAGE_WORDS)
    jobs = [(store_buffering, arena, me, rounds, order, int(seconds * 1e9)) for me, order in enumerate(orders)]
    return apart(*jobs)[0], int(arena.words[MET])


@needs_two_cpus
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 is known to show it; elsewhere it is allowed, not certain")
@pytest.mark.parametrize("order", [NOTHING, LIGHT], ids=["nothing", "compiler barrier"])
def test_do_two_stores_pass_each_others_loads_without_a_barrier_of_the_cpu(order):
    missed, met = run((order, order), 1 << 40)
    if not missed and met < ENOUGH:
        pytest.skip(f"no two threads run at once here: in {LIMIT:g} s they met {met} times")
    assert missed, f"{met} times the two threads were at it at once, and no store was late"


def test_does_mb_on_both_sides_forbid_it():
    assert run((FENCE, FENCE), 3 * ROUNDS, LONGEST)[0] == 0


def test_does_membarrier_on_one_side_and_a_compiler_barrier_on_the_other_forbid_it():
    """The asymmetry RCU is built on: the reader pays nothing."""
    if not register_membarrier():
        pytest.skip("this host has no expedited membarrier")
    assert run((HEAVY, LIGHT), ROUNDS // 2, LONGEST)[0] == 0
