"""search: breadth first over all orders of steps and drains, natively, in pieces that Python loops drive (explore.py, worker.py).

A worker takes a piece of the present level, state after state: it spreads the record, makes every transition, takes it back, and keeps
what changed, the fingerprint and a hint to the memory system; a few states later, when their entries have come from memory, it
enters the successors and writes those that are new to its own piece of the next level. Any number of workers do so at once: they
share the visited table and nothing else that changes.

Actions are numbers: thread * 2 + 1 for a drain, thread * 2 + 32 * choice for a step.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from gnomon.check.compiled import call, native, prefetch, publish
from gnomon.check.context import ADDRESS_BITS, ASLEEP, AT, BLOCKED, FINISHED, INVISIBLE, VIOLATED, VISIBLE
from gnomon.check.futures import FENCE, LOCAL, PUSH, WRITE, conflicts, fenced_later, note
from gnomon.check.record import exchange, longest, pack, unpack
from gnomon.check.visited import ZERO, change, enter, key, mix, place

SLOTS, FULL, JOURNALED, STRIDE, PEEK, FANOUT, CHOICE = (AT[n] for n in ("slots", "full", "journaled", "stride", "peek", "fanout", "choice"))
VALUE, TSO, SLOT_LIMIT, BLOCKS, MEMORY, ADDRESS, VIOLATION, TIMED = (
    AT[n] for n in ("value", "tso", "slot_limit", "blocks", "memory", "address", "violation", "timed")
)
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
(FOUND, DETAIL, FIRST, SECOND, PARENT, ACTION, KIND, TOUCHED, FENCED) = range(17, 26)
(WORKER, WORKERS, THREADS, ALWAYS, ATEND, BROAD, ALONE, ROWS, HALF, FOLLOW, FOREVER) = range(26, 37)

DONE, GO_ON, TABLE_FULL, TAIL_FULL, SLOTS_FULL, STATES_FULL, EDGES_FULL, WAYS_FULL, ENDS_FULL, STOPPED = range(10)
BY_PROPERTY, BY_DEADLOCK, BY_STEP = range(3)
"""Kinds of violation, in the order in which they are preferred: the first two are one step shorter."""
MERGE_LIMIT = 512
"""Invisible accesses that one step swallows; a loop of them without end becomes a scheduling point every so often."""
SLEEPERS = 16
"""In the set of actors that are able, bit SLEEPERS + thread: the thread is asleep."""
MEMORY_KEY = 1 << 20
CHOICES = 8
RING = 6
"""States whose successors wait for their entries of the visited table."""

Space = namedtuple(
    "Space",
    "context blocks memory bits journal origin address_of block_keys slot_keys classes single starts saved order thread_mix "
    "kinds rank index learned watched noted looked went ways deltas staged rows stop current following table extra parents actions "
    "edges edge_ends enabled expanded ends",
)
"""Everything a worker works on: arrays."""


@native
def delta_room(words):
    """Words that the changes of one transition may take."""
    return 2 * (words + MERGE_LIMIT + 2)


@native
def advance(step, C, R, base, at, thread, kinds, meta):
    """One transition of the thread whose block begins at `base`. Returns the last status; BLOCKED or FINISHED: nothing changed.

    It ends at once where a word or lock has no number yet: what follows would be no step of the program."""
    C[PEEK] = 0
    C[FANOUT] = 1
    C[TIMED] = 0
    meta[KIND] = LOCAL
    meta[FENCED] = 0
    C[ADDRESS] = 0
    pc = R[base]
    status = call(step, at, thread)
    if status == BLOCKED or status == FINISHED or status == VIOLATED:
        return status
    meta[STEPS] += 1
    merged = 0
    while status == INVISIBLE and C[FULL] == 0:
        meta[FENCED] |= kinds[pc] == FENCE
        merged += 1
        pc = R[base]
        if pc == 0 or merged >= MERGE_LIMIT:
            return VISIBLE
        status = call(step, at, thread)
        if status == VIOLATED:
            return status
        if status == BLOCKED:
            return VISIBLE
        meta[STEPS] += 1
    meta[KIND] = kinds[pc]
    meta[TOUCHED] = C[ADDRESS]
    C[PEEK] = 1
    pc = R[base]
    while pc != 0 and merged < MERGE_LIMIT and C[FULL] == 0:
        status = call(step, at, thread)
        if status == VIOLATED:
            return status
        if status != INVISIBLE:
            break
        meta[FENCED] |= kinds[pc] == FENCE
        merged += 1
        meta[STEPS] += 1
        pc = R[base]
    return VISIBLE


@native
def observe(step, C, R, r, at, observer, start, index, looked, meta):
    """Run an observer's kernel to its end in the present state. Returns 1 if its property holds."""
    base = r + observer * C[STRIDE]
    R[base] = start
    while R[base] != 0:
        status = call(step, at, observer)
        if status == VIOLATED:
            for i in range(C[STRIDE]):
                R[base + i] = 0
            return 0
        if status == VISIBLE and C[PEEK] == 0:
            bit = np.int64(index[C[ADDRESS]])
            if bit >= 0 and looked[bit >> 6] & np.int64(1) << (bit & 63) == 0:
                looked[bit >> 6] |= np.int64(1) << (bit & 63)
                meta[NOTED] += 1
    return C[VALUE] != 0


@native
def report(meta, kind, detail, first, second, parent, action):
    """Keep this violation if it comes before the one found so far: in an order that does not depend on who finds what when."""
    if meta[FOUND]:
        old = (meta[FOUND] - 1, meta[DETAIL], meta[FIRST], meta[SECOND], meta[ACTION])
        if (kind, detail, first, second, action) >= old:
            return
    meta[FOUND] = kind + 1
    meta[DETAIL], meta[FIRST], meta[SECOND], meta[PARENT], meta[ACTION] = detail, first, second, parent, action


@native
def settle(
    row, rows, staged, deltas, R, r, M, m, origin, bits, b, words, blocks, slots, table_at, extra, parents, actions, following, meta
):
    """Look the successors of a row's state up, and give those that are new a number and a place in the next level."""
    parent = rows[4 * row]
    follow = meta[FOLLOW]
    for k in range(rows[4 * row + 1], rows[4 * row + 2]):
        first, second = np.uint64(staged[5 * k]), np.uint64(staged[5 * k + 1])
        entry = enter(table_at, meta[CAPACITY], first, second)
        if entry >= 0:
            if follow:
                staged[5 * k] = extra[entry]
            continue
        entry = -1 - entry
        number = meta[STATES]
        if follow:
            extra[entry] = number * meta[WORKERS] + meta[WORKER]
            staged[5 * k] = extra[entry]
        publish(table_at + 16 * entry + 8, second)
        parents[number] = parent
        actions[number] = staged[5 * k + 2]
        meta[STATES] = number + 1
        begin, end = staged[5 * k + 3], staged[5 * k + 4]
        for j in range(end - 2, begin - 2, -2):
            exchange(deltas, j, words, R, r, M, m, origin, bits, b, blocks)
        meta[TAIL] = pack(following, meta[TAIL], np.int64(first), np.int64(second), R, r, M, m, slots, bits, b, blocks)
        for j in range(begin, end, 2):
            exchange(deltas, j, words, R, r, M, m, origin, bits, b, blocks)


@native
def record_edges(row, rows, staged, edges, edge_ends, enabled, expanded, meta):
    """Note a state's edges: target << 8 | action."""
    for k in range(rows[4 * row + 1], rows[4 * row + 2]):
        edges[meta[EDGES]] = staged[5 * k] << 8 | staged[5 * k + 2]
        meta[EDGES] += 1
    edge_ends[meta[EXPANDED]] = meta[EDGES]
    enabled[meta[EXPANDED]] = rows[4 * row + 3]
    expanded[meta[EXPANDED]] = rows[4 * row]
    meta[EXPANDED] += 1


@native
def canonical_order(threads, R, r, stride, block_keys, classes, single, order, thread_mix):
    """Fill in what threads of one program add to a fingerprint, and an order of threads that forgets which of them is which.

    Returns the two sums of what they add."""
    a = b = ZERO
    for t in range(threads):
        order[t] = t
        if single[t]:
            continue
        x = y = ZERO
        for i in range(stride):
            value = R[r + t * stride + i]
            if value != 0:
                k = 2 * (classes[t] * stride + i)
                x ^= change(block_keys[k], np.int64(0), value)
                y ^= change(block_keys[k + 1], np.int64(0), value)
        thread_mix[2 * t], thread_mix[2 * t + 1] = x, y
        a += mix(x ^ key(classes[t]))
        b += mix(y ^ key(classes[t]))
    for i in range(1, threads):
        t = order[i]
        j = i
        while j > 0:
            u = order[j - 1]
            if classes[u] != classes[t] or single[t] or thread_mix[2 * u] <= thread_mix[2 * t]:
                break
            order[j] = u
            j -= 1
        order[j] = t
    return a, b


@native
def expand(step, drain, s, meta):
    """Expand records until the piece ends or something has to be done first. The reason is meta.stop."""
    C, R, M, bits, journal, origin = s.context, s.blocks, s.memory, s.bits, s.journal, s.origin
    block_keys, slot_keys, classes, single, saved, kinds, rank = s.block_keys, s.slot_keys, s.classes, s.single, s.saved, s.kinds, s.rank
    deltas, staged, rows, order, thread_mix, stop = s.deltas, s.staged, s.rows, s.order, s.thread_mix, s.stop
    at = C.ctypes.data
    blocks_at, memory_at, table_at = R.ctypes.data, M.ctypes.data, s.table.ctypes.data
    stride, threads = C[STRIDE], meta[THREADS]
    words = threads * stride
    blocks, most = (words + 63) >> 6, (C[SLOT_LIMIT] + 63) >> 6
    row_words, row_slots = len(R) // RING, C[SLOT_LIMIT]
    successors_room = threads * (CHOICES + 1)
    symmetric = False
    for t in range(threads):
        symmetric |= single[t] == 0
    head = settled = 0
    meta[STOP] = DONE
    while meta[CURSOR] < meta[END]:
        ahead = (RING + 1) * successors_room  # what waits in the ring, and this state
        if stop[0]:
            meta[STOP] = STOPPED
        elif meta[TRANSITIONS] >= meta[LIMIT]:
            meta[STOP] = GO_ON
        elif meta[STATES] + ahead > meta[BUDGET]:
            meta[STOP] = TABLE_FULL
        elif meta[STATES] + ahead > len(s.parents):
            meta[STOP] = STATES_FULL
        elif meta[TAIL] + ahead * longest(words, C[SLOTS]) > len(s.following):
            meta[STOP] = TAIL_FULL
        elif meta[FOLLOW] and (meta[EDGES] + ahead > len(s.edges) or meta[EXPANDED] + RING + 1 > len(s.edge_ends)):
            meta[STOP] = EDGES_FULL
        elif 2 * (meta[WAYS] + successors_room) > len(s.ways):
            meta[STOP] = WAYS_FULL
        elif len(s.ends) and (meta[ENDS] + 1) * C[SLOT_LIMIT] > len(s.ends):
            meta[STOP] = ENDS_FULL
        if meta[STOP] != DONE:
            break
        cursor, code = meta[CURSOR], meta[CODE]
        row = head % RING
        r, m, b = row * row_words, row * row_slots, row * (blocks + most)
        if head - settled == RING:
            settle(
                row, rows, staged, deltas, R, r, M, m, origin, bits, b, words, blocks, C[SLOTS], table_at,
                s.extra, s.parents, s.actions, s.following, meta,
            )  # fmt: skip
            if meta[FOLLOW]:
                record_edges(row, rows, staged, s.edges, s.edge_ends, s.enabled, s.expanded, meta)
            settled += 1
        C[BLOCKS], C[MEMORY] = blocks_at + 8 * r, memory_at + 8 * m
        first, second = np.uint64(s.current[cursor + 1]), np.uint64(s.current[cursor + 2])
        unpack(s.current, cursor, R, r, words, M, m, origin, C[SLOTS], bits, b, blocks, most)
        C[JOURNALED] = 0
        count = row * successors_room
        rows[4 * row], rows[4 * row + 1], rows[4 * row + 2], rows[4 * row + 3] = code, count, count, 0
        wrong = -1
        for observer in range(meta[ALWAYS]):
            C[PEEK] = 0
            if wrong < 0 and observe(step, C, R, r, at, threads + observer, s.starts[observer], s.index, s.looked, meta) == 0:
                wrong = observer
            while C[JOURNALED] > 0:
                C[JOURNALED] -= 1
                M[m + journal[2 * C[JOURNALED]]] = journal[2 * C[JOURNALED] + 1]
        if wrong >= 0:
            report(meta, BY_PROPERTY, wrong, np.int64(first), np.int64(second), code, -1)
        else:
            sum_a, sum_b = ZERO, ZERO
            if symmetric:
                sum_a, sum_b = canonical_order(threads, R, r, stride, block_keys, classes, single, order, thread_mix)
            steps, made = meta[STEPS], 0
            used = row * successors_room * delta_room(words)
            active = 0
            alone = False
            broke = False
            for turn in range(2 * threads):
                thread = order[turn >> 1] if symmetric else turn >> 1
                draining = turn & 1
                actor = 2 * thread + draining
                base = r + thread * stride
                if draining:
                    if C[TSO] == 0 or R[base + 1] == 0:
                        continue
                elif R[base] == 0:
                    continue
                if not draining and R[base + 2] & ASLEEP:
                    active |= 1 << SLEEPERS + thread
                if alone:
                    active |= 1 << actor  # not looked at: for all we know it is able
                    continue
                lo, hi = base, base + stride
                if meta[BROAD] >> draining & 1:
                    lo, hi = r, r + words
                begun = count
                able = False
                commutes = meta[ALONE] == 1
                before = R[base]
                choice = 0
                fanout = 1
                while choice < fanout:
                    C[CHOICE] = choice
                    for i in range(hi - lo):
                        saved[i] = R[lo + i]
                    if draining:
                        target = R[base + 4] & ADDRESS_BITS
                        call(drain, at, thread)
                        status = VISIBLE
                        meta[STEPS] += 1
                        if commutes:
                            commutes = not (
                                conflicts(
                                    WRITE, target, thread, threads, R, r, stride, classes, meta[ROWS], meta[HALF], s.learned, s.index,
                                    s.watched,
                                )
                                or fenced_later(thread, threads, R, r, stride, classes, meta[ROWS], meta[HALF], s.learned)
                            )  # fmt: skip
                    else:
                        status = advance(step, C, R, base, at, thread, kinds, meta)
                        fanout = C[FANOUT]
                        if status != BLOCKED and status != VIOLATED and C[FULL] == 0 and meta[HALF]:
                            kind = meta[KIND]
                            new, meta[WAYS] = note(
                                kind, meta[TOUCHED], meta[FENCED], before, R[base], classes[thread], R, base, meta[ROWS], meta[HALF],
                                s.noted, s.went, s.ways, meta[WAYS], s.index,
                            )  # fmt: skip
                            meta[NOTED] += new
                            if kind == PUSH and R[base + 3] != saved[3]:
                                kind = WRITE  # gives a lock back: not alone while others may try it, or that they share it stays unseen
                            if commutes:
                                commutes = (
                                    meta[FENCED] == 0
                                    and rank[R[base]] > rank[before]
                                    and not conflicts(
                                        kind, meta[TOUCHED], thread, threads, R, r, stride, classes, meta[ROWS], meta[HALF], s.learned,
                                        s.index, s.watched,
                                    )
                                )  # fmt: skip
                    if status == BLOCKED:
                        break
                    if C[FULL]:
                        broke = True
                        break
                    able |= draining == 1 or C[TIMED] == 0
                    action = actor + 32 * choice
                    choice += 1
                    made += 1
                    if status == VIOLATED:
                        report(meta, BY_STEP, C[VIOLATION], np.int64(first), np.int64(second), code, action)
                        commutes = False
                        for i in range(hi - lo):
                            R[lo + i] = saved[i]
                        while C[JOURNALED] > 0:
                            C[JOURNALED] -= 1
                            M[m + journal[2 * C[JOURNALED]]] = journal[2 * C[JOURNALED] + 1]
                        continue
                    x, y = first - sum_a, second - sum_b  # without the threads that are alike
                    now_a, now_b = sum_a, sum_b
                    u = v = ZERO
                    begin = end = used
                    shift = 0 if lo == r else (classes[thread] - thread) * stride
                    for i in range(hi - lo):
                        new, old = R[lo + i], saved[i]
                        if new != old:
                            k = 2 * (lo - r + i + shift)
                            u ^= change(block_keys[k], old, new)
                            v ^= change(block_keys[k + 1], old, new)
                            deltas[end], deltas[end + 1] = lo - r + i, new
                            end += 2
                            R[lo + i] = old
                    if single[thread]:
                        x, y = x ^ u, y ^ v
                    else:
                        old_u, old_v, own = thread_mix[2 * thread], thread_mix[2 * thread + 1], key(classes[thread])
                        now_a += mix(old_u ^ u ^ own) - mix(old_u ^ own)
                        now_b += mix(old_v ^ v ^ own) - mix(old_v ^ own)
                    while meta[KEYED] < C[SLOTS]:
                        at_word = MEMORY_KEY + s.address_of[meta[KEYED]]
                        slot_keys[2 * meta[KEYED]], slot_keys[2 * meta[KEYED] + 1] = key(2 * at_word), key(2 * at_word + 1)
                        meta[KEYED] += 1
                    j = C[JOURNALED]
                    while j > 0:  # a slot may be journaled twice: newest first, values fall back as we go
                        j -= 1
                        slot, old = journal[2 * j], journal[2 * j + 1]
                        now = M[m + slot]
                        if now != old:
                            was, gets = old ^ origin[slot], now ^ origin[slot]
                            x ^= change(slot_keys[2 * slot], was, gets)
                            y ^= change(slot_keys[2 * slot + 1], was, gets)
                            deltas[end], deltas[end + 1] = words + slot, now
                            end += 2
                            M[m + slot] = old
                    C[JOURNALED] = 0
                    x, y = x + now_a, y + now_b
                    x, y = x | np.uint64(x == ZERO), y | np.uint64(y == ZERO)
                    k = 5 * count
                    staged[k], staged[k + 1] = np.int64(x), np.int64(y)
                    staged[k + 2], staged[k + 3], staged[k + 4] = action, begin, end
                    prefetch(table_at + 16 * place(meta[CAPACITY], x))
                    used = end
                    count += 1
                if broke:
                    break
                if able:
                    active |= 1 << actor
                    if commutes and count > begun:
                        rows[4 * row + 1] = begun
                        made = count - begun
                        alone = True
            if broke:  # a word or lock without a number: give it one, then do this state again
                C[JOURNALED] = 0
                meta[STEPS] = steps
                meta[STOP] = SLOTS_FULL
                break
            rows[4 * row + 2], rows[4 * row + 3] = count, active
            meta[TRANSITIONS] += made
            if active & (1 << SLEEPERS) - 1 == 0:
                done = True
                for thread in range(threads):
                    resting = meta[FOREVER] >> thread & active >> SLEEPERS + thread & 1
                    done &= R[r + thread * stride] == 0 or resting == 1
                if done:
                    if len(s.ends):
                        for i in range(C[SLOTS]):
                            s.ends[meta[ENDS] * C[SLOT_LIMIT] + i] = M[m + i] ^ origin[i]
                    meta[ENDS] += 1
                    for observer in range(meta[ATEND]):
                        C[PEEK] = 2
                        which = meta[ALWAYS] + observer
                        if observe(step, C, R, r, at, threads + which, s.starts[which], s.index, s.looked, meta) == 0:
                            report(meta, BY_PROPERTY, which, np.int64(first), np.int64(second), code, -1)
                        while C[JOURNALED] > 0:
                            C[JOURNALED] -= 1
                            M[m + journal[2 * C[JOURNALED]]] = journal[2 * C[JOURNALED] + 1]
                else:
                    report(meta, BY_DEADLOCK, 0, np.int64(first), np.int64(second), code, -1)
        head += 1
        meta[CURSOR] = cursor + (s.current[cursor] & 0xFFFFFFFF)
        meta[CODE] = code + meta[WORKERS]
    while settled < head:
        row = settled % RING
        r, m, b = row * row_words, row * row_slots, row * (blocks + most)
        settle(
            row, rows, staged, deltas, R, r, M, m, origin, bits, b, words, blocks, C[SLOTS], table_at,
            s.extra, s.parents, s.actions, s.following, meta,
        )  # fmt: skip
        if meta[FOLLOW]:
            record_edges(row, rows, staged, s.edges, s.edge_ends, s.enabled, s.expanded, meta)
        settled += 1
