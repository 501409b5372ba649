"""transition: run a thread's step function, or an observer's kernel, in the state that the context points at."""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import call, inlined
from gnomon.check.context import AT, BLOCKED, FINISHED, INVISIBLE, VIOLATED, VISIBLE
from gnomon.check.futures import FENCE, LOCAL
from gnomon.check.space import FENCED, KIND, LIFE, LIFE_ENDS, MERGE_LIMIT, NOTED, STEPS, TOUCHED

FULL, PEEK, FANOUT, VALUE, ADDRESS, TIMED, JOURNALED = (AT[n] for n in ("full", "peek", "fanout", "value", "address", "timed", "journaled"))
OF_LIFE, ENDS = AT["life"], AT["life_ends"]


@inlined
def advance(step, p, at, thread, base):
    """One transition of the thread whose block begins at `base`. Returns the last status; BLOCKED or FINISHED: nothing changed.

    It ends at once where a word or lock has no number yet: what follows would be no step of the program."""
    C, R, meta, kinds = p.context, p.blocks, p.meta, p.kinds
    C[PEEK] = 0
    C[FANOUT] = 1
    C[TIMED] = 0
    meta[KIND] = LOCAL
    meta[FENCED] = 0
    C[ADDRESS] = 0
    C[OF_LIFE] = 0
    meta[LIFE] = 0
    pc = R[base]
    status = call(step, at, thread)
    if status == BLOCKED or status == FINISHED or status == VIOLATED:
        return status
    steps, merged = 1, 0
    while status == INVISIBLE and C[FULL] == 0:
        meta[FENCED] |= kinds[pc] == FENCE
        merged += 1
        pc = R[base]
        if pc == 0 or merged >= MERGE_LIMIT:
            meta[STEPS] += steps
            return VISIBLE
        status = call(step, at, thread)
        if status == VIOLATED or status == BLOCKED:
            meta[STEPS] += steps
            return VIOLATED if status == VIOLATED else VISIBLE
        steps += 1
    meta[KIND] = kinds[pc]
    meta[TOUCHED] = C[ADDRESS]
    meta[LIFE], meta[LIFE_ENDS] = C[OF_LIFE], C[ENDS]
    C[PEEK] = 1
    pc = R[base]
    while pc != 0 and merged < MERGE_LIMIT and C[FULL] == 0:
        status = call(step, at, thread)
        if status != INVISIBLE:
            break
        meta[FENCED] |= kinds[pc] == FENCE
        merged += 1
        steps += 1
        pc = R[base]
    meta[STEPS] += steps
    return VIOLATED if status == VIOLATED else VISIBLE


@inlined
def restore(p, row):
    """Take back what is in the journal."""
    C, M, journal = p.context, p.memory, p.journal
    while C[JOURNALED] > 0:  # newest first: a slot may be there twice
        C[JOURNALED] -= 1
        M[row.memory + journal[2 * C[JOURNALED]]] = journal[2 * C[JOURNALED] + 1]


@inlined
def observe(step, p, shape, row, at, observer, peek):
    """Run an observer's kernel to its end in the present state, and take back what it wrote. Returns 1 if its property holds."""
    C, R, index, looked = p.context, p.blocks, p.index, p.looked
    thread = shape.threads + observer
    base = row.blocks + thread * shape.stride
    C[PEEK] = peek
    R[base] = p.starts[observer]
    holds = True
    while R[base] != 0:
        status = call(step, at, thread)
        if status == VIOLATED:
            for i in range(shape.stride):
                R[base + i] = 0
            holds = False
        elif status == VISIBLE and peek == 0:
            bit = np.int64(index[C[ADDRESS]])
            if bit >= 0 and looked[bit >> 6] & np.int64(1) << (bit & 63) == 0:
                looked[bit >> 6] |= np.int64(1) << (bit & 63)
                p.meta[NOTED] += 1
    holds = holds and C[VALUE] != 0
    restore(p, row)
    return holds
