"""Random programs over a few kernels that share, lock and keep words."""

import random

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, fetch_add, mb, read_once, store_release, write_once

LOCK, SHARED, GUARDED, PRIVATE, FIXED = 128, 136, 144, 152, 160


@kernel
def lock(m, at):
    """A spinlock."""
    while cmpxchg(m, at, 0, 1) != 0:
        pass
    return 0


@kernel
def unlock(m, at):
    """Give it back."""
    store_release(m, at, 0)
    return 0


@kernel
def locked_add(m, n, by):
    """Add under the lock."""
    lock(m, LOCK)
    write_once(m, GUARDED + n, read_once(m, GUARDED + n) + by)
    write_once(m, GUARDED + 1, read_once(m, GUARDED + n))
    unlock(m, LOCK)
    return 0


@kernel
def unlocked_look(m, n, t):
    """Read a guarded word without the lock, as a reader that should not."""
    write_once(m, PRIVATE + t, read_once(m, GUARDED + n))
    return 0


@kernel
def send(m, n, value):
    """Two stores that another thread may see in order."""
    write_once(m, SHARED + n, value)
    write_once(m, SHARED + 2, value + read_once(m, FIXED))
    return 0


@kernel
def receive(m, n, t):
    """Read them the other way round, remember privately, with a fence when the scenario says so."""
    a = read_once(m, SHARED + 2)
    if read_once(m, FIXED + 1):
        mb()
    b = read_once(m, SHARED + n)
    write_once(m, PRIVATE + t, read_once(m, PRIVATE + t) * 4 + a + b)
    return 0


@kernel
def count(m, n, by):
    """A locked addition."""
    fetch_add(m, SHARED + n, by)
    return 0


@kernel
def claim(m, n, value):
    """Claim something that may be false: a violation in some order."""
    expect(read_once(m, SHARED + n) <= value + 2)
    return 0


@kernel
def flag(m, n, t):
    """Store, then look at the other's store: what TSO reorders."""
    write_once(m, SHARED + n, 1)
    write_once(m, PRIVATE + t, read_once(m, SHARED + (1 ^ n)))
    return 0


@kernel
def wait(m, n, least):
    """Spin until somebody counted far enough: perhaps for ever."""
    while read_once(m, SHARED + n) < least:
        pass
    return 0


@kernel
def no_lock(m, at):
    """What a scenario wrongly calls a lock: looks, then stores."""
    while read_once(m, at) != 0:
        pass
    write_once(m, at, 1)
    return 0


@kernel
def nothing_lock(m, at):
    """What a scenario wrongly calls a lock: does nothing at all."""
    return 0


@kernel
def equals(m, at, value):
    """1 if the word at `at` is `value`."""
    return read_once(m, at) == value


def setup_words() -> tuple[int, ...]:
    """Words whose final values are compared."""
    return (*range(SHARED, SHARED + 3), *range(GUARDED, GUARDED + 2), *range(PRIVATE, PRIVATE + 3))


def random_program(seed: int) -> Scenario:
    rng = random.Random(seed)
    scenario = Scenario(f"random/{seed}", words=512, locks=((lock, unlock),) if seed % 3 else ())
    scenario.store(FIXED, rng.randint(0, 1))
    scenario.store(FIXED + 1, rng.randint(0, 1))
    kinds = [locked_add, locked_add, unlocked_look, send, receive, count, flag]
    if seed % 5 == 0:
        kinds.append(claim)
    if seed % 4 == 1:
        kinds += [wait, count]
    for t in range(2 + (seed % 4 == 0)):
        calls = []
        for _ in range(rng.randint(1, 2)):
            k = rng.choice(kinds)
            private = k in (unlocked_look, receive, flag)
            calls.append(call(k, rng.randint(0, 1), t if private else rng.randint(1, 2)))
        scenario.thread(f"t{t}", *calls)
    return scenario
