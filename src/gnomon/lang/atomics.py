"""Atomics on words of an arena: one name, one meaning, compiled and interpreted.

Vocabulary of the kernel (Linux's memory-barriers.txt), ordering in the name:

    read_once write_once         relaxed: one untorn access, no ordering            (LLVM monotonic)
    load_acquire store_release   orders later / earlier accesses of this thread     (LLVM acquire / release)
    cmpxchg xchg fetch_*         atomic read-modify-write and full barrier          (LLVM seq_cst)
    mb rmb wmb                   full / read / write barrier                        (LLVM fence)
    barrier                      the compiler alone keeps the order                 (LLVM fence, singlethread)

`m` is the arena, `at` a word index. Compiled, they are LLVM atomics of natural alignment; interpreted, plain accesses of
`m.words` under one lock, so that Python threads running twins keep the atomicity that the compiled code has.
"""

from __future__ import annotations

import threading

from llvmlite import ir

from gnomon.lang.compiled_arena import WORD, word_pointer
from gnomon.lang.primitive import lowered_by, wrap64

_interpreted = threading.Lock()


def _load(ordering):
    return lambda builder, m, at: builder.load_atomic(word_pointer(builder, m, at), ordering, 8, typ=WORD)


def _store(ordering):
    def emit(builder, m, at, value):
        builder.store_atomic(value, word_pointer(builder, m, at), ordering, 8)

    return emit


def _rmw(operation):
    return lambda builder, m, at, value: builder.atomic_rmw(operation, word_pointer(builder, m, at), value, "seq_cst")


def _fence(ordering, scope=None):
    def emit(builder):
        builder.fence(ordering, scope)

    return emit


@lowered_by(_load("monotonic"))
def read_once(m, at):
    """The word at `at`, read once, unordered."""
    return int(m.words[at])


@lowered_by(_store("monotonic"))
def write_once(m, at, value):
    """Store `value` at `at`, once, unordered. Returns 0."""
    m.words[at] = wrap64(int(value))
    return 0


@lowered_by(_load("acquire"))
def load_acquire(m, at):
    """The word at `at`; no later access of this thread is performed before it."""
    return int(m.words[at])


@lowered_by(_store("release"))
def store_release(m, at, value):
    """Store `value` at `at`; every earlier access of this thread is performed before it. Returns 0."""
    m.words[at] = wrap64(int(value))
    return 0


def _emit_cmpxchg(builder, m, at, old, new):
    pair = builder.cmpxchg(word_pointer(builder, m, at), old, new, "seq_cst", "seq_cst")
    return builder.extract_value(pair, 0)


@lowered_by(_emit_cmpxchg)
def cmpxchg(m, at, old, new):
    """If the word at `at` is `old`, store `new`. Returns the word found: it was swapped iff that equals `old`."""
    with _interpreted:
        found = int(m.words[at])
        if found == wrap64(int(old)):
            m.words[at] = wrap64(int(new))
        return found


def _interpreted_rmw(m, at, operation):
    with _interpreted:
        found = int(m.words[at])
        m.words[at] = wrap64(operation(found))
        return found


@lowered_by(_rmw("xchg"))
def xchg(m, at, value):
    """Store `value` at `at`, full barrier. Returns the word it replaced."""
    return _interpreted_rmw(m, at, lambda found: int(value))


@lowered_by(_rmw("add"))
def fetch_add(m, at, value):
    """Add `value` to the word at `at`, full barrier. Returns the word before."""
    return _interpreted_rmw(m, at, lambda found: found + int(value))


@lowered_by(_rmw("or"))
def fetch_or(m, at, value):
    """Set the bits `value` in the word at `at`, full barrier. Returns the word before."""
    return _interpreted_rmw(m, at, lambda found: found | int(value))


@lowered_by(_rmw("and"))
def fetch_and(m, at, value):
    """Keep only the bits `value` of the word at `at`, full barrier. Returns the word before."""
    return _interpreted_rmw(m, at, lambda found: found & int(value))


@lowered_by(_fence("seq_cst"))
def mb():
    """Full barrier: orders an earlier store before a later load too. Returns 0."""
    return 0


@lowered_by(_fence("acquire"))
def rmb():
    """Read barrier: earlier loads before later loads. Returns 0."""
    return 0


@lowered_by(_fence("release"))
def wmb():
    """Write barrier: earlier stores before later stores. Returns 0."""
    return 0


@lowered_by(_fence("seq_cst", "singlethread"))
def barrier():
    """Compiler barrier: no instruction, but no access moves across it. The other side runs membarrier(). Returns 0."""
    return 0


def _emit_relax(builder):
    pause = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), ()))
    builder.call(pause, ())


def _emit_relax_portable(builder):
    builder.fence("acquire")  # keeps the spin loop from being hoisted where the host has no pause hint known here


def _is_x86():
    import platform

    return platform.machine() in ("x86_64", "AMD64", "i686")


@lowered_by(_emit_relax if _is_x86() else _emit_relax_portable)
def cpu_relax():
    """Tell the CPU that this is a spin loop. Returns 0."""
    return 0
