"""demand: which bits of what an access reads can make a difference to the program: backwards from branches, stores and addresses.

It says whether a scenario's only_bits() is true of an access. Bits that go nowhere but back into the word they came from, by
operations whose low bits depend on low bits only (a counter that is read, incremented and stored), make no difference.
"""

from __future__ import annotations

from gnomon.check.form import LOCKED, PART, Function, Op, Operand, Program

ALL = (1 << 64) - 1
LOW_CLOSED = ("add", "sub", "mul", "and", "or", "xor")
"""Operations of which bit n of the result depends on bits 0 … n of the arguments."""


def demanded(program: Program) -> dict[int, int]:
    """For each access, by the id of its operation, the bits of its result that somebody looks at, as an int64."""
    wanted: dict[tuple[Function, str], int] = {}
    results: dict[Function, int] = {}
    definitions = {f: _definitions(f) for f in program.functions}
    changed = True

    def want(function: Function, operand: Operand, bits: int) -> None:
        nonlocal changed
        if isinstance(operand, str) and bits & ~wanted.get((function, operand), 0):
            wanted[function, operand] = wanted.get((function, operand), 0) | bits
            changed = True

    while changed:
        changed = False
        for function in program.functions:
            for block in function.blocks.values():
                for op in block.ops:
                    bits = wanted.get((function, op.dest), 0)
                    if op.callee is not None:
                        if bits & ~results.get(op.callee, 0):
                            results[op.callee] = results.get(op.callee, 0) | bits
                            changed = True
                        for parameter, argument in zip(op.callee.params, op.args, strict=True):
                            want(function, argument, wanted.get((op.callee, parameter), 0))
                        continue
                    own = _same_word(function, op, definitions[function])
                    for n, argument in enumerate(op.args):
                        if own is not None and n == 1:
                            want(function, own, ALL)
                        else:
                            want(function, argument, _of_argument(op, n, bits))
                end = block.end
                for argument in end.args:
                    want(function, argument, ALL if end.kind == "branch" else results.get(function, 0))
    found = {}
    for function in program.functions:
        for block in function.blocks.values():
            for op in block.ops:
                if op.kind in ("read", "read_part") or op.kind in LOCKED:
                    bits = ALL if op.kind == "cmpxchg" or op.kind in PART else wanted.get((function, op.dest), 0)
                    found[id(op)] = bits - (1 << 64) if bits >> 63 else bits
                elif op.kind == "futex_wait":
                    found[id(op)] = 0xFFFFFFFF
    return found


def _of_argument(op: Op, n: int, bits: int) -> int:
    """The bits of argument `n` that matter when `bits` of the result do."""
    if op.is_point or op.kind in ("expect", "acquired", "released"):
        return ALL
    if not bits:
        return 0
    other = op.args[1 - n] if len(op.args) == 2 else None
    match op.kind:
        case "copy" | "xor":
            return bits
        case "and":
            return bits & other if isinstance(other, int) else bits
        case "or":
            return bits & ~other & ALL if isinstance(other, int) else bits
        case "add" | "sub" | "mul":
            return (1 << bits.bit_length()) - 1
        case "shl" if n == 0 and isinstance(other, int):
            return bits >> (other & 63)
        case "shr" if n == 0 and isinstance(other, int):
            return bits << (other & 63) & ALL
        case "zext32":
            return bits & 0xFFFFFFFF
    return ALL


def _definitions(function: Function) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {}
    for block in function.blocks.values():
        for op in block.ops:
            if op.dest is not None:
                found.setdefault(op.dest, []).append(op)
    return found


def _same_word(function: Function, op: Op, definitions) -> Operand | None:
    """For a store of `x op y` where x was read from that very word: y. Else None."""
    if op.kind not in ("write", "xchg") or not isinstance(op.args[1], str):
        return None
    made = definitions.get(op.args[1], [])
    if len(made) != 1 or made[0].kind not in LOW_CLOSED:
        return None
    for x, y in (made[0].args, made[0].args[::-1]):
        read = definitions.get(x, []) if isinstance(x, str) else []
        if len(read) == 1 and read[0].kind == "read":
            place = _meaning(function, read[0].args[0], definitions)
            if place is not None and place == _meaning(function, op.args[0], definitions):
                return y
    return None


def _meaning(function: Function, operand: Operand, definitions):
    """An address as an expression over constants and registers that are set once; None if there is no such."""
    if isinstance(operand, int):
        return operand
    made = definitions.get(operand, [])
    if operand in function.params:
        return operand if not made else None
    if len(made) != 1:
        return None
    if made[0].kind in LOW_CLOSED or made[0].kind == "copy":
        parts = tuple(_meaning(function, a, definitions) for a in made[0].args)
        return None if None in parts else (made[0].kind, *parts)
    return operand
