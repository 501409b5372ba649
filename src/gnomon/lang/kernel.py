"""kernel: the one decorator. A kernel is a plain Python function over an arena `m` and int64 words that returns an int64 word.

    compiled      calling it: machine code with real atomics, the GIL released
    interpreted   twin(it): the same bytecode of Python itself, calling other twins, for coverage, debugging, differential tests
    checked       the explorer lowers the same function from Numba's own front end

Kernels report by status words, never by exceptions; what the dialect allows is in lint.py.
"""

from __future__ import annotations

import inspect
import types as python_types

import numba
from numba.core import types
from numba.core.dispatcher import Dispatcher

from gnomon.lang import cache
from gnomon.lang.compiled_arena import arena_type
from gnomon.lang.outline import addresses_needed, is_outlined, name_address

KERNELS: dict[str, Dispatcher] = {}
"""Every kernel by 'module.name'."""

ENTRIES: list[Dispatcher] = []
"""The kernels that Python calls while a machine runs: compiled before any guest starts."""

_twins: dict[python_types.FunctionType, python_types.FunctionType] = {}
_twin_globals: dict[int, dict] = {}


def kernel(function=None, *, entry: bool = False, inline: bool = False):
    """Mark a function as a kernel.

    entry   called from Python in a running machine: compiled before any guest starts
    inline  part of its callers however long it is (outline.py): for what is hot"""
    if function is None:
        return lambda f: kernel(f, entry=entry, inline=inline)
    cached = cache.is_covered(function.__code__.co_filename)
    dispatcher = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, cache=cached)(function)
    dispatcher.gnomon_inline = inline
    _call_with_words(dispatcher)
    _compile_with_addresses(dispatcher)
    KERNELS[f"{function.__module__}.{function.__qualname__}"] = dispatcher
    if entry:
        ENTRIES.append(dispatcher)
    return dispatcher


def _call_with_words(dispatcher: Dispatcher) -> None:
    """Have calls from kernels use the one signature. Numba would compile a kernel anew for each constant and boolean it is called with."""
    template = dispatcher.get_call_template

    def word(argument):
        return types.int64 if isinstance(types.unliteral(argument), (types.Integer, types.Boolean)) else argument

    dispatcher.get_call_template = lambda args, kws: template([word(a) for a in args], kws)


def _compile_with_addresses(dispatcher: Dispatcher) -> None:
    """Before `dispatcher` is compiled or loaded, what it calls by address is; afterwards it has its own address named (outline.py)."""
    compile_one = dispatcher.compile

    def compile_named(types_):
        if types_ in dispatcher.overloads:
            return dispatcher.overloads[types_].entry_point
        for callee in addresses_needed(dispatcher):
            compile_kernel(callee)
        entry_point = compile_one(types_)
        if types_ == signature(dispatcher) and is_outlined(dispatcher):
            name_address(dispatcher, types_)
        return entry_point

    dispatcher.compile = compile_named


def signature(k: Dispatcher) -> tuple:
    """The one signature of a kernel: the arena where the first parameter is `m`, int64 words elsewhere."""
    names = list(inspect.signature(k.py_func).parameters)
    return tuple(arena_type if n == 0 and name == "m" else types.int64 for n, name in enumerate(names))


def compile_kernel(k: Dispatcher) -> None:
    """Compile `k` for its one signature, or load it from the cache."""
    k.compile(signature(k))


def twin(k: Dispatcher) -> python_types.FunctionType:
    """The interpreted twin of a kernel: same bytecode, its kernel callees replaced by their twins, primitives by their Python meaning."""
    function = k.py_func
    if function in _twins:
        return _twins[function]
    home = function.__globals__
    scope = _twin_globals.get(id(home))
    if scope is None:
        scope = _twin_globals[id(home)] = dict(home)
        fresh = [name for name, value in scope.items() if isinstance(value, Dispatcher)]
    else:
        fresh = []
    made = python_types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    _twins[function] = made
    for name in fresh:
        scope[name] = twin(home[name])
    return made
