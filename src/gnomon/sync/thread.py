"""thread: slots of the threads that run kernels.

Counterpart in Linux: a CPU number, as per-CPU data uses it; here a thread asks for one and may give it back.

Owns       THREAD.used       1 while the slot is taken
           RCU.threads       never shrinks: scans of all threads stop there
Guarantees T1  a slot belongs to one thread at a time
           T2  a grace period that begins after thread_register() returned looks at its slot
           T3  no callback is lost with its thread: any thread takes from any queue (rcu_callbacks.py), so the queue of a
               slot that nobody holds is served like all others, and the slot's next thread goes on with it
Context    no lock held, outside a read section. The layer above empties its own per-thread lists before unregistering
Progress   lock-free
"""

from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release
from gnomon.lang.fixed import MAX_THREADS, RCU_AT
from gnomon.lang.kernel import kernel
from gnomon.sync.state import RCU, THREAD, thread_block


@kernel
def advance_to(m, at, value):
    """Raise the word at `at` to `value` unless it is there or beyond. Returns 1 if this call raised it, else 0.

    Full barrier before and after when it raises; a word so raised only grows."""
    while True:
        found = load_acquire(m, at)
        if found >= value:
            return 0
        if cmpxchg(m, at, found, value) == found:
            return 1


@kernel(entry=True)
def thread_register(m):
    """Take a slot for the calling thread. Returns its number `t`, or -1 when all MAX_THREADS are taken."""
    for t in range(MAX_THREADS):
        at = thread_block(t) + THREAD.used
        # full barrier, pairs with the release in thread_unregister(): forbids sharing counts with the thread that leaves
        if read_once(m, at) == 0 and cmpxchg(m, at, 0, 1) == 0:
            # full barrier before our first section's store to `seen`, pairs with the barrier of begin_grace_period(): forbids (T2) a
            # scan that reads the old bound and yet a reader of this slot that was inside before the barrier
            advance_to(m, RCU_AT + RCU.threads, t + 1)
            return t
    return -1


@kernel(entry=True)
def thread_unregister(m, t):
    """Give slot `t` back. Returns 0, or -1 (nothing changed) if the thread is in a read section or has not reported callbacks it took."""
    block = thread_block(t)
    if read_once(m, block + THREAD.used) == 0 or read_once(m, block + THREAD.seen) != 0:
        return -1
    if read_once(m, block + THREAD.took) != read_once(m, block + THREAD.finished):
        return -1
    # pairs with the cmpxchg of thread_register(): forbids the next owner reading our counts half written
    store_release(m, block + THREAD.used, 0)
    return 0
