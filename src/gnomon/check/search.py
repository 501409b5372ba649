"""search: breadth first over all orders of steps and drains, natively, in chunks that a Python loop drives (explore.py).

A record of the frontier is [length, first, second, middle, numbered words …]: fingerprint; up to `middle` the words of the thread
blocks that are not 0, then the slots that differ from the initial state. Most registers are dead at any time.
Actions are numbers: thread * 2 + 1 for a drain, thread * 2 + 32 * choice for a step.
"""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import call, native, prefetch
from gnomon.check.context import AT, BLOCKED, FINISHED, INVISIBLE, VIOLATED, VISIBLE
from gnomon.check.visited import find, mix_first, mix_second, place

SLOTS, FULL, JOURNALED, STRIDE, PEEK, FANOUT, CHOICE = (AT[n] for n in ("slots", "full", "journaled", "stride", "peek", "fanout", "choice"))
VALUE, TSO, AT_SLOT_LIMIT = AT["value"], AT["tso"], AT["slot_limit"]

FIELDS = (
    "cursor",  # next record to expand, word offset in the current level
    "end",  # of the current level
    "tail",  # of the next level
    "index",  # number of the state at the cursor
    "states",
    "transitions",
    "steps",  # shared accesses, merged ones included
    "ends",  # states in which every thread has finished
    "stop",  # why a chunk ended, see below
    "parent",  # of a violation: state number …
    "action",  # … and the action that shows it, -1 when the state itself does
    "property",  # index of a broken always- or end-property
    "capacity",  # of the visited table
    "limit",  # transitions after which a chunk ends
    "threads",
    "always",  # observers that look at every state: blocks threads … threads + always - 1
    "at_end",  # observers behind them that look at end states
    "edges",  # edges recorded, when progress is asked for
    "waiting_ok",  # 1 when a state without successors is no deadlock
)
F = {name: i for i, name in enumerate(FIELDS)}
(
    GO_ON,
    LEVEL_DONE,
    BROKEN_STEP,
    BROKEN_ALWAYS,
    BROKEN_END,
    DEADLOCK,
    TABLE_FULL,
    TAIL_FULL,
    SLOTS_FULL,
    STATES_FULL,
    EDGES_FULL,
    ENDS_FULL,
    STAGING_FULL,
) = range(13)
MERGE_LIMIT = 512
"""Invisible accesses that one step swallows; a loop of them without end becomes a scheduling point every so often."""
MEMORY_KEY = 1 << 20
SHORT = 1 << 46
STAGED = 24
"""Successors that wait together until their entries of the visited set have come from memory."""

CURSOR, END, TAIL, INDEX, STATES, TRANSITIONS, STEPS, ENDS, STOP = range(9)
PARENT, ACTION, PROPERTY, CAPACITY, LIMIT, THREADS, ALWAYS, ATEND, EDGES, WAITING = range(9, 19)


@native
def advance(step, C, R, base, at, meta):
    """One transition of the thread whose block begins at `base`. Returns the last status; BLOCKED or FINISHED: nothing changed."""
    C[PEEK] = 0
    C[FANOUT] = 1
    thread = base // C[STRIDE]
    status = call(step, at, thread)
    if status == BLOCKED or status == FINISHED or status == VIOLATED:
        return status
    meta[STEPS] += 1
    merged = 0
    while status == INVISIBLE:
        merged += 1
        if R[base] == 0 or merged >= MERGE_LIMIT:
            return VISIBLE
        status = call(step, at, thread)
        if status == VIOLATED:
            return status
        if status == BLOCKED:
            return VISIBLE
        meta[STEPS] += 1
    C[PEEK] = 1
    while R[base] != 0 and merged < MERGE_LIMIT:
        status = call(step, at, thread)
        if status == VIOLATED:
            return status
        if status != INVISIBLE:
            break
        merged += 1
        meta[STEPS] += 1
    return VISIBLE


@native
def observe(step, C, R, at, observer, start):
    """Run an observer's kernel to its end in the present state. Returns 1 if its property holds."""
    base = observer * C[STRIDE]
    R[base] = start
    while R[base] != 0:
        if call(step, at, observer) == VIOLATED:
            for i in range(C[STRIDE]):
                R[base + i] = 0
            return 0
    return C[VALUE] != 0


@native
def undo(C, M, journal, down_to):
    while C[JOURNALED] > down_to:
        C[JOURNALED] -= 1
        M[journal[2 * C[JOURNALED]]] = journal[2 * C[JOURNALED] + 1]


@native
def put(to, n, which, word):
    """Append a numbered word: in one word if it is shorter than 47 bits, else in two. Returns the new end."""
    if -SHORT <= word < SHORT:
        to[n] = word << 16 | which << 1
        return n + 1
    to[n] = which << 1 | 1
    to[n + 1] = word
    return n + 2


@native
def pack(to, at, first, second, R, words, M, origin, slots):
    """Write the present state as a record at `at`. Returns where the next record begins."""
    n = at + 4
    for i in range(words):
        if R[i] != 0:
            n = put(to, n, i, R[i])
    to[at + 3] = n - at
    for i in range(slots):
        if M[i] != origin[i]:
            n = put(to, n, i, M[i])
    to[at] = n - at
    to[at + 1] = np.int64(first)
    to[at + 2] = np.int64(second)
    return n


@native
def scatter(record, n, end, to):
    """Store the numbered words of record[n:end] where they belong."""
    while n < end:
        which = (record[n] >> 1) & 0x7FFF
        if record[n] & 1:
            n += 1
            to[which] = record[n]
        else:
            to[which] = record[n] >> 16
        n += 1


@native
def unpack(record, at, R, words, M, origin, slots):
    """Make the state of a record the present one."""
    for i in range(words):
        R[i] = 0
    for i in range(slots):
        M[i] = origin[i]
    scatter(record, at + 4, at + record[at + 3], R)
    scatter(record, at + record[at + 3], at + record[at], M)


@native
def settle(table, extra, parents, actions, following, meta, staged, count, staging, edges, record_progress):
    """Look the staged successors up, and give those that are new a number and a place in the next level."""
    for k in range(count):
        parent, action, at = staged[3 * k], staged[3 * k + 1], staged[3 * k + 2]
        first, second = np.uint64(staging[at + 1]), np.uint64(staging[at + 2])
        entry = find(table, meta[CAPACITY], first, second)
        if entry < 0:
            entry = -1 - entry
            table[2 * entry] = first
            table[2 * entry + 1] = second
            number = meta[STATES]
            if record_progress:
                extra[entry] = number
            parents[number] = parent
            actions[number] = action
            meta[STATES] += 1
            tail = meta[TAIL]
            for i in range(staging[at]):
                following[tail + i] = staging[at + i]
            meta[TAIL] = tail + staging[at]
        if record_progress:
            edges[meta[EDGES]] = np.int64(extra[entry]) * 256 + action
            meta[EDGES] += 1


@native
def expand(
    step,
    drain,
    C,
    R,
    M,
    journal,
    origin,
    mask,
    current,
    following,
    staged,
    staging,
    table,
    extra,
    parents,
    actions,
    meta,
    starts,
    saved,
    edges,
    edge_ends,
    enabled,
    ends,
):
    """Expand records until the level ends, `limit` transitions are made, or something has to be told. The reason is meta.stop."""
    at = C.ctypes.data
    stride = C[STRIDE]
    threads = meta[THREADS]
    words = threads * stride
    record_progress = len(edge_ends) > 1
    table_at = table.ctypes.data
    count = room = 0
    meta[STOP] = LEVEL_DONE
    while meta[CURSOR] < meta[END]:
        ahead = STAGED + threads * 18
        record = 4 + 2 * (words + C[SLOTS] + 64)
        if meta[TRANSITIONS] >= meta[LIMIT]:
            meta[STOP] = GO_ON
        elif (meta[STATES] + ahead) * 100 > meta[CAPACITY] * 88:
            meta[STOP] = TABLE_FULL
        elif meta[STATES] + ahead > len(parents):
            meta[STOP] = STATES_FULL
        elif meta[TAIL] + ahead * record > len(following):
            meta[STOP] = TAIL_FULL
        elif record_progress and meta[EDGES] + ahead > len(edges):
            meta[STOP] = EDGES_FULL
        elif ahead * record > len(staging) or 3 * ahead > len(staged):
            meta[STOP] = STAGING_FULL
        if meta[STOP] != LEVEL_DONE:
            break
        cursor = meta[CURSOR]
        length = current[cursor]
        first, second = np.uint64(current[cursor + 1]), np.uint64(current[cursor + 2])
        unpack(current, cursor, R, words, M, origin, C[SLOTS])
        C[JOURNALED] = 0
        for observer in range(meta[ALWAYS]):
            C[PEEK] = 0
            if observe(step, C, R, at, threads + observer, starts[observer]) == 0:
                meta[STOP] = BROKEN_ALWAYS
                meta[PARENT] = meta[INDEX]
                meta[ACTION] = -1
                meta[PROPERTY] = observer
                return
            undo(C, M, journal, 0)
        successors = 0
        active = 0
        for actor in range(2 * threads):
            thread = actor >> 1
            base = thread * stride
            if actor & 1:
                if C[TSO] == 0 or R[base + 1] == 0:
                    continue
            elif R[base] == 0:
                continue
            choice = 0
            fanout = 1
            while choice < fanout:
                C[CHOICE] = choice
                if actor & 1:
                    lo, hi = 0, words
                else:
                    lo, hi = base, base + stride
                for i in range(lo, hi):
                    saved[i] = R[i]
                if actor & 1:
                    call(drain, at, thread)
                    status = VISIBLE
                    meta[STEPS] += 1
                else:
                    status = advance(step, C, R, base, at, meta)
                    fanout = C[FANOUT]
                if status == BLOCKED:
                    break
                successors += 1
                active |= 1 << actor
                meta[TRANSITIONS] += 1
                action = actor + 32 * choice
                choice += 1
                if C[FULL]:
                    meta[STOP] = SLOTS_FULL
                    return
                if status == VIOLATED:
                    meta[STOP] = BROKEN_STEP
                    meta[PARENT] = meta[INDEX]
                    meta[ACTION] = action
                    return
                a, b = first, second
                for i in range(lo, hi):
                    if R[i] != saved[i]:
                        a ^= mix_first(i, saved[i]) ^ mix_first(i, R[i])
                        b ^= mix_second(i, saved[i]) ^ mix_second(i, R[i])
                for j in range(C[JOURNALED] - 1, -1, -1):  # a slot may be journaled twice: newest first, values fall back as we go
                    slot = journal[2 * j]
                    key = MEMORY_KEY + slot
                    now = M[slot]
                    old = journal[2 * j + 1]
                    if now != old:
                        after, before = (now ^ origin[slot]) & mask[slot], (old ^ origin[slot]) & mask[slot]
                        a ^= mix_first(key, after) ^ mix_first(key, before)
                        b ^= mix_second(key, after) ^ mix_second(key, before)
                    saved[words + j] = now
                    M[slot] = old
                prefetch(table_at + 16 * place(meta[CAPACITY], a))
                for j in range(C[JOURNALED]):
                    M[journal[2 * j]] = saved[words + j]
                k = 3 * count
                staged[k], staged[k + 1], staged[k + 2] = meta[INDEX], action, room
                room = pack(staging, room, a, b, R, words, M, origin, C[SLOTS])
                count += 1
                undo(C, M, journal, 0)
                C[JOURNALED] = 0
                for i in range(lo, hi):
                    R[i] = saved[i]
        if count >= STAGED or record_progress:
            settle(table, extra, parents, actions, following, meta, staged, count, staging, edges, record_progress)
            count = room = 0
        if record_progress:
            edge_ends[meta[INDEX]] = meta[EDGES]
            enabled[meta[INDEX]] = active
        if successors == 0:
            done = True
            for thread in range(threads):
                if R[thread * stride] != 0:
                    done = False
            if done:
                if (meta[ENDS] + 1) * C[AT_SLOT_LIMIT] > len(ends) and len(ends):
                    meta[STOP] = ENDS_FULL
                    break
                if len(ends):
                    for i in range(C[SLOTS]):
                        ends[meta[ENDS] * C[AT_SLOT_LIMIT] + i] = M[i] ^ origin[i]
                meta[ENDS] += 1
                for observer in range(meta[ATEND]):
                    C[PEEK] = 2
                    which = meta[ALWAYS] + observer
                    if observe(step, C, R, at, threads + which, starts[which]) == 0:
                        meta[STOP] = BROKEN_END
                        meta[PARENT] = meta[INDEX]
                        meta[ACTION] = -1
                        meta[PROPERTY] = which
                        return
                    undo(C, M, journal, 0)
            elif meta[WAITING] == 0:
                meta[STOP] = DEADLOCK
                meta[PARENT] = meta[INDEX]
                meta[ACTION] = -1
                return
        meta[CURSOR] = cursor + length
        meta[INDEX] += 1
    settle(table, extra, parents, actions, following, meta, staged, count, staging, edges, record_progress)
