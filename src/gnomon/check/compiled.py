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


def _word_pointer(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def acquire(typingctx, address):
    """Load the word at an address, before whatever follows."""

    def build(cgctx, builder, sig, args):
        return builder.load_atomic(_word_pointer(builder, args[0]), "acquire", 8, typ=ir.IntType(64))

    return types.uint64(types.int64), build


@intrinsic
def publish(typingctx, address, word):
    """Store a word at an address, after whatever came before."""

    def build(cgctx, builder, sig, args):
        builder.store_atomic(args[1], _word_pointer(builder, args[0]), "release", 8)
        return cgctx.get_dummy_value()

    return types.void(types.int64, types.uint64), build


@intrinsic
def claim(typingctx, address, word):
    """Swap the word at an address from 0 to `word`. Returns what was there."""

    def build(cgctx, builder, sig, args):
        free = ir.IntType(64)(0)
        pair = builder.cmpxchg(_word_pointer(builder, args[0]), free, args[1], "acq_rel", "acquire")
        return builder.extract_value(pair, 0)

    return types.uint64(types.int64, types.uint64), build
