"""source: which kernels and constants a scenario is made of: the real ones, some overridden or replaced by mutants.

    Source(constants={"gnomon.lang.fixed.MAX_THREADS": 2}, replace={guest_enter: guest_enter_without_barrier})

One Source lowers kernels for the explorer and makes their interpreted twins for set-up, both with the same meaning. An override
holds wherever its name was imported with the same value; constants derived from it at import time keep theirs.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import types as python_types

from numba.core.dispatcher import Dispatcher

from gnomon.check.form import Function
from gnomon.check.frontend import Frontend, OutsideDialect, Primitive
from gnomon.check.specification import SUBSTITUTES
from gnomon.lang.kernel import KERNELS
from gnomon.lang.primitive import PRIMITIVES


class Source:
    """A view of the kernels with overrides. Raises ValueError for a name that does not exist."""

    def __init__(self, constants: dict[str, int] | None = None, replace: dict | None = None):
        self.constants = dict(constants or {})
        self.replaced = {python_function(old): python_function(new) for old, new in (replace or {}).items()}
        self._overrides = {name.rpartition(".")[2]: (self._original(name), value) for name, value in self.constants.items()}
        self._lowered: dict[python_types.FunctionType, Function] = {}
        self._twins: dict[python_types.FunctionType, python_types.FunctionType] = {}
        self._scopes: dict[int, dict] = {}
        self._lowering: list[python_types.FunctionType] = []
        self.used: set[python_types.FunctionType] = set()

    @staticmethod
    def _original(name: str) -> int:
        module, _, attribute = name.rpartition(".")
        try:
            value = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError):
            raise ValueError(f"no constant {name}; write it as module.NAME: {name}") from None
        if not isinstance(value, int):
            raise ValueError(f"{name} is not an int constant: {value!r}")
        return value

    def constant(self, name: str, value: int) -> int:
        original, override = self._overrides.get(name, (None, None))
        return override if original == value and override is not None else value

    def meant(self, function):
        """The function that runs where `function` is called: itself or its mutant."""
        return self.replaced.get(function, function)

    def lower(self, k) -> Function:
        """The lowered form of a kernel, with everything it calls."""
        function = self.meant(python_function(k))
        if function in self._lowered:
            if function in self._lowering:
                raise OutsideDialect(function.__code__.co_filename, function.__code__.co_firstlineno, f"{function.__name__} is recursive")
            return self._lowered[function]
        self.used.add(function)
        made = self._lowered[function] = Function(function.__name__, function.__code__.co_filename, (), {}, 0)
        self._lowering.append(function)
        Frontend(function, self._resolve).lower(made)
        self._lowering.pop()
        return made

    def _resolve(self, value, name, function, line):
        if isinstance(value, int):
            return self.constant(name, int(value))
        if value is range or value is bool or value is int:
            return value
        if isinstance(value, python_types.ModuleType) or (isinstance(value, tuple) and hasattr(value, "_fields")):
            return value
        if inspect.isfunction(value) and value in self.replaced:
            return self.lower(value)  # a primitive that the scenario replaces
        substitute = SUBSTITUTES.get(getattr(value, "__name__", ""))
        if substitute is not None and PRIMITIVES.get(value.__name__) is value:
            return self.lower(substitute)
        if isinstance(value, Dispatcher):
            return self.lower(value)
        if callable(value) and PRIMITIVES.get(getattr(value, "__name__", "")) is value:
            return Primitive(value.__name__)
        raise OutsideDialect(function.__code__.co_filename, line, f"{name} is not an int, a layout, a kernel or a primitive")

    def interpreted(self, k) -> python_types.FunctionType:
        """The same kernel as plain Python over an Arena, with the same overrides and replacements."""
        function = self.meant(python_function(k))
        if function in self._twins:
            return self._twins[function]
        home = function.__globals__
        fresh = id(home) not in self._scopes
        scope = self._scopes.setdefault(id(home), dict(home))
        made = python_types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
        self._twins[function] = made
        if fresh:
            for name, value in home.items():
                if isinstance(value, Dispatcher):
                    scope[name] = self.interpreted(value)
                elif type(value) is int:
                    scope[name] = self.constant(name, value)
        return made

    def digest(self) -> str:
        """Changes when the text of a used kernel, an override or a replacement does."""
        state = hashlib.blake2b(digest_size=16)
        for function in sorted(self.used, key=lambda f: (f.__module__, f.__qualname__)):
            state.update(f"{function.__module__}.{function.__qualname__}\n{inspect.getsource(function)}\0".encode())
        for old, new in sorted(self.replaced.items(), key=lambda pair: pair[0].__qualname__):
            state.update(f"{old.__qualname__}->{new.__qualname__}\0".encode())
        state.update(repr(sorted(self.constants.items())).encode())
        return state.hexdigest()


def python_function(k) -> python_types.FunctionType:
    """The Python function of a kernel given as dispatcher, function or 'module.name'."""
    if isinstance(k, str):
        module = k.rpartition(".")[0]
        try:
            importlib.import_module(module)
            k = KERNELS[k]
        except (ImportError, KeyError, ValueError):
            raise ValueError(f"no kernel {k}; write it as module.name: {k}") from None
    return k.py_func if isinstance(k, Dispatcher) else k
