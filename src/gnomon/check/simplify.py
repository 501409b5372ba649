"""simplify: make lowered functions small before they are explored. Meaning and order of shared accesses stay as they are.

inline what has no point of its own or a single call site → fold constants → forward copies → drop dead operations and blocks.
"""

from __future__ import annotations

from gnomon.check.form import Block, End, Function, Op, Operand, Program
from gnomon.check.liveness import live_after_ops, live_in
from gnomon.check.machine_words import FOLD

INLINE_OPS = 40
"""Kernels without points are inlined up to this size, kernels with points only where they have a single call site."""
EFFECTS = ("call", "expect", "acquired", "released")


def simplify(program: Program) -> None:
    """Simplify every function of a program, callees first."""
    done: set[int] = set()
    sites: dict[int, int] = {}
    for function in program.functions:
        for callee in function.callees():
            sites[id(callee)] = sites.get(id(callee), 0) + 1

    def visit(function: Function):
        if id(function) in done:
            return
        done.add(id(function))
        for callee in list(function.callees()):
            visit(callee)
        _inline(function, sites)
        tidy(function)

    for main in program.mains:
        visit(main)
    program.__post_init__()


def tidy(function: Function) -> None:
    """Fold, forward and drop until nothing changes."""
    while True:
        changed = _coalesce(function)
        changed |= _propagate_fixed(function)
        changed |= _forward(function)
        changed |= _merge_blocks(function)
        changed |= _drop_dead(function)
        if not changed:
            return


def _size(function: Function) -> int:
    return sum(len(block.ops) + 1 for block in function.blocks.values())


def _inline(function: Function, sites: dict[int, int]) -> None:
    serial = 0
    work = list(function.blocks)
    while work:
        label = work.pop()
        block = function.blocks[label]
        for i, op in enumerate(block.ops):
            if op.callee is None:
                continue
            callee = op.callee
            pure = not any(o.is_point or o.callee for b in callee.blocks.values() for o in b.ops)
            if not ((pure and _size(callee) <= INLINE_OPS) or sites[id(callee)] == 1):
                continue
            serial += 1
            work.append(_splice(function, label, i, serial))
            break


def _splice(function: Function, label: int, i: int, serial: int) -> int:
    """Replace the call at block `label`, operation `i`, by the callee's blocks. Returns the label of what follows it."""
    block = function.blocks[label]
    op, callee = block.ops[i], block.ops[i].callee
    base = max(function.blocks) + 1
    labels = {old: base + n for n, old in enumerate(callee.blocks)}
    after = base + len(labels)
    prefix = f"{callee.name}#{serial}."

    def rename(x: Operand) -> Operand:
        return prefix + x if isinstance(x, str) else x

    for old, source in callee.blocks.items():
        ops = [Op(o.kind, o.dest and prefix + o.dest, tuple(map(rename, o.args)), o.place, o.callee) for o in source.ops]
        end = source.end
        if end.kind == "return":
            if op.dest is not None:
                ops.append(Op("copy", op.dest, (rename(end.args[0]),), end.place))
            made = End("jump", (), (after,), end.place)
        else:
            made = End(end.kind, tuple(map(rename, end.args)), tuple(labels[t] for t in end.targets), end.place)
        function.blocks[labels[old]] = Block(ops, made)
    function.blocks[after] = Block(block.ops[i + 1 :], block.end)
    enter = [Op("copy", prefix + p, (a,), op.place) for p, a in zip(callee.params, op.args, strict=True)]
    function.blocks[label] = Block(block.ops[:i] + enter, End("jump", (), (labels[callee.entry],), op.place))
    return after


def _definitions(function: Function) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {p: [] for p in function.params}
    for block in function.blocks.values():
        for op in block.ops:
            if op.dest is not None:
                found.setdefault(op.dest, []).append(op)
    return found


def _coalesce(function: Function) -> bool:
    """`t = a + b; x = t`, where t is used nowhere else, becomes `x = a + b`."""
    uses: dict[Operand, int] = {}
    for block in function.blocks.values():
        for op in [*block.ops, block.end]:
            for a in op.args:
                uses[a] = uses.get(a, 0) + 1
    definitions = _definitions(function)
    changed = False
    for block in function.blocks.values():
        made: dict[str, int] = {}
        for j, op in enumerate(list(block.ops)):
            t = op.args[0] if op.kind == "copy" else None
            if isinstance(t, str) and t in made and uses[t] == 1 and len(definitions[t]) == 1 and t not in function.params:
                between = block.ops[made[t] + 1 : j]
                if not any(o.dest == op.dest or op.dest in o.args for o in between):
                    block.ops[made[t]].dest = op.dest
                    block.ops[j] = Op("copy", op.dest, (op.dest,), op.place)
                    changed = True
                    made[op.dest] = made.pop(t)
                    continue
            if op.dest is not None:
                made[op.dest] = j
        block.ops = [o for o in block.ops if not (o.kind == "copy" and o.args[0] == o.dest)]
    return changed


def _propagate_fixed(function: Function) -> bool:
    """A register defined once, as a constant or as a parameter that never changes, is that constant or parameter."""
    definitions = _definitions(function)
    fixed = {}
    for name, ops in definitions.items():
        if name not in function.params and len(ops) == 1 and ops[0].kind == "copy":
            source = ops[0].args[0]
            if isinstance(source, int) or (source in function.params and not definitions[source]):
                fixed[name] = source
    if not fixed:
        return False
    for block in function.blocks.values():
        block.ops = [o for o in block.ops if o.dest not in fixed]
        for op in block.ops:
            op.args = tuple(fixed.get(a, a) for a in op.args)
        block.end.args = tuple(fixed.get(a, a) for a in block.end.args)
    return True


def _forward(function: Function) -> bool:
    changed = False
    for block in function.blocks.values():
        known: dict[str, Operand] = {}
        tests: dict[str, str] = {}
        for op in block.ops:
            args = tuple(known.get(a, a) for a in op.args)
            if op.kind in FOLD and op.kind != "copy" and all(isinstance(a, int) for a in args):
                op.kind, args = "copy", (FOLD[op.kind](*args),)
                changed = True
            changed |= args != op.args
            op.args = args
            if op.dest is None:
                continue
            for name in [n for n, v in known.items() if v == op.dest or n == op.dest]:
                del known[name]
            for name in [n for n, v in tests.items() if v == op.dest or n == op.dest]:
                del tests[name]
            if op.kind == "copy" and op.args[0] != op.dest:
                known[op.dest] = op.args[0]
            if op.kind == "ne" and op.args[1] == 0 and isinstance(op.args[0], str) and op.args[0] != op.dest:
                tests[op.dest] = op.args[0]
        end = block.end
        args = tuple(known.get(a, a) for a in end.args)
        if end.kind == "branch":
            args = tuple(tests.get(a, a) for a in args)
            if isinstance(args[0], int):
                block.end = End("jump", (), (end.targets[0] if args[0] else end.targets[1],), end.place)
                changed = True
                continue
        changed |= args != end.args
        end.args = args
    return changed


def _merge_blocks(function: Function) -> bool:
    changed = False
    while True:
        sources: dict[int, int] = {function.entry: 1}
        for block in function.blocks.values():
            for target in block.end.targets:
                sources[target] = sources.get(target, 0) + 1
        unreachable = [label for label in function.blocks if label not in sources]
        for label in unreachable:
            del function.blocks[label]
        found = next(
            (
                b
                for b in function.blocks.values()
                if b.end.kind == "jump"
                and sources[b.end.targets[0]] == 1
                and b.end.targets[0] != function.entry
                and function.blocks[b.end.targets[0]] is not b
            ),
            None,
        )
        if found is None and not unreachable:
            return changed
        changed = True
        if found is not None:
            after = function.blocks.pop(found.end.targets[0])
            found.ops, found.end = found.ops + after.ops, after.end


def _drop_dead(function: Function) -> bool:
    alive = live_in(function)
    changed = False
    for block in function.blocks.values():
        kept = []
        after = live_after_ops(block, alive)
        for op, live in zip(block.ops, after, strict=True):
            dead = op.dest is not None and op.dest not in live
            if dead and not op.is_point and op.kind not in EFFECTS:
                changed = True
                continue
            if dead:
                op.dest = None
            kept.append(op)
        block.ops = kept
    return changed
