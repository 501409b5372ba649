"""space: what one worker of the search works on: its counters, its arrays, and how these are laid out.

Loops take a Space as pointers (compiled.py): an array handed from loop to loop would have its references counted, with two locked
operations each time, and its indices looked at. A state is worked on in a row (record.py); a ring of rows holds the states whose
successors wait for their entries of the visited table to come from memory.
"""

from __future__ import annotations

from collections import namedtuple

from gnomon.check.compiled import inlined
from gnomon.check.context import AT

FIELDS = (
    "cursor",  # next record to expand, word offset in the current piece
    "end",  # of the current piece
    "tail",  # of the piece that is being written
    "code",  # number of the state at the cursor; the next one's is `workers` higher
    "states",  # that this worker entered
    "transitions",
    "steps",  # shared accesses, merged ones included
    "ends",  # states in which every thread has finished
    "stop",  # why a piece of work ended, see below
    "capacity",  # of the visited table
    "budget",  # states after which the table may be too full
    "limit",  # transitions after which to look at the clock
    "edges",  # edges recorded, when progress is asked for
    "expanded",  # states expanded, when progress is asked for
    "noted",  # facts that this worker did not know, see futures.py
    "ways",  # … and pairs of program counters among them
    "keyed",  # slots whose keys are computed
    "found",  # 0, or 1 + kind of the violation found so far that comes first in the order of report() …
    "detail",  # … property or code of the violation
    "first",  # … fingerprint
    "second",
    "parent",  # … number of the state
    "action",  # … and the action that shows it, -1 when the state itself does
    "kind",  # of the last transition, see futures.py
    "touched",  # the word it touched
    "fence",  # 1 when it came past a membarrier()
    "life",  # of the granule that it touched, begun or ended, 0 where that is nobody's business
    "life_ends",  # 1: begun or ended
    # what does not change
    "worker",
    "workers",
    "threads",
    "always",  # observers that look at every state: blocks threads … threads + always - 1
    "at_end",  # observers behind them that look at end states
    "broad",  # what may change other threads' blocks: 1 a step, 2 a drain
    "alone",  # 1: leave out alternatives of actions that commute with everything
    "rows",  # of futures a thread
    "half",
    "follow",  # 1 to record edges
    "forever",  # bits of threads that need not come to an end
)
F = {name: i for i, name in enumerate(FIELDS)}
(CURSOR, END, TAIL, CODE, STATES, TRANSITIONS, STEPS, ENDS, STOP, CAPACITY, BUDGET, LIMIT, EDGES, EXPANDED, NOTED, WAYS, KEYED) = range(17)
(FOUND, DETAIL, FIRST, SECOND, PARENT, ACTION, KIND, TOUCHED, FENCED, LIFE, LIFE_ENDS) = range(17, 28)
(WORKER, WORKERS, THREADS, ALWAYS, ATEND, BROAD, ALONE, ROWS, HALF, FOLLOW, FOREVER) = range(28, 39)

STRIDE, SLOT_LIMIT = AT["stride"], AT["slot_limit"]

DONE, GO_ON, TABLE_FULL, TAIL_FULL, SLOTS_FULL, STATES_FULL, EDGES_FULL, WAYS_FULL, ENDS_FULL, STOPPED, GOING = range(11)
BY_PROPERTY, BY_DEADLOCK, BY_STEP = range(3)
"""Kinds of violation, in the order in which they are preferred: the first two are one step shorter."""
MERGE_LIMIT = 512
"""Invisible accesses that one step swallows; a loop of them without end becomes a scheduling point every so often."""
SLEEPERS = 16
"""In the set of actors that are able, bit SLEEPERS + thread: the thread is asleep."""
CHOICES = 8
RING = 8
"""States whose successors wait for their entries of the visited table."""
LANES = 8
"""Words that are copied and compared at a time: rows and what they are copied from have room for as many."""
STAGED, ROW = 5, 5
"""Words of a staged successor: fingerprint, action, begin and end of its changes. Words of a row of `rows`: number of the state, its
first staged successor and the one behind its last, who can act, and slots in use."""

Space = namedtuple(
    "Space",
    "meta context blocks memory zeros journal origin address_of block_keys slot_keys classes single starts saved order thread_mix "
    "kinds rank index learned watched noted looked went ways deltas staged rows stop current following table numbers parents actions "
    "edges edge_ends enabled expanded ends",
)
"""Everything a worker works on: arrays, or pointers to them."""
Shape = namedtuple("Shape", "threads stride words lanes row_words row_slots room changes symmetric")
"""Threads; words of a thread's block, and of all; lanes of all; words and slots of a row; successors that a state may have; words that
the changes of one transition may take; whether any two threads are alike."""
Row = namedtuple("Row", "number blocks memory")
"""A row of the ring: its number, and where it begins in the arrays of blocks and of slots."""


@inlined
def whole(words):
    """Words rounded up to what is copied and compared at a time."""
    return words + LANES - 1 & -LANES


@inlined
def delta_room(words):
    """Words that the changes of one transition may take."""
    return 2 * (words + MERGE_LIMIT + 2)


@inlined
def shape_of(p):
    """The layout of a space."""
    C, meta = p.context, p.meta
    threads, stride, slots = meta[THREADS], C[STRIDE], C[SLOT_LIMIT]
    words = threads * stride
    symmetric = 0
    for t in range(threads):
        symmetric |= p.single[t] == 0
    row_words = whole((threads + meta[ALWAYS] + meta[ATEND]) * stride)
    room, changes = threads * (CHOICES + 1), delta_room(words)
    return Shape(threads, stride, words, whole(words) // LANES, row_words, slots, room, changes, symmetric)


@inlined
def row_of(shape, number):
    """The row of state number `number` of the ring."""
    n = number % RING
    return Row(n, n * shape.row_words, n * shape.row_slots)
