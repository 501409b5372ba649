"""frontend: a kernel's Python function, through Numba's own front end, to the lowered form.

Constants (module ints, layout fields) become numbers; the arena parameter disappears; `range` becomes two registers; primitives
become operations. What the dialect does not allow is refused with file, line and reason: OutsideDialect.
"""

from __future__ import annotations

import operator
import warnings
from types import ModuleType

from numba.core import ir
from numba.core.compiler import run_frontend
from numba.core.errors import NumbaError

from gnomon.check.form import MAX_THREADS, Block, End, Function, Op, Operand, Place

BINARY = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.and_: "and",
    operator.or_: "or",
    operator.xor: "xor",
    operator.lshift: "shl",
    operator.rshift: "sar",
    operator.eq: "eq",
    operator.ne: "ne",
    operator.lt: "lt",
    operator.le: "le",
    operator.gt: "gt",
    operator.ge: "ge",
}
IMMUTABLE = {
    operator.iadd: "add",
    operator.isub: "sub",
    operator.imul: "mul",
    operator.iand: "and",
    operator.ior: "or",
    operator.ixor: "xor",
}
IMMUTABLE |= {operator.ilshift: "shl", operator.irshift: "sar"}
PURE = ("wrap", "sext32", "zext32", "shl", "shr", "sar", "ult", "ctz", "popcount")
PURE += ("mul", "mulh", "mulhu", "mulhsu", "sdiv", "srem", "udiv", "urem")
POINT_OF = {
    "read_once": "read",
    "load_acquire": "read",
    "write_once": "write",
    "store_release": "write",
    "cmpxchg": "cmpxchg",
    "xchg": "xchg",
    "fetch_add": "fetch_add",
    "fetch_or": "fetch_or",
    "fetch_and": "fetch_and",
    "note": "note",
}
BYTE_ADDRESSED = {f"load{bits}{s}": ("read", bits, bool(s)) for bits in (8, 16, 32, 64) for s in ("", "s")}
BYTE_ADDRESSED |= {f"store{bits}": ("write", bits, False) for bits in (8, 16, 32, 64)}
BYTE_ADDRESSED |= {f"cmpxchg_guest{bits}": ("cmpxchg", bits, True) for bits in (32, 64)}
BYTE_ADDRESSED |= {f"amo_swap{bits}": ("xchg", bits, True) for bits in (32, 64)}
BYTE_ADDRESSED |= {
    f"amo_{name}{bits}": (f"fetch_{name}", bits, True)
    for name in ("add", "or", "and", "xor", "min", "max", "minu", "maxu")
    for bits in (32, 64)
}
"""Accesses by byte offset: what they do to the word or to a part of it, their bits, whether a part comes sign-extended."""
NOTHING = ("rmb", "wmb", "barrier", "cpu_relax", "sched_yield", "monotonic_ns", "cpu_ticks")
"""Local and without effect here: TSO keeps loads and stores in order, the scheduler tries every order, and time stands still."""

ARENA = object()


class OutsideDialect(ValueError):
    """A kernel that cannot be checked: `file:line reason`."""

    def __init__(self, file: str, line: int, reason: str):
        super().__init__(f"{file}:{line} {reason}")


class Frontend:
    """Lowers one function. `resolve(value, name, function)` says what a global means: an int, a layout, or a Function to call."""

    def __init__(self, function, resolve):
        self.function, self.resolve = function, resolve
        self.file, self.name = function.__code__.co_filename, function.__name__
        self.definitions: dict[str, list] = {}
        self._statics: dict[str, object] = {}
        self._ranges: dict[int, str] = {}

    def lower(self, into: Function) -> None:
        """Fill `into`, whose name and place callers may know already."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lowered = run_frontend(self.function)
        except NumbaError as error:
            self.refuse(self.function.__code__.co_firstlineno, f"Numba's front end refuses it: {str(error).splitlines()[0]}")
        for block in lowered.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self.definitions.setdefault(statement.target.name, []).append(statement.value)
        names = list(lowered.arg_names)
        self.arena = "m" if names and names[0] == "m" else None
        into.params = tuple(n for n in names if n != self.arena)
        into.blocks = {label: self._block(block) for label, block in lowered.blocks.items()}
        into.entry = min(lowered.blocks)

    def refuse(self, line: int, reason: str):
        raise OutsideDialect(self.file, line, reason)

    def _place(self, node) -> Place:
        return (self.file, node.loc.line, self.name)

    def static(self, name: str):
        """What a variable means at compile time (arena, int, layout, callable, range), or None when it is a word computed at run time."""
        if name in self._statics:
            return self._statics[name]
        self._statics[name] = None  # what is defined by itself, round a loop, is computed at run time
        meanings = [self._meaning(value) for value in self.definitions.get(name, [])]
        known = bool(meanings) and all(m is not None and (m is meanings[0] or m == meanings[0]) for m in meanings)
        self._statics[name] = meanings[0] if known else None
        return self._statics[name]

    def _meaning(self, value):
        match value:
            case ir.Arg() if value.name == self.arena:
                return ARENA
            case ir.Const() if value.value is None:
                return 0
            case ir.Const() if isinstance(value.value, int):
                return int(value.value)
            case ir.Const():
                self.refuse(value.loc.line, f"constant {value.value!r} is not an int")
            case ir.Global() | ir.FreeVar():
                return self.resolve(value.value, value.name, self.function, value.loc.line)
            case ir.Var():
                return self.static(value.name)
            case ir.Expr(op="getattr"):
                layout = self.static(value.value.name)
                if isinstance(layout, tuple | ModuleType) and isinstance(getattr(layout, value.attr, None), int):
                    return int(getattr(layout, value.attr))
                self.refuse(value.loc.line, f"only layout fields and a module's constants have a dot: .{value.attr}")
            case ir.Expr(op="call") if self.static(value.func.name) is range:
                return ("range", value)
            case ir.Expr(op="getiter"):
                return self.static(value.value.name)
            case ir.Expr(op="cast"):
                return self.static(value.value.name)
        return None

    def operand(self, var: ir.Var) -> Operand:
        meaning = self.static(var.name)
        if meaning is None:
            return var.name
        if isinstance(meaning, int):
            return wrapped(meaning)
        self.refuse(var.loc.line, f"{var.name.split('.')[0]} is not an int64 word")

    def _block(self, block) -> Block:
        ops: list[Op] = []
        end = None
        for statement in block.body:
            place = self._place(statement)
            match statement:
                case ir.Assign():
                    if self.static(statement.target.name) is None:
                        self._assign(ops, statement.target.name, statement.value, place)
                    elif isinstance(statement.value, ir.Expr) and statement.value.op == "getiter":
                        self._begin_range(ops, self.static(statement.target.name)[1], place)
                case ir.Branch():
                    end = End("branch", (self.operand(statement.cond),), (statement.truebr, statement.falsebr), place)
                case ir.Jump():
                    end = End("jump", (), (statement.target,), place)
                case ir.Return():
                    end = End("return", (self.operand(statement.value),), (), place)
                case ir.Del():
                    pass
                case _:
                    self.refuse(statement.loc.line, f"statement {type(statement).__name__} is not in the dialect")
        assert end is not None, "a block of Numba's front end without a terminator"
        return Block(ops, end)

    def _assign(self, ops, dest, value, place) -> None:
        match value:
            case ir.Arg():
                return
            case ir.Const():
                ops.append(Op("copy", dest, (wrapped(value.value or 0),), place))
            case ir.Var():
                ops.append(Op("copy", dest, (self.operand(value),), place))
            case ir.Global() | ir.FreeVar():
                ops.append(Op("copy", dest, (wrapped(self._meaning(value)),), place))
            case ir.Expr(op="binop") if value.fn in BINARY:
                ops.append(Op(BINARY[value.fn], dest, (self.operand(value.lhs), self.operand(value.rhs)), place))
            case ir.Expr(op="inplace_binop") if value.fn in IMMUTABLE:
                ops.append(Op(IMMUTABLE[value.fn], dest, (self.operand(value.lhs), self.operand(value.rhs)), place))
            case ir.Expr(op="unary"):
                self._unary(ops, dest, value, place)
            case ir.Expr(op="cast"):
                ops.append(Op("copy", dest, (self.operand(value.value),), place))
            case ir.Expr(op="getattr"):
                ops.append(Op("copy", dest, (wrapped(self._meaning(value)),), place))
            case ir.Expr(op="iternext"):
                self._next(ops, dest, self.static(value.value.name)[1], place)
            case ir.Expr(op="pair_first"):
                ops.append(Op("copy", dest, (value.value.name + ".value",), place))
            case ir.Expr(op="pair_second"):
                ops.append(Op("copy", dest, (value.value.name + ".more",), place))
            case ir.Expr(op="call"):
                self._call(ops, dest, value, place)
            case ir.Expr():
                self.refuse(place[1], f"expression {value.op} is not in the dialect")
            case _:
                self.refuse(place[1], f"{type(value).__name__} is not in the dialect")

    def _unary(self, ops, dest, value, place) -> None:
        argument = self.operand(value.value)
        operation = {operator.invert: ("xor", -1), operator.not_: ("eq", 0), operator.neg: ("neg", None), operator.pos: ("copy", None)}
        if value.fn not in operation:
            self.refuse(place[1], f"operator {value.fn} is not in the dialect")
        kind, other = operation[value.fn]
        if kind == "neg":
            ops.append(Op("sub", dest, (0, argument), place))
        else:
            ops.append(Op(kind, dest, (argument,) if other is None else (argument, other), place))

    def _begin_range(self, ops, call, place) -> None:
        arguments = [self.operand(a) for a in call.args]
        start, stop, step = (0, arguments[0], 1) if len(arguments) == 1 else (*arguments, 1)[:3]
        if not isinstance(step, int) or step == 0:
            self.refuse(place[1], "the step of a range is a constant other than 0")
        name = self._range_name(call)
        ops.append(Op("copy", f"{name}.next", (start,), place))
        ops.append(Op("copy", f"{name}.stop", (stop,), place))

    def _range_name(self, call) -> str:
        return self._ranges.setdefault(id(call), f"range{len(self._ranges)}")

    def _next(self, ops, dest, call, place) -> None:
        name = self._range_name(call)
        step = self.operand(call.args[2]) if len(call.args) == 3 else 1
        ops.append(Op("copy", f"{dest}.value", (f"{name}.next",), place))
        ops.append(Op("lt" if step > 0 else "gt", f"{dest}.more", (f"{name}.next", f"{name}.stop"), place))
        ops.append(Op("add", f"{name}.next", (f"{name}.next", step), place))

    def _call(self, ops, dest, value, place) -> None:
        callee = self.static(value.func.name)
        if value.kws or value.vararg is not None:
            self.refuse(place[1], "a call passes plain arguments")
        plain = [a for a in value.args if self.static(a.name) is not ARENA]
        arguments = tuple(self.operand(a) for a in plain)
        if isinstance(callee, Function):
            if len(arguments) != len(callee.params):
                self.refuse(place[1], f"{callee.name} takes {len(callee.params)} words, {len(arguments)} given")
            ops.append(Op("call", dest, arguments, place, callee))
        elif callee is int:
            ops.append(Op("copy", dest, (arguments[0],), place))
        elif callee is bool:
            ops.append(Op("ne", dest, (arguments[0], 0), place))
        elif isinstance(callee, Primitive):
            self._primitive(ops, dest, callee.name, arguments, place)
        else:
            self.refuse(place[1], f"call of {value.func.name}, which is no kernel and no primitive")

    def _primitive(self, ops, dest, name, arguments, place) -> None:
        if name in POINT_OF:
            ops.append(Op(POINT_OF[name], dest, arguments, place))
        elif name in BYTE_ADDRESSED:
            self._byte_addressed(ops, dest, *BYTE_ADDRESSED[name], arguments, place)
        elif name == "fetch32":  # may be torn: two halves
            low, high = dest + ".low", dest + ".high"
            self._byte_addressed(ops, low, "read", 16, False, arguments, place)
            ops.append(Op("add", high + ".at", (arguments[0], 2), place))
            self._byte_addressed(ops, high, "read", 16, False, (high + ".at",), place)
            ops.append(Op("shl", high, (high, 16), place))
            ops.append(Op("or", dest, (low, high), place))
        elif name in ("mb", "membarrier", "choose"):
            ops.append(Op(name, dest, arguments, place))
        elif name == "wrap":
            ops.append(Op("copy", dest, arguments, place))
        elif name in PURE:
            ops.append(Op(name, dest, arguments, place))
        elif name == "expect":
            ops.append(Op("expect", None, arguments, place))
            ops.append(Op("copy", dest, arguments, place))
        elif name in NOTHING:
            ops.append(Op("copy", dest, (0,), place))
        elif name == "futex_wait":
            ops.append(Op(name, dest, arguments, place))
        elif name == "futex_wake":
            count = arguments[1]
            if not isinstance(count, int) or 1 < count < MAX_THREADS:
                self.refuse(place[1], f"futex_wake() wakes one, or at least {MAX_THREADS}, which is everybody: a constant")
            ops.append(Op(name, dest, arguments, place))
        else:
            self.refuse(place[1], f"primitive {name} is not modelled")

    def _byte_addressed(self, ops, dest, kind, bits, signed, arguments, place) -> None:
        """An access by byte offset. One that is not aligned is a violation: of a word, it is turned into an address outside memory."""
        at, values = arguments[0], arguments[1:]
        word, inside = dest + ".word", dest + ".inside"
        ops.append(Op("shr", word, (at, 3), place))
        if bits == 64:
            ops.append(Op("shl", inside, (at, 61), place))
            ops.append(Op("or", word, (word, inside), place))
            ops.append(Op(kind, dest, (word, *values), place))
            return
        ops.append(Op("and", inside, (at, 7), place))
        ops.append(Op("shl", inside, ((1 << bits // 8) - 1, inside), place))
        if kind in ("read", "write"):
            ops.append(Op(kind + "_part", dest, (word, inside, *values), place))
            if signed:
                ops.append(Op("shl", dest, (dest, 64 - bits), place))
                ops.append(Op("sar", dest, (dest, 64 - bits), place))
            return
        for n, value in enumerate(values):
            ops.append(Op("sext32", f"{dest}.value{n}", (value,), place))
        ops.append(Op(kind + "32", dest, (word, inside, *(f"{dest}.value{n}" for n in range(len(values)))), place))


class Primitive:
    """A primitive of the dialect, by name."""

    def __init__(self, name: str):
        self.name = name

    def __eq__(self, other):
        return isinstance(other, Primitive) and other.name == self.name

    __hash__ = None


def wrapped(value: int) -> int:
    """The int64 that the low 64 bits of `value` mean."""
    value = int(value) & (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
