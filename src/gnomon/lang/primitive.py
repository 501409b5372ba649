"""primitive: give a plain Python function a compiled meaning and leave its Python meaning as it is.

The form is Numba's `type_callable` + `lower_builtin` on the function itself: kernels call `read_once(m, i)` in both worlds.
All arguments but a leading arena are int64 words (booleans and small integers are widened), the result is an int64 word.
"""

from __future__ import annotations

import inspect

from llvmlite import ir
from numba.core import types
from numba.extending import lower_builtin, type_callable

from gnomon.lang.compiled_arena import WORD, ArenaType

SIGN = 1 << 63
MASK = (1 << 64) - 1

PRIMITIVES: dict[str, object] = {}
"""Every primitive by name: the vocabulary that kernels may use beside Python's own operators."""


def wrap64(value: int) -> int:
    """The int64 that the low 64 bits of a Python int mean."""
    return ((value & MASK) ^ SIGN) - SIGN


def lowered_by(emit):
    """Decorator: `emit(builder, *llvm_args) -> llvm i64` is what the decorated Python function compiles to."""

    def decorate(function):
        names = list(inspect.signature(function).parameters)
        takes_arena = bool(names) and names[0] == "m"
        PRIMITIVES[function.__name__] = function

        @type_callable(function)
        def _typing(context):
            def typer(*args):
                rest = args[1:] if takes_arena else args
                if takes_arena and not isinstance(args[0], ArenaType):
                    return None
                if all(isinstance(a, (types.Integer, types.Boolean)) for a in rest):
                    return types.int64
                return None

            typer.__signature__ = inspect.signature(function)  # Numba folds arguments by the typer's own parameters
            return typer

        @lower_builtin(function, types.VarArg(types.Any))
        def _lowering(context, builder, sig, args):
            words = []
            for value, typ in zip(args, sig.args, strict=True):
                words.append(value if isinstance(typ, ArenaType) else context.cast(builder, value, typ, types.int64))
            result = emit(builder, *words)
            return result if result is not None else ir.Constant(WORD, 0)

        return function

    return decorate
