"""rcu_callbacks: what to do once a grace period is over, without waiting for it.

Counterpart in Linux: call_rcu(), rcu_do_batch(), rcu_barrier(). There the callback is a function; here `func` is a number, and the layer
that owns the number takes the callback by rcu_take_ready(), acts on it, and says rcu_done().

Owns       THREAD.lock first last ready_at queued taken longest   a queue a thread, oldest first
           THREAD.batch checked                                    the flood of that queue, with rcu_batch.py
           THREAD.took finished                                    what each thread has taken, and how much of it is complete
           THREAD.barrier_at barrier_goal                          a walk of rcu_barrier_poll()
           RCU.wanted                                              the newest grace period some callback needs
Guarantees Q1  a callback is taken once, after a grace period that began after its call_rcu()
           Q2  any thread takes from any queue: no callback waits for a thread that sleeps or has left
           Q3  rcu_barrier: every callback queued before it began was taken *and* reported complete when it ends
Context    call_rcu() anywhere, also inside a read section and under locks; the others outside read sections
Progress   a queue's lock is held for a few loads and stores; call_rcu() never waits for a grace period and refuses nobody. A limit on how
           many callbacks may wait is a policy of the caller, who can read queued - taken (RCU checklist, item 8)

Why the barrier is right
    Thread k takes C from queue q: it counts took[k], then taken[q], both under q's lock. A poll reads taken[q] >= its goal (acquire), so
    it sees took[k] count C, and its goal for k includes C; threads complete what they took in the order they took it, so finished[k] >=
    that goal says that C is complete, by whichever thread, whatever came in between.
"""

from gnomon.lang.atomics import load_acquire, read_once, store_release, write_once
from gnomon.lang.fixed import MAX_THREADS, RCU_AT
from gnomon.lang.kernel import kernel
from gnomon.sync.rcu import rcu_advance, rcu_read_held
from gnomon.sync.rcu_batch import flood_rising, rcu_hurry
from gnomon.sync.spinlock import spin_lock, spin_pause, spin_unlock
from gnomon.sync.state import RCU, RCU_HEAD, THREAD, thread_block
from gnomon.sync.thread import advance_to


@kernel
def call_rcu(m, t, head, func):
    """Queue the RCU_HEAD at `head` on thread `t`'s queue, to be taken with number `func` after a grace period. Returns 0.

    The caller has unlinked the object and nobody else queues it."""
    block = thread_block(t)
    # full barrier, pairs with the cmpxchg of begin_grace_period(): forbids stamping the callback before its object is unlinked for all
    spin_lock(m, block + THREAD.lock)
    number = read_once(m, RCU_AT + RCU.counter) + 1
    write_once(m, head + RCU_HEAD.next, 0)
    write_once(m, head + RCU_HEAD.func, func)
    write_once(m, head + RCU_HEAD.goal, number)
    last = read_once(m, block + THREAD.last)
    if last != 0:
        write_once(m, last + RCU_HEAD.next, head)
    else:
        write_once(m, block + THREAD.first, head)
        write_once(m, block + THREAD.ready_at, number)
    write_once(m, block + THREAD.last, head)
    queued = read_once(m, block + THREAD.queued) + 1
    write_once(m, block + THREAD.queued, queued)
    length = queued - read_once(m, block + THREAD.taken)
    if length > read_once(m, block + THREAD.longest):
        write_once(m, block + THREAD.longest, length)
    hurry = flood_rising(m, block, length)
    spin_unlock(m, block + THREAD.lock)
    advance_to(m, RCU_AT + RCU.wanted, number)
    if hurry:
        rcu_hurry(m, t)
    return 0


@kernel
def take_from(m, t, q):
    """Thread `t` takes the oldest callback of slot `q`'s queue, if its grace period is over. Returns its head or 0."""
    queue = thread_block(q)
    ready_at = read_once(m, queue + THREAD.ready_at)  # a hint: spares the lock
    if ready_at == 0 or ready_at > read_once(m, RCU_AT + RCU.completed):
        return 0
    spin_lock(m, queue + THREAD.lock)
    head = read_once(m, queue + THREAD.first)
    # acquire, pairs with advance_to() in finish_grace_periods(): forbids freeing before the last reader's last access
    if head == 0 or read_once(m, head + RCU_HEAD.goal) > load_acquire(m, RCU_AT + RCU.completed):
        spin_unlock(m, queue + THREAD.lock)
        return 0
    rest = read_once(m, head + RCU_HEAD.next)
    write_once(m, queue + THREAD.first, rest)
    if rest != 0:
        write_once(m, queue + THREAD.ready_at, read_once(m, rest + RCU_HEAD.goal))
    else:
        write_once(m, queue + THREAD.last, 0)
        write_once(m, queue + THREAD.ready_at, 0)
    mine = thread_block(t) + THREAD.took
    write_once(m, mine, read_once(m, mine) + 1)
    # pairs with the acquire in rcu_barrier_poll(): forbids (Q3) "taken from the queue, and yet by nobody"
    store_release(m, queue + THREAD.taken, read_once(m, queue + THREAD.taken) + 1)
    spin_unlock(m, queue + THREAD.lock)
    return head


@kernel
def rcu_take_ready(m, t):
    """Take a callback whose grace period is over, from our own queue first. Returns its head or 0.

    The caller acts on it and reports rcu_done(m, t, 1); it may take several before, and completes them in the order taken."""
    head = take_from(m, t, t)
    if head != 0:
        return head
    for q in range(read_once(m, RCU_AT + RCU.threads)):
        if q != t:
            head = take_from(m, t, q)
            if head != 0:
                return head
    return 0


@kernel
def rcu_done(m, t, n):
    """Thread `t` has completed the `n` oldest callbacks that it took and had not reported. Returns 0."""
    mine = thread_block(t) + THREAD.finished
    # pairs with the acquire in rcu_barrier_poll(): forbids "barrier over, writes of the callback still to come"
    store_release(m, mine, read_once(m, mine) + n)
    return 0


@kernel
def rcu_queue_length(m, t):
    """How many callbacks wait in slot `t`'s queue."""
    block = thread_block(t)
    return read_once(m, block + THREAD.queued) - read_once(m, block + THREAD.taken)


@kernel
def rcu_pending(m):
    """How many callbacks wait in all queues; exact when nobody queues or takes."""
    total = 0
    for q in range(read_once(m, RCU_AT + RCU.threads)):
        total += rcu_queue_length(m, q)
    return total


@kernel
def rcu_barrier_begin(m, t):
    """Thread `t` starts a barrier, to be driven by rcu_barrier_poll(). Returns 0; -1 if it holds callbacks that it has not
    reported, or is in a read section: then it would wait for itself."""
    block = thread_block(t)
    if rcu_read_held(m, t) != 0 or read_once(m, block + THREAD.took) != read_once(m, block + THREAD.finished):
        return -1
    write_once(m, block + THREAD.barrier_at, 0)
    write_once(m, block + THREAD.barrier_goal, -1)
    return 0


@kernel
def rcu_barrier_poll(m, t):
    """1 once every callback queued before rcu_barrier_begin() is complete, else 0: then take and run callbacks, and ask again."""
    block = thread_block(t)
    at = read_once(m, block + THREAD.barrier_at)
    goal = read_once(m, block + THREAD.barrier_goal)
    while at < 2 * MAX_THREADS:
        if at < MAX_THREADS:  # first every queue: is what was queued taken?
            asked = thread_block(at) + THREAD.queued
            have = thread_block(at) + THREAD.taken
        else:  # then every thread: is what it took complete?
            asked = thread_block(at - MAX_THREADS) + THREAD.took
            have = thread_block(at - MAX_THREADS) + THREAD.finished
        if goal < 0:
            goal = read_once(m, asked)
        if load_acquire(m, have) < goal:  # pairs with the releases in take_from() and rcu_done()
            write_once(m, block + THREAD.barrier_at, at)
            write_once(m, block + THREAD.barrier_goal, goal)
            return 0
        at += 1
        goal = -1
    write_once(m, block + THREAD.barrier_at, at)
    return 1


@kernel
def rcu_barrier(m, t):
    """Wait until every callback queued before the call is complete, while *other* threads take and run them. Returns 0, or -1 as
    rcu_barrier_begin().

    A thread that runs callbacks itself must not block here: it drives rcu_barrier_poll() between its own callbacks."""
    if rcu_barrier_begin(m, t) != 0:
        return -1
    turn = 0
    while rcu_barrier_poll(m, t) == 0:
        rcu_advance(m, t)
        turn = spin_pause(turn)
    return 0
