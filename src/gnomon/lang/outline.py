"""outline: large kernels are called by address, small ones become part of their callers.

Numba links a callee's whole tree into every caller and optimises it there again, so compile time grows with the depth of the call graph:
the MMU's slow paths were compiled some ten times over. A kernel of more than OUTLINE_BYTES of bytecode is compiled once instead; its
callers declare the symbol `gnomon.module.name`, which names its address in this process. A call costs a nanosecond or two: what is hot
and long says `@kernel(inline=True)`.

O1  The address of a kernel is named before machine code that calls it is linked, whether that code is compiled now or comes from the cache.
O2  A symbol stands for the one signature of its kernel (kernel.py); an overload that Python made by other types never gets it.
"""

from __future__ import annotations

import dis
import functools
import types as python_types

from llvmlite import binding
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher

OUTLINE_BYTES = 300


def is_outlined(k: Dispatcher) -> bool:
    """Whether callers call `k` by address."""
    return not k.gnomon_inline and len(k.py_func.__code__.co_code) > OUTLINE_BYTES


def kernels_called(function: python_types.FunctionType) -> list[Dispatcher]:
    """The kernels that a function calls itself."""
    names = {i.argval for i in dis.get_instructions(function) if i.opname == "LOAD_GLOBAL"}
    found = [function.__globals__.get(name) for name in sorted(names)]
    return [other for other in found if isinstance(other, Dispatcher)]


@functools.cache
def addresses_needed(k: Dispatcher) -> frozenset[Dispatcher]:
    """The outlined kernels that the machine code of `k` calls, by way of inlined ones too."""
    found = set()
    for callee in kernels_called(k.py_func):
        found |= {callee} if is_outlined(callee) else addresses_needed(callee)
    return frozenset(found)


def symbol(k: Dispatcher) -> str:
    """The name of a kernel's address."""
    return f"gnomon.{k.py_func.__module__}.{k.py_func.__qualname__}"


def name_address(k: Dispatcher, signature: tuple) -> None:
    """Give the address of `k`, compiled for `signature`, its symbol, and have callers that are compiled from now on use it (O2)."""
    made = k.overloads[signature]
    result, arguments = made.fndesc.restype, made.fndesc.argtypes
    binding.add_symbol(symbol(k), made.library.get_pointer_to_function(made.fndesc.llvm_func_name))

    def call(context, builder, sig, args):
        shape = context.call_conv.get_function_type(result, arguments)
        callee = cgutils.get_or_insert_function(builder.module, shape, symbol(k))
        _, value = context.call_conv.call_function(builder, callee, result, arguments, args)  # a kernel never raises: no status to look at
        return value

    call.signature, call.libs = arguments, ()
    k.targetctx.remove_user_function(made.entry_point)
    k.targetctx._defns[made.entry_point].append(call, call.signature)
