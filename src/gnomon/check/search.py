"""search: breadth first over all orders of steps and drains, natively, in pieces that Python loops drive (explore.py, worker.py).

A worker takes a piece of the present level, state after state: it spreads the record (record.py), makes every transition
(transition.py), takes it back, and keeps what changed, the fingerprint and a hint to the memory system (successor.py); a few states
later, when their entries have come from memory, it enters the successors and writes those that are new to its own piece of the next
level (settle.py). Any number of workers do so at once: they share the visited table and nothing else that changes.

Actions are numbers: thread * 2 + 1 for a drain, thread * 2 + 32 * choice for a step.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from gnomon.check import space
from gnomon.check.compiled import address, call, copy_eight, inlined, native, pointers
from gnomon.check.context import ADDRESS_BITS, ASLEEP, AT, BLOCKED, VIOLATED, VISIBLE
from gnomon.check.futures import alone, drained_alone, note
from gnomon.check.record import longest, pack, unpack
from gnomon.check.settle import settle
from gnomon.check.space import row_of, shape_of
from gnomon.check.successor import State, canonical_order, stage
from gnomon.check.transition import advance, observe, restore
from gnomon.check.visited import ONE, ZERO, place

SLOTS, FULL, JOURNALED, FANOUT, CHOICE, TSO, BLOCKS, MEMORY, VIOLATION, TIMED = (
    AT[n] for n in ("slots", "full", "journaled", "fanout", "choice", "tso", "blocks", "memory", "violation", "timed")
)
Room = namedtuple("Room", "states tail edges ends ways final")
"""Lengths of the arrays that are written at their ends."""


@native
def begin(s):
    """Enter the initial state, which is in the first row."""
    p = pointers(s)
    shape = shape_of(p)
    row = row_of(shape, 0)
    a, b = canonical_order(p, shape, row)
    first, second = a + ONE, b + ONE
    first, second = first | np.uint64(first == ZERO), second | np.uint64(second == ZERO)
    p.meta[space.TAIL] = pack(p, shape, row, p.context[SLOTS], 0, np.int64(first), np.int64(second))
    at = place(len(s.table) // 2, first)
    p.table[2 * at], p.table[2 * at + 1] = first, second
    p.meta[space.STATES] = 1


@native
def expand(step, drain, s):
    """Expand records until the piece ends or something has to be done first. The reason is meta.stop."""
    p = pointers(s)
    meta, shape = p.meta, shape_of(p)
    room = Room(len(s.parents), len(s.following), len(s.edges), len(s.edge_ends), len(s.ways), len(s.ends))
    head = settled = 0
    meta[space.STOP] = space.GOING
    while True:
        if meta[space.STOP] == space.GOING:
            meta[space.STOP] = _obstacle(p, shape, room)
        while settled < head and (head - settled == space.RING or meta[space.STOP] != space.GOING):
            settle(p, shape, row_of(shape, settled))
            settled += 1
        if meta[space.STOP] != space.GOING:
            return
        if _expand_state(step, drain, p, shape, row_of(shape, head), room.final):
            head += 1
            meta[space.CURSOR] += p.current[meta[space.CURSOR]] & 0xFFFFFFFF
            meta[space.CODE] += meta[space.WORKERS]
        else:
            meta[space.STOP] = space.SLOTS_FULL


@inlined
def _obstacle(p, shape, room):
    """Why the state at the cursor cannot be expanded now, or space.GOING."""
    meta = p.meta
    ahead = (space.RING + 1) * shape.room  # what waits in the ring, and this state
    if meta[space.CURSOR] >= meta[space.END]:
        return space.DONE
    if p.stop[0]:
        return space.STOPPED
    if meta[space.TRANSITIONS] >= meta[space.LIMIT]:
        return space.GO_ON
    if meta[space.STATES] + ahead > meta[space.BUDGET]:
        return space.TABLE_FULL
    if meta[space.STATES] + ahead > room.states:
        return space.STATES_FULL
    if meta[space.TAIL] + ahead * longest(shape.words, p.context[SLOTS]) > room.tail:
        return space.TAIL_FULL
    if meta[space.FOLLOW] and (meta[space.EDGES] + ahead > room.edges or meta[space.EXPANDED] + space.RING + 1 > room.ends):
        return space.EDGES_FULL
    if 2 * (meta[space.WAYS] + shape.room) > room.ways:
        return space.WAYS_FULL
    if room.final and (meta[space.ENDS] + 1) * shape.row_slots > room.final:
        return space.ENDS_FULL
    return space.GOING


@inlined
def _expand_state(step, drain, p, shape, row, keep_ends):
    """Stage all successors of the state at the cursor. Returns False where a word or lock has no number: the state is to be done again."""
    C, R, meta, rows = p.context, p.blocks, p.meta, p.rows
    at = address(C, 0)
    C[BLOCKS], C[MEMORY] = address(R, row.blocks), address(p.memory, row.memory)
    code, cursor = meta[space.CODE], meta[space.CURSOR]
    first, second = p.current[cursor + 1], p.current[cursor + 2]
    unpack(p, shape, row, cursor)
    C[JOURNALED] = 0
    head = count = row.number * shape.room
    noted = space.ROW * row.number
    rows[noted], rows[noted + 1], rows[noted + 2], rows[noted + 3], rows[noted + 4] = code, count, count, 0, C[SLOTS]
    for observer in range(meta[space.ALWAYS]):
        if not observe(step, p, shape, row, at, observer, 0):
            _report(meta, space.BY_PROPERTY, observer, first, second, code, -1)
            return True
    sum_a, sum_b = ZERO, ZERO
    if shape.symmetric:
        sum_a, sum_b = canonical_order(p, shape, row)
    state = State(np.uint64(first), np.uint64(second), sum_a, sum_b)
    steps, made = meta[space.STEPS], 0
    used = head * shape.changes
    active = 0
    apart = False
    for turn in range(2 * shape.threads):
        thread = p.order[turn >> 1] if shape.symmetric else turn >> 1
        draining = turn & 1
        actor = 2 * thread + draining
        base = row.blocks + thread * shape.stride
        if (C[TSO] == 0 or R[base + 1] == 0) if draining else R[base] == 0:
            continue
        if not draining and R[base + 2] & ASLEEP:
            active |= 1 << space.SLEEPERS + thread
        if apart:
            active |= 1 << actor  # not looked at: for all we know it is able
            continue
        low, words = base, shape.stride
        if meta[space.BROAD] >> draining & 1:
            low, words = row.blocks, shape.words
        begun = count
        able = False
        commutes = meta[space.ALONE] == 1
        before, held = R[base], R[base + 3]
        choice = 0
        fanout = 1
        while choice < fanout:
            C[CHOICE] = choice
            for i in range(0, words, space.LANES):
                copy_eight(p.saved, i, R, low + i)
            if draining:
                target = R[base + 4] & ADDRESS_BITS
                call(drain, at, thread)
                status = VISIBLE
                meta[space.STEPS] += 1
                commutes = commutes and drained_alone(p, shape, row, target, thread)
            else:
                status = advance(step, p, at, thread, base)
                fanout = C[FANOUT]
                if status != BLOCKED and status != VIOLATED and C[FULL] == 0 and meta[space.HALF]:
                    note(p, base, p.classes[thread], before)
                    commutes = commutes and alone(p, shape, row, thread, before, held)
            if status == BLOCKED:
                break
            if C[FULL]:  # give the word or lock its number, then do this state again
                C[JOURNALED] = 0
                meta[space.STEPS] = steps
                return False
            able |= draining == 1 or C[TIMED] == 0
            action = actor + 32 * choice
            choice += 1
            made += 1
            if status == VIOLATED:
                _report(meta, space.BY_STEP, C[VIOLATION], first, second, code, action)
                commutes = False
                for i in range(words):
                    R[low + i] = p.saved[i]
                restore(p, row)
            else:
                used = stage(p, shape, row, state, thread, low, words, count, action, used)
                count += 1
        if able:
            active |= 1 << actor
            if commutes and count > begun:
                rows[noted + 1] = begun
                made = count - begun
                apart = True
    rows[noted + 2], rows[noted + 3], rows[noted + 4] = count, active, C[SLOTS]
    meta[space.TRANSITIONS] += made
    if active & (1 << space.SLEEPERS) - 1 == 0:
        _come_to_rest(step, p, shape, row, at, active, first, second, keep_ends)
    return True


@inlined
def _come_to_rest(step, p, shape, row, at, active, first, second, keep_ends):
    """Nobody can act in this state: an end, of which properties are asked, or a deadlock."""
    meta, code = p.meta, p.meta[space.CODE]
    for thread in range(shape.threads):
        resting = meta[space.FOREVER] >> thread & active >> space.SLEEPERS + thread & 1
        if p.blocks[row.blocks + thread * shape.stride] != 0 and not resting:
            _report(meta, space.BY_DEADLOCK, 0, first, second, code, -1)
            return
    if keep_ends:
        for i in range(p.context[SLOTS]):
            p.ends[meta[space.ENDS] * shape.row_slots + i] = p.memory[row.memory + i] ^ p.origin[i]
    meta[space.ENDS] += 1
    for observer in range(meta[space.ALWAYS], meta[space.ALWAYS] + meta[space.ATEND]):
        if not observe(step, p, shape, row, at, observer, 2):
            _report(meta, space.BY_PROPERTY, observer, first, second, code, -1)


@inlined
def _report(meta, kind, detail, first, second, parent, action):
    """Keep this violation if it comes before the one found so far: in an order that does not depend on who finds what when."""
    if meta[space.FOUND]:
        old = (meta[space.FOUND] - 1, meta[space.DETAIL], meta[space.FIRST], meta[space.SECOND], meta[space.ACTION])
        if (kind, detail, first, second, action) >= old:
            return
    meta[space.FOUND], meta[space.DETAIL], meta[space.PARENT], meta[space.ACTION] = kind + 1, detail, parent, action
    meta[space.FIRST], meta[space.SECOND] = first, second
