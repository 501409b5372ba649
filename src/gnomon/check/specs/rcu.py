"""Specification of RCU: a grace period ends when every reader that was inside has left.

Owns       THREAD.seen (BEGUN)  sections that thread has begun, noted: known to all at once, ordering nothing
           THREAD.line0 (ENDED) sections it has ended, a plain store: what the section stored is visible before it
Says       synchronize_rcu() returns once each section that was inside when it was called has ended, its stores included; the caller's
           earlier stores are visible to all by then. Nothing about sections that begin later, and no barrier on anybody else
Left out   callbacks: a scenario that uses call_rcu() runs the layer as shipped
"""

from __future__ import annotations

from gnomon.check.oracle import note
from gnomon.lang import kernel
from gnomon.lang.atomics import mb, read_once, write_once
from gnomon.lang.fixed import RCU_AT
from gnomon.sync.rcu import rcu_read_held, rcu_read_lock, rcu_read_unlock, synchronize_rcu
from gnomon.sync.state import RCU, THREAD, thread_block

BEGUN, ENDED = THREAD.seen, THREAD.line0


@kernel
def section_begin(m, t):
    """For rcu_read_lock()."""
    at = thread_block(t) + BEGUN
    return note(m, at, read_once(m, at) + 1)


@kernel
def section_end(m, t):
    """For rcu_read_unlock()."""
    return write_once(m, thread_block(t) + ENDED, read_once(m, thread_block(t) + BEGUN))


@kernel
def is_inside(m, t):
    """For rcu_read_held(), asked by `t` itself."""
    return int(read_once(m, thread_block(t) + BEGUN) != read_once(m, thread_block(t) + ENDED))


@kernel
def grace_period(m, t):
    """For synchronize_rcu()."""
    if is_inside(m, t):
        return -1
    mb()
    for reader in range(read_once(m, RCU_AT + RCU.threads)):
        begun = read_once(m, thread_block(reader) + BEGUN)
        while read_once(m, thread_block(reader) + ENDED) < begun:
            pass
    return 0


SPECIFIED_RCU = {rcu_read_lock: section_begin, rcu_read_unlock: section_end, rcu_read_held: is_inside, synchronize_rcu: grace_period}
