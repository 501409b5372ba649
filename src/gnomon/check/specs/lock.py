"""Specification of the spinlock: taken in one step when free, by one thread at a time; giving it back publishes what was done inside."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, store_release
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel
def lock_take(m, at):
    """For spin_lock()."""
    while cmpxchg(m, at, 0, 1) != 0:
        pass
    return 0


@kernel
def lock_give(m, at):
    """For spin_unlock()."""
    return store_release(m, at, 0)


SPECIFIED_LOCK = {spin_lock: lock_take, spin_unlock: lock_give}
