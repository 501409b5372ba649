"""successor: from the row that a transition changed to the fingerprint and the changes of the state it leads to.

A fingerprint (visited.py) is the XOR of what words add, and a sum over threads that run the same program, so that which of them is
where makes no difference.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from gnomon.check.compiled import address, differing, inlined, prefetch
from gnomon.check.context import AT
from gnomon.check.space import CAPACITY, KEYED, LANES, STAGED
from gnomon.check.visited import LINE, ZERO, change, key, mix, place
from gnomon.lang.arith import ctz

SLOTS, JOURNALED = AT["slots"], AT["journaled"]
MEMORY_KEY = 1 << 20
State = namedtuple("State", "first second sum_a sum_b")
"""The fingerprint of the state in a row, and what the threads that are alike add to it."""


@inlined
def canonical_order(p, shape, row):
    """Fill in what threads of one program add to a fingerprint, and an order of threads that forgets which of them is which.

    Returns the two sums of what they add."""
    R, classes, single, order, thread_mix = p.blocks, p.classes, p.single, p.order, p.thread_mix
    a = b = ZERO
    for t in range(shape.threads):
        order[t] = t
        if single[t]:
            continue
        x = y = ZERO
        for i in range(shape.stride):
            value = R[row.blocks + t * shape.stride + i]
            if value != 0:
                k = 2 * (classes[t] * shape.stride + i)
                x ^= change(p.block_keys[k], np.int64(0), value)
                y ^= change(p.block_keys[k + 1], np.int64(0), value)
        thread_mix[2 * t], thread_mix[2 * t + 1] = x, y
        a += mix(x ^ key(classes[t]))
        b += mix(y ^ key(classes[t]))
    for i in range(1, shape.threads):
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


@inlined
def stage(p, shape, row, state, thread, low, words, number, action, begin):
    """Take the transition back that changed any of the `words` words from `low` on and what is in the journal, and keep it.

    It becomes staged successor `number`; its changes go to the deltas, from `begin` on. Returns where they end."""
    C, R, M, meta, saved, deltas, journal = p.context, p.blocks, p.memory, p.meta, p.saved, p.deltas, p.journal
    classes, thread_mix, block_keys, slot_keys = p.classes, p.thread_mix, p.block_keys, p.slot_keys
    x, y = state.first - state.sum_a, state.second - state.sum_b  # without the threads that are alike
    u = v = ZERO
    end = begin
    shift = 0 if low == row.blocks else (classes[thread] - thread) * shape.stride
    for i in range(0, words, LANES):
        left = differing(R, low + i, saved, i)  # behind the last of `words` nothing changes
        while left != 0:
            j = i + ctz(left)
            left &= left - 1
            new, old = R[low + j], saved[j]
            k = 2 * (low - row.blocks + j + shift)
            u ^= change(block_keys[k], old, new)
            v ^= change(block_keys[k + 1], old, new)
            deltas[end], deltas[end + 1] = low - row.blocks + j, new
            end += 2
            R[low + j] = old
    now_a, now_b = state.sum_a, state.sum_b
    if p.single[thread]:
        x, y = x ^ u, y ^ v
    else:
        old_u, old_v, own = thread_mix[2 * thread], thread_mix[2 * thread + 1], key(classes[thread])
        now_a += mix(old_u ^ u ^ own) - mix(old_u ^ own)
        now_b += mix(old_v ^ v ^ own) - mix(old_v ^ own)
    while meta[KEYED] < C[SLOTS]:
        at = MEMORY_KEY + p.address_of[meta[KEYED]]
        slot_keys[2 * meta[KEYED]], slot_keys[2 * meta[KEYED] + 1] = key(2 * at), key(2 * at + 1)
        meta[KEYED] += 1
    n = C[JOURNALED]
    while n > 0:  # a slot may be journaled twice: newest first, values fall back as we go
        n -= 1
        slot, old = journal[2 * n], journal[2 * n + 1]
        now = M[row.memory + slot]
        if now != old:
            was, gets = old ^ p.origin[slot], now ^ p.origin[slot]
            x ^= change(slot_keys[2 * slot], was, gets)
            y ^= change(slot_keys[2 * slot + 1], was, gets)
            deltas[end], deltas[end + 1] = shape.words + slot, now
            end += 2
            M[row.memory + slot] = old
    C[JOURNALED] = 0
    x, y = x + now_a, y + now_b
    x, y = x | np.uint64(x == ZERO), y | np.uint64(y == ZERO)
    k = STAGED * number
    staged = p.staged
    staged[k], staged[k + 1] = np.int64(x), np.int64(y)
    staged[k + 2], staged[k + 3], staged[k + 4] = action, begin, end
    home = 2 * place(meta[CAPACITY], x)
    prefetch(address(p.table, home))
    prefetch(address(p.table, home + 2 * LINE))  # the search goes on there in two cases of five
    return end
