"""rcu: readers that never wait, and writers that wait until every reader who might know the old has left.

Counterpart in Linux: rcu_read_lock() and synchronize_rcu_expedited(); the shape is liburcu's `memb` flavour (a word per reader, the
cost of ordering moved to the writer by membarrier(2)).

Owns       RCU.counter RCU.fenced RCU.completed   numbers of grace periods, each only grows
           THREAD.seen                            0, or the counter as its thread read it on entering a read section
Guarantees G1  a section that was inside when synchronize_rcu() was called, and may have met what its caller unlinked before, has
               ended when it returns; what it read and wrote is done
           G2  a section that begins later does not meet what was unlinked
           G3  completed >= n  implies  completed grace period n' for all n' <= n
Context    read sections do not nest, never sleep, never wait for a grace period; spinlocks may be taken inside
Readers    wait-free: a load, a store, a load of a flag; with membarrier no fence instruction at all
Progress   a grace period needs every reader inside to leave, nothing else; readers that keep coming do not delay it, because they
           come with the new number. Any thread finishes what another began. A thread stalled between the two halves of
           begin_grace_period() delays that number, not the next

Why one phase is enough
    liburcu and SRCU flip one bit twice, since a reader that loaded the bit long ago and stores it late looks current after two flips. Here
    the counter never repeats. A reader that loads c, stalls, and stores c late is only ever too *old*: a later grace period n > c waits for
    it. Take grace period n and a thread whose word the scan finds harmless:
      word >= n   it read the counter (acquire) from the increment to n or a later one, a full barrier after the unlinking: G2
      word == 0   it is outside, or its store is not visible yet. All threads passed a full barrier after the increment and before the
                  scan. A store before that barrier would be visible; so the store, and every load of that section after it, comes
                  after the barrier, hence after the unlinking: G2
    Any other word is a reader that may know: the scan reports it, and n does not complete. G3: the barrier and scan of n serve n' < n too.
    No barrier follows the scan: rcu_read_unlock() is a release and the scan an acquire, which costs x86 nothing.
"""

from gnomon.lang.atomics import barrier, cmpxchg, load_acquire, mb, read_once, store_release, write_once
from gnomon.lang.fixed import RCU_AT
from gnomon.lang.host import membarrier, sched_yield
from gnomon.lang.kernel import kernel
from gnomon.sync.spinlock import spin_pause
from gnomon.sync.state import RCU, THREAD, thread_block
from gnomon.sync.thread import advance_to

FIRST_GRACE_PERIOD = 1
BLIMIT, QHIMARK, QLOWMARK, DIVISOR = 10, 10_000, 100, 7
"""What kernel/rcu/tree.c begins with."""


@kernel(entry=True)
def rcu_init(m, usable):
    """Before any thread registers: set the counters up. `usable` is 1 if register_membarrier() succeeded. Returns 1 if membarrier will be
    used, else 0."""
    write_once(m, RCU_AT + RCU.counter, FIRST_GRACE_PERIOD)
    write_once(m, RCU_AT + RCU.fenced, FIRST_GRACE_PERIOD)
    write_once(m, RCU_AT + RCU.completed, FIRST_GRACE_PERIOD)
    write_once(m, RCU_AT + RCU.blimit, BLIMIT)
    write_once(m, RCU_AT + RCU.qhimark, QHIMARK)
    write_once(m, RCU_AT + RCU.qlowmark, QLOWMARK)
    write_once(m, RCU_AT + RCU.qovld, 2 * QHIMARK)
    write_once(m, RCU_AT + RCU.divisor, DIVISOR)
    works = 0
    if usable != 0 and membarrier() == 0:
        works = 1
    write_once(m, RCU_AT + RCU.membarrier, works)
    return works


@kernel
def rcu_read_lock(m, t):
    """Enter a read section of thread `t`, which is in none. Returns 0."""
    number = load_acquire(m, RCU_AT + RCU.counter)  # pairs with the cmpxchg of begin_grace_period(): forbids (G2) "new number, old pointer"
    write_once(m, thread_block(t) + THREAD.seen, number)
    # either one pairs with barrier_everywhere(): forbids (G1) "the scan misses our word, we load the pointer from before the unlinking"
    if read_once(m, RCU_AT + RCU.membarrier) != 0:
        barrier()
    else:
        mb()
    return 0


@kernel
def rcu_read_unlock(m, t):
    """Leave the read section of thread `t`. Returns 0."""
    # pairs with the load in oldest_reader(): forbids "freed, and a load of the section still to come"
    store_release(m, thread_block(t) + THREAD.seen, 0)
    return 0


@kernel
def rcu_read_held(m, t):
    """1 if thread `t`, the caller, is inside a read section."""
    return 1 if read_once(m, thread_block(t) + THREAD.seen) != 0 else 0


@kernel
def barrier_everywhere(m):
    """A full barrier here and, against the readers' compiler-only barrier(), on every thread. Returns 0."""
    if read_once(m, RCU_AT + RCU.membarrier) == 0:
        mb()  # pairs with the mb() of rcu_read_lock()
        return 0
    while membarrier() != 0:  # pairs with the barrier() of rcu_read_lock(). Fails only for want of host memory: skipping it would lose G1
        sched_yield()
    return 0


@kernel
def begin_grace_period(m, number):
    """Begin grace period `number`, if it is the next. Returns 1 if this call began it, 0 if another did."""
    # full barrier: what the caller unlinked is visible before the number; pairs with the load in rcu_read_lock()
    if cmpxchg(m, RCU_AT + RCU.counter, number - 1, number) != number - 1:
        return 0
    barrier_everywhere(m)
    advance_to(m, RCU_AT + RCU.fenced, number)  # pairs with the load in finish_grace_periods(): forbids a scan that runs before the barrier
    return 1


@kernel
def oldest_reader(m, limit):
    """The least number that a reader inside has stored, at most `limit`."""
    oldest = limit
    for t in range(read_once(m, RCU_AT + RCU.threads)):
        seen = load_acquire(m, thread_block(t) + THREAD.seen)  # pairs with rcu_read_unlock()
        if seen != 0 and seen < oldest:
            oldest = seen
    return oldest


@kernel
def finish_grace_periods(m):
    """Complete every grace period whose readers have left; waits for none. Returns the number of the last one completed."""
    fenced = load_acquire(m, RCU_AT + RCU.fenced)  # pairs with advance_to() in begin_grace_period()
    if load_acquire(m, RCU_AT + RCU.completed) < fenced:
        # full barrier after the scan: pairs with every load of `completed` that frees: forbids a free before the reader's last access
        advance_to(m, RCU_AT + RCU.completed, oldest_reader(m, fenced))
    return load_acquire(m, RCU_AT + RCU.completed)


@kernel
def rcu_snapshot(m):
    """The grace period that covers everything the caller has unlinked so far: safe to free once rcu_is_over() says so.

    Counterpart: get_state_synchronize_rcu()."""
    mb()  # pairs with the cmpxchg of begin_grace_period(): forbids "number from before the unlinking, grace period that began before it"
    return read_once(m, RCU_AT + RCU.counter) + 1


@kernel
def rcu_is_over(m, number):
    """1 if grace period `number` has completed. Counterpart: poll_state_synchronize_rcu()."""
    return 1 if load_acquire(m, RCU_AT + RCU.completed) >= number else 0  # pairs with advance_to() in finish_grace_periods()


@kernel
def synchronize_rcu(m, t):
    """Wait until every read section that may know what the caller unlinked has ended. Any number of callers at once share grace periods.

    Returns 0; -1 at once if thread `t` is itself in a read section, which would wait for itself."""
    if rcu_read_held(m, t) != 0:
        return -1
    number = rcu_snapshot(m)
    begin_grace_period(m, number)
    turn = 0
    while finish_grace_periods(m) < number:
        turn = spin_pause(turn)
    return 0


@kernel
def rcu_advance(m, t):
    """Move grace periods on without waiting: begin one if callbacks want it and none is under way, complete what can be completed.

    Returns the number of the last one completed. Callable anywhere, also inside a read section and under a lock."""
    counter = read_once(m, RCU_AT + RCU.counter)
    # one at a time: callbacks that come while it runs share the next
    if read_once(m, RCU_AT + RCU.wanted) > counter and finish_grace_periods(m) >= counter:
        begin_grace_period(m, counter + 1)
    return finish_grace_periods(m)
