"""settle: enter the successors of a state, some states after they were made: what they look at in the visited table is there by then."""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import address, inlined, publish
from gnomon.check.record import exchange, pack
from gnomon.check.space import CAPACITY, EDGES, EXPANDED, FOLLOW, ROW, STAGED, STATES, TAIL, WORKER, WORKERS
from gnomon.check.visited import enter


@inlined
def settle(p, shape, row):
    """Look the successors of a row's state up, and give those that are new a number and a place in the next level."""
    meta, rows, staged, numbers = p.meta, p.rows, p.staged, p.numbers
    table_at = address(p.table, 0)
    parent, slots = rows[ROW * row.number], rows[ROW * row.number + 4]
    follow = meta[FOLLOW]
    for n in range(rows[ROW * row.number + 1], rows[ROW * row.number + 2]):
        k = STAGED * n
        first, second = staged[k], staged[k + 1]
        entry = enter(table_at, meta[CAPACITY], np.uint64(first), np.uint64(second))
        if entry >= 0:
            if follow:
                staged[k] = numbers[entry]
            continue
        entry = -1 - entry
        number = meta[STATES]
        if follow:
            numbers[entry] = number * meta[WORKERS] + meta[WORKER]
            staged[k] = numbers[entry]
        publish(table_at + 16 * entry + 8, np.uint64(second))
        p.parents[number] = parent
        p.actions[number] = staged[k + 2]
        meta[STATES] = number + 1
        begin, end = staged[k + 3], staged[k + 4]
        for j in range(end - 2, begin - 2, -2):
            exchange(p, shape, row, j)
        meta[TAIL] = pack(p, shape, row, slots, meta[TAIL], first, second)
        for j in range(begin, end, 2):
            exchange(p, shape, row, j)
    if follow:
        _record_edges(p, row)


@inlined
def _record_edges(p, row):
    """Note a state's edges: target << 8 | action."""
    meta, rows, staged = p.meta, p.rows, p.staged
    for n in range(rows[ROW * row.number + 1], rows[ROW * row.number + 2]):
        p.edges[meta[EDGES]] = staged[STAGED * n] << 8 | staged[STAGED * n + 2]
        meta[EDGES] += 1
    p.edge_ends[meta[EXPANDED]] = meta[EDGES]
    p.enabled[meta[EXPANDED]] = rows[ROW * row.number + 3]
    p.expanded[meta[EXPANDED]] = rows[ROW * row.number]
    meta[EXPANDED] += 1
