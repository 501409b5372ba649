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


def inlined(function):
    """Decorator: part of the loops that call it; by itself it is not kept."""
    return numba.njit(error_model="numpy", forceinline=True)(function)


@intrinsic
def call(typingctx, address, context, thread):
    """Call the machine code at `address` as `int64 f(void *context, int64 thread)`."""

    def build(cgctx, builder, sig, args):
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        function = builder.inttoptr(args[0], ir.FunctionType(word, [pointer, word]).as_pointer())
        return builder.call(function, [builder.inttoptr(args[1], pointer), args[2]])

    return types.int64(types.int64, types.int64, types.int64), build


@intrinsic
def pointers(typingctx, arrays):
    """A named tuple of arrays as one of pointers to their first elements, which are indexed alike, from 0 on and unchecked."""
    found = types.NamedTuple([types.CPointer(array.dtype) for array in arrays.types], arrays.instance_class)

    def build(cgctx, builder, sig, args):
        data = [
            cgctx.make_array(array)(cgctx, builder, builder.extract_value(args[0], n)).data for n, array in enumerate(sig.args[0].types)
        ]
        return cgctx.make_tuple(builder, sig.return_type, data)

    return found(arrays), build


@intrinsic
def address(typingctx, words, at):
    """The address of word `at`."""

    def build(cgctx, builder, sig, args):
        return builder.ptrtoint(builder.gep(args[0], [args[1]]), ir.IntType(64))

    return types.int64(words, types.int64), build


_EIGHT = ir.VectorType(ir.IntType(64), 8)
_CHOICE = ir.VectorType(ir.IntType(1), 8)


def _eight(builder, pointer, at):
    return builder.bitcast(builder.gep(pointer, [at]), _EIGHT.as_pointer())


@intrinsic
def copy_eight(typingctx, to, at, source, begin):
    """Copy eight words."""

    def build(cgctx, builder, sig, args):
        to, at, source, begin = args
        builder.store(builder.load(_eight(builder, source, begin), align=8, typ=_EIGHT), _eight(builder, to, at), align=8)
        return cgctx.get_dummy_value()

    return types.void(to, types.int64, source, types.int64), build


@intrinsic
def differing(typingctx, words, at, others, begin):
    """Which of eight words differ from eight others, as bits 0 … 7."""

    def build(cgctx, builder, sig, args):
        words, at, others, begin = args
        one = builder.load(_eight(builder, words, at), align=8, typ=_EIGHT)
        other = builder.load(_eight(builder, others, begin), align=8, typ=_EIGHT)
        bits = builder.bitcast(builder.icmp_unsigned("!=", one, other), ir.IntType(8))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(words, types.int64, others, types.int64), build


@intrinsic
def octet(typingctx, words, at):
    """Byte `at`, as a word."""

    def build(cgctx, builder, sig, args):
        pointer = builder.gep(builder.bitcast(args[0], ir.IntType(8).as_pointer()), [args[1]], source_etype=ir.IntType(8))
        return builder.zext(builder.load(pointer, typ=ir.IntType(8)), ir.IntType(64))

    return types.int64(words, types.int64), build


@intrinsic
def set_octet(typingctx, words, at, value):
    """Set byte `at`."""

    def build(cgctx, builder, sig, args):
        pointer = builder.gep(builder.bitcast(args[0], ir.IntType(8).as_pointer()), [args[1]], source_etype=ir.IntType(8))
        builder.store(builder.trunc(args[2], ir.IntType(8)), pointer)
        return cgctx.get_dummy_value()

    return types.void(words, types.int64, types.int64), build


def _chosen(builder, bits):
    return builder.bitcast(builder.trunc(bits, ir.IntType(8)), _CHOICE)


@intrinsic
def spread_eight(typingctx, to, at, rest, second, source, begin, bits):
    """Make eight words: those of `bits` are the next ones of `source`, the others those of `rest`."""

    def build(cgctx, builder, sig, args):
        to, at, rest, second, source, begin, bits = args
        word = ir.IntType(64).as_pointer()
        load = builder.module.declare_intrinsic("llvm.masked.expandload.v8i64", (), ir.FunctionType(_EIGHT, [word, _CHOICE, _EIGHT]))
        others = builder.load(_eight(builder, rest, second), align=8, typ=_EIGHT)
        made = builder.call(load, [builder.gep(source, [begin]), _chosen(builder, bits), others])
        builder.store(made, _eight(builder, to, at), align=8)
        return cgctx.get_dummy_value()

    return types.void(to, types.int64, rest, types.int64, source, types.int64, types.int64), build


@intrinsic
def gather_eight(typingctx, to, at, source, begin, bits):
    """Write those of eight words that `bits` name one behind the other; up to eight words are written."""

    def build(cgctx, builder, sig, args):
        to, at, source, begin, bits = args
        name = "llvm.experimental.vector.compress.v8i64"
        compress = builder.module.declare_intrinsic(name, (), ir.FunctionType(_EIGHT, [_EIGHT, _CHOICE, _EIGHT]))
        words = builder.load(_eight(builder, source, begin), align=8, typ=_EIGHT)
        made = builder.call(compress, [words, _chosen(builder, bits), ir.Constant(_EIGHT, ir.Undefined)])
        builder.store(made, _eight(builder, to, at), align=8)
        return cgctx.get_dummy_value()

    return types.void(to, types.int64, source, types.int64, types.int64), build


@intrinsic
def prefetch(typingctx, address):
    """Tell the CPU that the cache line at `address` will be read soon."""

    def build(cgctx, builder, sig, args):
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        )
        builder.call(hint, [builder.inttoptr(args[0], pointer), number(0), number(3), number(1)])
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
