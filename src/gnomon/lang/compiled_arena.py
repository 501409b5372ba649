"""How Numba sees an Arena: an opaque pointer to its word 0, unboxed from `Arena.address`.

A bare pointer has no meminfo, so passing it costs one register and never touches a reference count, and `m[i]` does not
compile: every access must go through a named primitive of atomics.py or guest_memory.py.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from gnomon.lang.arena import Arena

WORD = ir.IntType(64)


class ArenaType(types.Opaque):
    def __init__(self):
        super().__init__(name="Arena")


arena_type = ArenaType()


@typeof_impl.register(Arena)
def _typeof_arena(value, context):
    return arena_type


@register_model(ArenaType)
class _ArenaModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.IntType(8).as_pointer())


@unbox(ArenaType)
def _unbox_arena(typ, value, c):
    number = c.pyapi.object_getattr_string(value, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(c.builder.inttoptr(address, ir.IntType(8).as_pointer()))


def pointer_at(builder, arena, byte_offset, bits: int):
    """LLVM pointer to an integer of `bits` bits at `byte_offset` of the arena."""
    place = builder.gep(arena, [byte_offset], source_etype=ir.IntType(8))
    return builder.bitcast(place, ir.IntType(bits).as_pointer())


def word_pointer(builder, arena, index):
    """LLVM pointer to word `index` of the arena."""
    return pointer_at(builder, arena, builder.shl(index, ir.Constant(WORD, 3)), 64)
