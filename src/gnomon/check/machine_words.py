"""machine_words: the meaning of local operations on int64 words, in Python (for folding) and in LLVM (for the step function)."""

from __future__ import annotations

import operator

from gnomon.check.frontend import wrapped
from gnomon.lang import arith

FOLD = {
    "copy": lambda a: a,
    "add": lambda a, b: wrapped(a + b),
    "sub": lambda a, b: wrapped(a - b),
    "mul": lambda a, b: wrapped(a * b),
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "shl": arith.shl,
    "sar": arith.sar,
    "shr": arith.shr,
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
    "lt": lambda a, b: int(a < b),
    "le": lambda a, b: int(a <= b),
    "gt": lambda a, b: int(a > b),
    "ge": lambda a, b: int(a >= b),
}

_DIRECT = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_DIRECT |= {"sdiv": "sdiv", "srem": "srem", "udiv": "udiv", "urem": "urem"}
_SHIFT = {"shl": "shl", "sar": "ashr", "shr": "lshr"}
_COMPARE = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "ult": "ult"}


def llvm(kind: str, args: list[str], fresh) -> tuple[list[str], str]:
    """LLVM lines that compute a local operation, and the name of its result. `fresh()` makes a new name."""
    result = fresh()
    if kind in _DIRECT:
        return [f"{result} = {_DIRECT[kind]} i64 {args[0]}, {args[1]}"], result
    if kind in _SHIFT:
        count = fresh()
        return [f"{count} = and i64 {args[1]}, 63", f"{result} = {_SHIFT[kind]} i64 {args[0]}, {count}"], result
    if kind in _COMPARE:
        bit = fresh()
        return [f"{bit} = icmp {_COMPARE[kind]} i64 {args[0]}, {args[1]}", f"{result} = zext i1 {bit} to i64"], result
    if kind in ("sext32", "zext32"):
        low = fresh()
        return [f"{low} = trunc i64 {args[0]} to i32", f"{result} = {kind[:4]} i32 {low} to i64"], result
    if kind in ("mulh", "mulhu", "mulhsu"):
        a, b, product, high = fresh(), fresh(), fresh(), fresh()
        first, second = "zext" if kind == "mulhu" else "sext", "sext" if kind == "mulh" else "zext"
        lines = [f"{a} = {first} i64 {args[0]} to i128", f"{b} = {second} i64 {args[1]} to i128", f"{product} = mul i128 {a}, {b}"]
        return [*lines, f"{high} = lshr i128 {product}, 64", f"{result} = trunc i128 {high} to i64"], result
    if kind == "ctz":
        return [f"{result} = call i64 @llvm.cttz.i64(i64 {args[0]}, i1 0)"], result
    if kind == "popcount":
        return [f"{result} = call i64 @llvm.ctpop.i64(i64 {args[0]})"], result
    raise AssertionError(f"no LLVM meaning of {kind}")
