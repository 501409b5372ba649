"""compiled: how the checker's own loops are compiled: kept on disk under a digest of every file of this package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from gnomon.lang import cache


def _directory() -> str:
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    return f"check-{state.hexdigest()}"


def native(function):
    """Decorator: compile a loop of the checker, the GIL released."""
    if cache.DIRECTORY is None:
        return numba.njit(nogil=True, error_model="numpy")(function)
    usual = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache.DIRECTORY / _directory())  # Numba's own key does not see a change in a callee of another file
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    finally:
        numba.config.CACHE_DIR = usual


@intrinsic
def call(typingctx, address, context, thread):
    """Call the machine code at `address` as `int64 f(void *context, int64 thread)`."""

    def build(cgctx, builder, sig, args):
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        function = builder.inttoptr(args[0], ir.FunctionType(word, [pointer, word]).as_pointer())
        return builder.call(function, [builder.inttoptr(args[1], pointer), args[2]])

    return types.int64(types.int64, types.int64, types.int64), build


@intrinsic
def prefetch(typingctx, address):
    """Tell the CPU that the cache line at `address` will be read soon."""

    def build(cgctx, builder, sig, args):
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        )
        builder.call(hint, [builder.inttoptr(args[0], pointer), number(0), number(1), number(1)])
        return cgctx.get_dummy_value()

    return types.void(types.int64), build
