"""stats: what RCU and the locks have done, read while they run. Each word is exact; the set of them is not one moment."""

from gnomon.lang.arena import Arena
from gnomon.lang.fixed import RCU_AT
from gnomon.sync.rcu import FIRST_GRACE_PERIOD
from gnomon.sync.state import RCU, THREAD, thread_block


def queue_lengths(m: Arena) -> list[int]:
    """Callbacks that wait, by thread slot."""
    blocks = [thread_block.py_func(t) for t in range(int(m.words[RCU_AT + RCU.threads]))]
    return [int(m.words[b + THREAD.queued]) - int(m.words[b + THREAD.taken]) for b in blocks]


def sync_stats(m: Arena) -> dict[str, int]:
    """Counters of RCU and the spinlocks of an arena."""
    blocks = [thread_block.py_func(t) for t in range(int(m.words[RCU_AT + RCU.threads]))]

    def total(field: int) -> int:
        return sum(int(m.words[b + field]) for b in blocks)

    return {
        "threads": total(THREAD.used),
        "grace_periods_begun": int(m.words[RCU_AT + RCU.counter]) - FIRST_GRACE_PERIOD,
        "grace_periods_completed": int(m.words[RCU_AT + RCU.completed]) - FIRST_GRACE_PERIOD,
        "callbacks_queued": total(THREAD.queued),
        "callbacks_invoked": total(THREAD.finished),
        "callbacks_waiting": sum(queue_lengths(m)),
        "floods": int(m.words[RCU_AT + RCU.forced]),
        "grace_periods_hurried": int(m.words[RCU_AT + RCU.hurried]),
        "longest_queue": max((int(m.words[b + THREAD.longest]) for b in blocks), default=0),
        "membarrier": int(m.words[RCU_AT + RCU.membarrier]),
        "contended_locks": int(m.words[RCU_AT + RCU.contended]),
    }
