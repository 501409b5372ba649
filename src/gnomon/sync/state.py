"""state: the words that sync owns, and where they lie.

Owns       RCU          at RCU_AT          grace periods of the process, a cache line for what readers load, one for what changes
           THREAD       at thread_block(t) a line that only thread t writes, two for its callback queue
           RCU_HEAD     inside an object   what call_rcu() links the object by
Context    layouts only; spinlock.py, thread.py, rcu.py and rcu_callbacks.py say who may write which word
"""

from gnomon.lang import record
from gnomon.lang.fixed import THREAD_RCU_WORDS, THREAD_WORDS, THREADS_AT
from gnomon.lang.kernel import kernel

RCU = record(
    "RCU",
    "Grace periods of the process. A grace period is a number; numbers only grow, so none is ever mistaken for another.",
    counter=1,  # the grace period begun last; readers store it on entry
    membarrier=1,  # 1: writers run membarrier() and readers no fence; 0: both run mb()
    line0=6,
    fenced=1,  # every thread passed a full barrier after the counter reached this number
    completed=1,  # every reader that could know what was unlinked before this grace period began has left
    wanted=1,  # the newest grace period that some queued callback waits for
    threads=1,  # one more than the highest slot ever registered: how far scans go
    line1=4,
    contended=1,  # spin_lock() calls that found a lock taken (spinlock.py)
    forced=1,  # times a queue grew by more than qhimark (rcu_batch.py)
    hurried=1,  # grace periods begun by call_rcu() itself, in a hurry
    line2=5,
    blimit=1,  # callbacks a batch, as rcutree.blimit
    qhimark=1,  # growth of a queue that is a flood; 0: none ever is
    qlowmark=1,  # at or below it a flood is over
    qovld=1,  # above it every call_rcu() drives grace periods; 0: never
    divisor=1,  # a batch is at least length >> divisor
    expedite=1,  # 1: every call_rcu() drives grace periods
    line3=2,
)

THREAD = record(
    "THREAD",
    "What sync keeps for a registered thread.",
    seen=1,  # the counter as read on entry of the read section, 0 outside
    took=1,  # callbacks this thread has taken, from any queue
    finished=1,  # of those, how many are complete; oldest first
    barrier_at=1,  # where this thread's rcu_barrier_poll() stands
    barrier_goal=1,  # the count it waits for there, -1 before it has read one
    used=1,  # 1 while the slot is registered
    line0=2,
    lock=1,  # spinlock of the queue below
    first=1,  # oldest callback
    last=1,  # newest callback
    ready_at=1,  # grace period that the oldest one needs, 0 when there is none
    queued=1,  # callbacks ever queued here
    taken=1,  # callbacks ever taken from here
    longest=1,  # the most that were ever queued here at once
    line1=1,
    batch=1,  # blimit in force in a flood, 0 otherwise
    checked=1,  # length when the flood was noticed last
    line2=6,
)

RCU_HEAD = record("RCU_HEAD", "A callback inside the object it will free.", next=1, func=1, goal=1)

assert RCU.size <= 64
assert THREAD.size <= THREAD_RCU_WORDS


@kernel
def thread_block(t):
    """Word index of the block of thread slot `t`."""
    return THREADS_AT + t * THREAD_WORDS
