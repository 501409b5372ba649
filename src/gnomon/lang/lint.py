"""lint: is this source inside the kernel dialect?

A kernel is made of: assignments to plain names, `if`, `while`, `for … in range`, `return`, `break`, `continue`, `pass`, calls of
kernels and primitives by name, int constants, layout fields (`SP.gfn`), comparisons, and the operators + - * & | ^ ~ << >> and or not.
Nothing else: no `/`, no `//`, no `%`, no `**` (their meaning differs between Python and machine words; see arith.py), no
subscripts, floats, strings, exceptions, closures, recursion or default arguments.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

_STATEMENTS = (ast.Assign, ast.AugAssign, ast.If, ast.While, ast.For, ast.Return, ast.Break, ast.Continue, ast.Pass, ast.Expr)
_EXPRESSIONS = (ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.IfExp, ast.Attribute)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
MAX_ARGUMENTS = 8


@dataclass(frozen=True)
class Fault:
    """One place outside the dialect: `file:line reason`."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason}"


def is_kernel(node: ast.AST) -> bool:
    """Whether a function definition carries @kernel or @kernel(...)."""
    if not isinstance(node, ast.FunctionDef):
        return False
    names = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(isinstance(name, ast.Name) and name.id == "kernel" for name in names)


def lint_file(path: Path) -> list[Fault]:
    """Every fault of every kernel in a source file."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    faults: list[Fault] = []
    for node in ast.walk(tree):
        if is_kernel(node):
            faults += lint_function(node, str(path))
    return faults


def lint_function(function: ast.FunctionDef, file: str) -> list[Fault]:
    """Every fault of one kernel."""
    faults = [Fault(file, node.lineno, reason) for node, reason in _faults(function)]
    if not ast.get_docstring(function):
        faults.append(Fault(file, function.lineno, f"kernel {function.name} has no docstring"))
    return faults


def _faults(function):
    arguments = function.args
    if arguments.defaults or arguments.kwonlyargs or arguments.vararg or arguments.kwarg:
        yield function, f"kernel {function.name} has default, keyword-only or variable arguments"
    if len(arguments.args) > MAX_ARGUMENTS:
        yield function, f"kernel {function.name} has {len(arguments.args)} arguments, the dialect allows {MAX_ARGUMENTS}"
    body = function.body[1:] if ast.get_docstring(function) else function.body
    for statement in body:
        for node in ast.walk(statement):
            reason = _reason(node, function.name)
            if reason:
                yield node, reason


def _reason(node, own_name) -> str | None:
    kind = type(node).__name__
    if isinstance(node, ast.stmt) and not isinstance(node, _STATEMENTS):
        return f"statement {kind} is not in the dialect"
    if isinstance(node, ast.expr) and not isinstance(node, _EXPRESSIONS):
        return f"expression {kind} is not in the dialect"
    match node:
        case ast.Constant(value=value) if type(value) not in (int, bool):
            return f"constant {value!r} is not an int"
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if not isinstance(operator, _OPERATORS):
            return f"operator {type(operator).__name__} is not in the dialect"
        case ast.Compare(ops=operators) if not all(isinstance(o, _COMPARISONS) for o in operators):
            return "only == != < <= > >= compare words"
        case ast.Assign(targets=targets) if len(targets) != 1 or not isinstance(targets[0], ast.Name):
            return "a kernel assigns to one plain name at a time"
        case ast.AugAssign(target=target) if not isinstance(target, ast.Name):
            return "a kernel assigns to plain names only"
        case ast.For(iter=ast.Call(func=ast.Name(id="range")), orelse=[]):
            return None
        case ast.For():
            return "a for loop runs over range(...)"
        case ast.While(orelse=orelse) if orelse:
            return "while … else is not in the dialect"
        case ast.Call(func=ast.Name(id=name)) if name == own_name:
            return "recursion is not in the dialect"
        case ast.Call(func=ast.Name()) if not node.keywords:
            return None
        case ast.Call():
            return "a call names a kernel or primitive and passes plain arguments"
        case ast.Attribute(value=ast.Name()):
            return None
        case ast.Attribute():
            return "only layout fields (RECORD.field) have a dot"
        case ast.Expr(value=value) if not isinstance(value, ast.Call):
            return "a statement without effect"
    return None
