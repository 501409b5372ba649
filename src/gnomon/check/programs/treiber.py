"""A Treiber stack on a type-stable pool: the tutorial's program, with its ABA and the fix.

    stack     one word: tag << 8 | node number, 0 = no node; node n is the word stack + n and holds the number of the next one
    owner     one word a node behind the nodes: 1 while a thread has it

Nodes are reused at once, as in a SLAB_TYPESAFE_BY_RCU cache. TAGS = 1 is the naive stack: a thread that read head A and next B
may succeed although A was popped, B too, and A pushed again: B is then owned and in the stack at once. With TAGS > 1 every
success changes the head, so the late cmpxchg fails; it is safe as long as fewer than TAGS successes fit between read and cmpxchg.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, read_once, write_once, xchg

TAGS = 64
NODES = 3
NODE_BITS = 8
NODE_MASK = (1 << NODE_BITS) - 1
STACK_AT = 256


@kernel
def stack_init(m, stack):
    """Nodes 1 … NODES in the stack, 1 on top."""
    for n in range(1, NODES + 1):
        write_once(m, stack + n, n + 1 if n < NODES else 0)
    write_once(m, stack, 1)
    return stack


@kernel
def next_head(head, node):
    """The head word that follows `head` when `node` comes on top."""
    tag = (head >> NODE_BITS) + 1
    if tag >= TAGS:
        tag = 0
    return tag << NODE_BITS | node


@kernel
def pop(m, stack):
    """Take the top node. Returns its number, 0 when the stack is empty."""
    while True:
        head = read_once(m, stack)
        node = head & NODE_MASK
        if node == 0:
            return 0
        following = read_once(m, stack + node)  # the node may be somebody else's by now: type-stable, so harmless to read
        if cmpxchg(m, stack, head, next_head(head, following)) == head:
            return node


@kernel
def push(m, stack, node):
    """Put a node on top."""
    while True:
        head = read_once(m, stack)
        write_once(m, stack + node, head & NODE_MASK)
        if cmpxchg(m, stack, head, next_head(head, node)) == head:
            return 0


@kernel
def pop_owned(m, stack):
    """pop(), claiming that nobody else has the node."""
    node = pop(m, stack)
    if node:
        expect(xchg(m, stack + NODES + node, 1) == 0)
    return node


@kernel
def push_owned(m, stack, node):
    """push() of a node that we have."""
    if node:
        write_once(m, stack + NODES + node, 0)
        push(m, stack, node)
    return 0


@kernel
def worker(m, stack):
    """pop a, pop b, push a, push b: what makes the order of nodes change, and ABA possible."""
    a = pop_owned(m, stack)
    b = pop_owned(m, stack)
    push_owned(m, stack, a)
    push_owned(m, stack, b)
    return 0


@kernel
def bare_worker(m, stack):
    """The same without the owner words."""
    a = pop(m, stack)
    b = pop(m, stack)
    if a:
        push(m, stack, a)
    if b:
        push(m, stack, b)
    return 0


@kernel
def push_filled(m, stack, node, me, turn):
    """push() of a node with two words of payload written before."""
    write_once(m, stack + 2 * NODES + node, me)
    write_once(m, stack + 3 * NODES + node, turn)
    push(m, stack, node)
    return 0


@kernel
def payload_worker(m, stack, me, turns):
    """pop a, pop b, fill and push a, fill and push b, `turns` times: stores that a store buffer may hold back."""
    for turn in range(turns):
        a = pop(m, stack)
        b = pop(m, stack)
        if a:
            push_filled(m, stack, a, me, turn)
        if b:
            push_filled(m, stack, b, me, turn)
    return 0


@kernel
def all_present(m, stack):
    """1 if every node is in the stack once."""
    seen = 0
    node = read_once(m, stack) & NODE_MASK
    for _i in range(NODES):
        seen |= 1 << node
        node = read_once(m, stack + node)
    return seen == ((1 << NODES) - 1) << 1 and node == 0


def treiber(threads: int = 2, tags: int = TAGS, nodes: int = NODES, bare: bool = False) -> Scenario:
    """Each thread pops two nodes and pushes them back in the other order. tags=1 is the naive stack."""
    scenario = Scenario(
        f"treiber/{'naive' if tags == 1 else 'tagged'}",
        words=1024,
        constants={f"{__name__}.TAGS": tags, f"{__name__}.NODES": nodes},
        progress=False,
    )
    stack = scenario.run(stack_init, STACK_AT)
    for n in range(threads):
        scenario.thread(f"worker {n}", call(bare_worker if bare else worker, stack))
    scenario.at_end("every node is in the stack once", all_present, stack)
    scenario.label(stack, "head")
    for n in range(1, nodes + 1):
        scenario.label(stack + n, f"node {n}.next")
        scenario.label(stack + nodes + n, f"node {n}.owner")
    return scenario


def filled(threads: int, turns: int) -> Scenario:
    """Threads that write who they are and which turn it is into every node they push, `turns` times: what TSO costs in states."""
    scenario = Scenario("treiber/filled", words=1024, constants={f"{__name__}.TAGS": TAGS, f"{__name__}.NODES": NODES}, progress=False)
    stack = scenario.run(stack_init, STACK_AT)
    for n in range(threads):
        scenario.thread(f"worker {n}", call(payload_worker, stack, n, turns))
    scenario.at_end("every node is in the stack once", all_present, stack)
    return scenario
