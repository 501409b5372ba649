"""progress: is there a cycle of fair steps in which somebody who should finish never does?

Weak fairness: an actor (a thread's steps, or the drain of its buffer) that can always act, acts. A strongly connected part of the
state graph is a fair cycle if every actor either acts inside it or cannot act in one of its states. Since threads are finite
sequences of calls, any fair cycle in which a thread takes steps is one in which that thread never finishes.
"""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import native
from gnomon.check.space import SLEEPERS


@native
def components(states, edges, edge_ends, component):
    """Tarjan's strongly connected components without recursion. Returns how many; component[state] is filled in."""
    index = np.zeros(states, np.int64)
    low = np.zeros(states, np.int64)
    stack = np.zeros(states, np.int64)
    on_stack = np.zeros(states, np.uint8)
    work = np.zeros(states, np.int64)
    place = np.zeros(states, np.int64)
    counter, found, top = 1, 0, 0
    for root in range(states):
        if index[root]:
            continue
        depth, met = -1, root
        while met >= 0 or depth >= 0:
            if met >= 0:  # for the first time: it goes on the path
                depth += 1
                work[depth] = met
                place[met] = edge_ends[met - 1] if met else 0
                index[met] = low[met] = counter
                counter += 1
                stack[top] = met
                top += 1
                on_stack[met] = 1
                met = -1
            state = work[depth]
            if place[state] < edge_ends[state]:
                target = edges[place[state]] >> 8
                place[state] += 1
                if index[target] == 0:
                    met = target
                elif on_stack[target]:
                    low[state] = min(low[state], index[target])
                continue
            if low[state] == index[state]:
                while True:
                    top -= 1
                    member = stack[top]
                    on_stack[member] = 0
                    component[member] = found
                    if member == state:
                        break
                found += 1
            depth -= 1
            if depth >= 0:
                low[work[depth]] = min(low[work[depth]], low[state])
    return found


@native
def judge(states, edges, edge_ends, enabled, component, count, acted, always_able):
    """For each component: which actors act inside it, and which are able in all of its states."""
    for state in range(states):
        mine = component[state]
        always_able[mine] &= enabled[state]
        for e in range(edge_ends[state - 1] if state else 0, edge_ends[state]):
            if component[edges[e] >> 8] == mine:
                acted[mine] |= np.uint32(1 << (edges[e] & 31 & 255))
    return count


class Graph:
    """The edges that were recorded, by the number of the state they leave."""

    def __init__(self, run):
        numbers, lengths, edges, enabled = run.recorded()
        self.states = int(max(numbers.max(initial=0), (edges >> 8).max(initial=0))) + 1
        order = np.argsort(numbers, kind="stable")
        begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        sizes = np.zeros(self.states, np.int64)
        sizes[numbers] = lengths
        self.edge_ends = np.cumsum(sizes)
        places = np.repeat(begins[order] - np.concatenate([[0], np.cumsum(lengths[order])[:-1]]), lengths[order])
        self.edges = edges[places + np.arange(len(edges))]
        self.enabled = np.zeros(self.states, np.uint32)
        self.enabled[numbers] = enabled

    def out(self, state: int) -> list[tuple[int, int]]:
        """(action, target) of each edge of a state."""
        begin = int(self.edge_ends[state - 1]) if state else 0
        return [(int(e) & 255, int(e) >> 8) for e in self.edges[begin : int(self.edge_ends[state])]]


def find_fair_cycle(run) -> tuple[int, list[int]] | None:
    """(state, actions of a cycle through it) of a fair cycle in which a thread that is not `forever` acts or sleeps; None if there is none.

    Where the search left out alternatives, an actor it did not look at counts as able: that can only hide a cycle at states of
    which others on the cycle tell more, since no cycle is without a state that was looked at whole (futures.py)."""
    graph = Graph(run)
    component = np.zeros(graph.states, np.int64)
    count = components(graph.states, graph.edges, graph.edge_ends, component)
    acted, able = np.zeros(count, np.uint32), np.full(count, 0xFFFFFFFF, np.uint32)
    judge(graph.states, graph.edges, graph.edge_ends, graph.enabled, component, count, acted, able)
    mortal = asleep = 0
    for n, thread in enumerate(run.scenario.threads):
        if not thread.forever:
            mortal |= 1 << (2 * n)
            asleep |= 1 << (SLEEPERS + n)
    never = (acted & np.uint32(mortal)) | (able & np.uint32(asleep))
    fair = ((able & np.uint32((1 << SLEEPERS) - 1) & ~acted) == 0) & (acted != 0) & (never != 0)
    if not fair.any():
        return None
    state = min(np.flatnonzero(fair[component]).tolist(), key=lambda s: (run.level(s), s))
    return state, _cycle(graph, component, state)


def _cycle(graph: Graph, component, start: int) -> list[int]:
    """Actions of a walk inside the component of `start` that takes every actor of it at least once and returns."""
    mine = component[start]
    here, walk = start, []
    wanted = {
        action & 31 for state in np.flatnonzero(component == mine) for action, target in graph.out(int(state)) if component[target] == mine
    }
    while wanted or here != start:
        path = _nearest(graph, component, mine, here, wanted, start)
        for action, target in path:
            walk.append(action)
            wanted.discard(action & 31)
            here = target
    return walk


def _nearest(graph: Graph, component, mine, here, wanted, start):
    """Shortest walk from `here` whose last action is wanted; back to `start` when nothing is."""
    seen, level = {here}, [(here, [])]
    while level:
        following = []
        for state, path in level:
            for action, target in graph.out(state):
                if component[target] != mine:
                    continue
                walk = [*path, (action, target)]
                if (action & 31 in wanted) if wanted else target == start:
                    return walk
                if target not in seen:
                    seen.add(target)
                    following.append((target, walk))
        level = following
    raise AssertionError("a strongly connected component that is not connected")
