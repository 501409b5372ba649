"""Access to guest memory by byte offset of the arena: what a guest's load, store, AMO or SC becomes on the host.

`at` is a byte offset (frame * 4096 + offset). loadN/storeN need natural alignment and are relaxed atomics: racing harts see
whole values. Values are int64 words; `load8…` zero-extend, the `s` forms sign-extend. The amo_* forms and cmpxchg_guest*
are seq_cst host atomics and return the old value, sign-extended for the 32-bit forms as RISC-V wants it.
"""

from __future__ import annotations

import sys

from llvmlite import ir

from gnomon.lang.atomics import _interpreted
from gnomon.lang.compiled_arena import WORD, pointer_at
from gnomon.lang.primitive import lowered_by, wrap64

assert sys.byteorder == "little", "guest memory is little-endian and is accessed in place: a little-endian host is needed"


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _peek(m, at: int, bits: int) -> int:
    return int.from_bytes(m.octets[at : at + bits // 8].tobytes(), "little")


def _poke(m, at: int, bits: int, value: int) -> None:
    octets = (int(value) & ((1 << bits) - 1)).to_bytes(bits // 8, "little")
    m.octets[at : at + bits // 8] = memoryview(octets)


def _load(bits, signed):
    def emit(builder, m, at):
        kind = ir.IntType(bits)
        value = builder.load_atomic(pointer_at(builder, m, at, bits), "monotonic", bits // 8, typ=kind)
        if bits == 64:
            return value
        return builder.sext(value, WORD) if signed else builder.zext(value, WORD)

    return emit


def _store(bits):
    def emit(builder, m, at, value):
        if bits < 64:
            value = builder.trunc(value, ir.IntType(bits))
        builder.store_atomic(value, pointer_at(builder, m, at, bits), "monotonic", bits // 8)

    return emit


def _named(name, emit, function):
    function.__name__ = function.__qualname__ = name
    return lowered_by(emit)(function)


def _load_named(name, bits, signed):
    def load(m, at):
        value = _peek(m, at, bits)
        return _signed(value, bits) if signed else value

    return _named(name, _load(bits, signed), load)


def _store_named(name, bits):
    def store(m, at, value):
        _poke(m, at, bits, value)
        return 0

    return _named(name, _store(bits), store)


load8 = _load_named("load8", 8, False)
load16 = _load_named("load16", 16, False)
load32 = _load_named("load32", 32, False)
load64 = _load_named("load64", 64, True)
load8s = _load_named("load8s", 8, True)
load16s = _load_named("load16s", 16, True)
load32s = _load_named("load32s", 32, True)
store8 = _store_named("store8", 8)
store16 = _store_named("store16", 16)
store32 = _store_named("store32", 32)
store64 = _store_named("store64", 64)


def _emit_fetch32(builder, m, at):
    value = builder.load(pointer_at(builder, m, at, 32), typ=ir.IntType(32))
    value.align = 2
    return builder.zext(value, WORD)


@lowered_by(_emit_fetch32)
def fetch32(m, at):
    """32 bits of code at the 2-byte aligned offset `at`, zero-extended; may be torn, as an instruction fetch may be."""
    return _peek(m, at, 32)


_OPERATIONS = {
    "swap": ("xchg", lambda found, value: value),
    "add": ("add", lambda found, value: found + value),
    "xor": ("xor", lambda found, value: found ^ value),
    "and": ("and", lambda found, value: found & value),
    "or": ("or", lambda found, value: found | value),
    "min": ("min", min),
    "max": ("max", max),
    "minu": ("umin", None),
    "maxu": ("umax", None),
}


def _amo(operation, bits):
    def emit(builder, m, at, value):
        if bits < 64:
            value = builder.trunc(value, ir.IntType(bits))
        found = builder.atomic_rmw(operation, pointer_at(builder, m, at, bits), value, "seq_cst")
        return builder.sext(found, WORD) if bits < 64 else found

    return emit


def _amo_named(name, bits):
    llvm, python = _OPERATIONS[name]

    def amo(m, at, value):
        with _interpreted:
            found, value = _peek(m, at, bits), int(value)
            if python is None:
                low = value & ((1 << bits) - 1)
                result = min(found, low) if llvm == "umin" else max(found, low)
            else:
                result = python(_signed(found, bits), _signed(value, bits))
            _poke(m, at, bits, result)
            return _signed(found, bits)

    return _named(f"amo_{name}{bits}", _amo(llvm, bits), amo)


amo_swap32, amo_swap64 = _amo_named("swap", 32), _amo_named("swap", 64)
amo_add32, amo_add64 = _amo_named("add", 32), _amo_named("add", 64)
amo_xor32, amo_xor64 = _amo_named("xor", 32), _amo_named("xor", 64)
amo_and32, amo_and64 = _amo_named("and", 32), _amo_named("and", 64)
amo_or32, amo_or64 = _amo_named("or", 32), _amo_named("or", 64)
amo_min32, amo_min64 = _amo_named("min", 32), _amo_named("min", 64)
amo_max32, amo_max64 = _amo_named("max", 32), _amo_named("max", 64)
amo_minu32, amo_minu64 = _amo_named("minu", 32), _amo_named("minu", 64)
amo_maxu32, amo_maxu64 = _amo_named("maxu", 32), _amo_named("maxu", 64)


def _cmpxchg(bits):
    def emit(builder, m, at, old, new):
        if bits < 64:
            old, new = builder.trunc(old, ir.IntType(bits)), builder.trunc(new, ir.IntType(bits))
        pair = builder.cmpxchg(pointer_at(builder, m, at, bits), old, new, "seq_cst", "seq_cst")
        found = builder.extract_value(pair, 0)
        return builder.sext(found, WORD) if bits < 64 else found

    return emit


def _cmpxchg_named(name, bits):
    def cmpxchg_guest(m, at, old, new):
        with _interpreted:
            found = _signed(_peek(m, at, bits), bits)
            if found == wrap64(_signed(int(old), bits)):
                _poke(m, at, bits, new)
            return found

    return _named(name, _cmpxchg(bits), cmpxchg_guest)


cmpxchg_guest32 = _cmpxchg_named("cmpxchg_guest32", 32)
cmpxchg_guest64 = _cmpxchg_named("cmpxchg_guest64", 64)


def _emit_copy_page(builder, m, to, source):
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), ir.IntType(8).as_pointer(), WORD, ir.IntType(1)])
    copy = builder.module.declare_intrinsic("llvm.memcpy", [ir.IntType(8).as_pointer(), ir.IntType(8).as_pointer(), WORD], kind)
    size = ir.Constant(WORD, 4096)
    builder.call(copy, [pointer_at(builder, m, to, 8), pointer_at(builder, m, source, 8), size, ir.Constant(ir.IntType(1), 0)])


@lowered_by(_emit_copy_page)
def copy_page(m, to, source):
    """Copy 4096 bytes from byte offset `source` to `to`, not atomically. Returns 0."""
    m.octets[to : to + 4096] = m.octets[source : source + 4096]
    return 0


def _emit_clear_page(builder, m, at):
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), ir.IntType(8), WORD, ir.IntType(1)])
    fill = builder.module.declare_intrinsic("llvm.memset", [ir.IntType(8).as_pointer(), WORD], kind)
    zero, size, volatile = ir.Constant(ir.IntType(8), 0), ir.Constant(WORD, 4096), ir.Constant(ir.IntType(1), 0)
    builder.call(fill, [pointer_at(builder, m, at, 8), zero, size, volatile])


@lowered_by(_emit_clear_page)
def clear_page(m, at):
    """Zero 4096 bytes from byte offset `at`, not atomically. Returns 0."""
    m.octets[at : at + 4096] = 0
    return 0
