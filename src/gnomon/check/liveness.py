"""liveness: which registers of a lowered function may still be read."""

from __future__ import annotations

from gnomon.check.form import Block, Function


def live_in(function: Function) -> dict[int, frozenset[str]]:
    """Registers live at the start of every block."""
    alive: dict[int, frozenset[str]] = {label: frozenset() for label in function.blocks}
    changed = True
    while changed:
        changed = False
        for label, block in reversed(function.blocks.items()):
            now = set(_at_end(block, alive))
            for op in reversed(block.ops):
                now.discard(op.dest)
                now.update(a for a in op.args if isinstance(a, str))
            if now != alive[label]:
                alive[label] = frozenset(now)
                changed = True
    return alive


def live_after_ops(block: Block, alive: dict[int, frozenset[str]]) -> list[frozenset[str]]:
    """Registers live after each operation of a block, given live_in() of its function."""
    now = set(_at_end(block, alive))
    after = []
    for op in reversed(block.ops):
        after.append(frozenset(now))
        now.discard(op.dest)
        now.update(a for a in op.args if isinstance(a, str))
    return after[::-1]


def _at_end(block: Block, alive) -> set[str]:
    now = {a for a in block.end.args if isinstance(a, str)}
    for target in block.end.targets:
        now |= alive[target]
    return now
