"""rcu_batch: how fast callbacks run, and what a flood of them changes. call_rcu() itself is never refused and never waits.

Counterpart in Linux: __call_rcu_core() and rcu_do_batch() of kernel/rcu/tree.c, with the same marks: blimit, qhimark, qlowmark, qovld,
divisor. They are words of RCU, so that a run or a scenario can set them.

Owns       THREAD.batch checked   under that queue's lock
           RCU.forced hurried     counters
Guarantees B1  a batch is max(blimit, length >> divisor) callbacks; MAX_BLIMIT from the moment a queue has grown by more than qhimark
               until it is at or below qlowmark
           B2  in a flood, above qovld, or with `expedite`, who queues drives grace periods; nobody waits for them
Context    flood_rising() and flood_falling() under the queue's lock, the others under none; rcu_hurry() anywhere
"""

from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.fixed import RCU_AT
from gnomon.lang.kernel import kernel
from gnomon.sync.rcu import rcu_advance
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.sync.state import RCU, THREAD, thread_block

MAX_BLIMIT = 10_000
"""DEFAULT_MAX_RCU_BLIMIT."""


@kernel
def flood_rising(m, block, length):
    """A callback was queued at the thread block `block`, whose queue now has `length`. Returns 1 if its grace period is in a hurry."""
    mark = read_once(m, RCU_AT + RCU.qhimark)
    hurry = read_once(m, RCU_AT + RCU.expedite)
    overload = read_once(m, RCU_AT + RCU.qovld)
    if overload and length > overload:
        hurry = 1
    if mark and length > read_once(m, block + THREAD.checked) + mark:
        write_once(m, block + THREAD.batch, MAX_BLIMIT)
        write_once(m, block + THREAD.checked, length)
        fetch_add(m, RCU_AT + RCU.forced, 1)
        hurry = 1
    return hurry


@kernel
def flood_falling(m, block, length):
    """A batch was taken from the queue at the thread block `block`, which has `length` left."""
    checked = read_once(m, block + THREAD.checked)
    if length <= read_once(m, RCU_AT + RCU.qlowmark):
        write_once(m, block + THREAD.batch, 0)
    if length == 0 or length < checked - read_once(m, RCU_AT + RCU.qhimark):
        write_once(m, block + THREAD.checked, length)
    return 0


@kernel
def rcu_hurry(m, t):
    """Begin the grace period that is wanted if none is under way, complete what can be completed."""
    before = read_once(m, RCU_AT + RCU.counter)
    rcu_advance(m, t)
    if read_once(m, RCU_AT + RCU.counter) != before:
        fetch_add(m, RCU_AT + RCU.hurried, 1)
    return 0


@kernel
def rcu_batch(m, q):
    """How many callbacks of slot `q`'s queue may run now, one after another (B1)."""
    block = thread_block(q)
    length = read_once(m, block + THREAD.queued) - read_once(m, block + THREAD.taken)
    size = read_once(m, RCU_AT + RCU.blimit)
    if read_once(m, block + THREAD.batch) > size:
        size = read_once(m, block + THREAD.batch)
    if length >> read_once(m, RCU_AT + RCU.divisor) > size:
        size = length >> read_once(m, RCU_AT + RCU.divisor)
    return size


@kernel
def rcu_batch_over(m, q):
    """The batch of slot `q`'s queue was run."""
    block = thread_block(q)
    if read_once(m, block + THREAD.batch) == 0 and read_once(m, block + THREAD.checked) == 0:
        return 0
    spin_lock(m, block + THREAD.lock)
    flood_falling(m, block, read_once(m, block + THREAD.queued) - read_once(m, block + THREAD.taken))
    spin_unlock(m, block + THREAD.lock)
    return 0
