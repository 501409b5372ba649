"""spinlock: a test-and-test-and-set lock in one word.

Counterpart in Linux: spin_lock(), here in user space, where the holder may be preempted and there are fewer CPUs than threads.

Owns       the word `at` of whoever embeds it: 0 free, 1 taken
Guarantees L1  at most one thread is between spin_lock() and spin_unlock()
           L2  what the holder did is seen by the next holder
Context    may be taken inside an RCU read section; never call synchronize_rcu() or rcu_barrier() while holding one
Progress   blocking and unfair. After SPIN_LIMIT turns each turn gives the CPU away, so a preempted holder gets to run
"""

from gnomon.lang.atomics import cmpxchg, cpu_relax, fetch_add, read_once, store_release
from gnomon.lang.fixed import RCU_AT
from gnomon.lang.host import sched_yield
from gnomon.lang.kernel import kernel
from gnomon.sync.state import RCU

SPIN_LIMIT = 64


@kernel
def spin_pause(turn):
    """Spend turn number `turn` of a waiting loop. Returns the number of the next turn."""
    if turn < SPIN_LIMIT:
        cpu_relax()
    else:
        sched_yield()
    return turn + 1


@kernel
def spin_trylock(m, at):
    """Take the lock at `at` if it is free. Returns 1 if taken, 0 if not."""
    if read_once(m, at) != 0:
        return 0
    # full barrier, pairs with spin_unlock(): forbids reading what the last holder had yet to write
    return 1 if cmpxchg(m, at, 0, 1) == 0 else 0


@kernel
def spin_wait(m, at):
    """The contended half of spin_lock(), kept out of its callers' way. Returns 0 with the lock held."""
    fetch_add(m, RCU_AT + RCU.contended, 1)
    turn = 0
    while spin_trylock(m, at) == 0:
        turn = spin_pause(turn)
    return 0


@kernel
def spin_lock(m, at):
    """Take the lock at `at`, however long that takes. Returns 0."""
    if spin_trylock(m, at) == 0:
        spin_wait(m, at)
    return 0


@kernel
def spin_unlock(m, at):
    """Release the lock at `at`, which the caller holds. Returns 0."""
    store_release(m, at, 0)  # pairs with the cmpxchg of spin_trylock(): forbids a write under the lock that the next holder misses
    return 0


@kernel
def spin_is_locked(m, at):
    """1 if somebody holds the lock at `at` now; a hint, unless the caller knows that it is the holder."""
    return read_once(m, at)
