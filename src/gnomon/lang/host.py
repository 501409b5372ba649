"""What kernels ask of the host kernel and CPU: sleeping, waking, clocks, and a barrier on every thread of the process.

Real system calls made from compiled code with the GIL released; the Python meanings do the same through ctypes or the
standard library. Statuses, never exceptions.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time

from llvmlite import ir
from numba.core import cgutils

from gnomon.lang.compiled_arena import WORD, word_pointer
from gnomon.lang.primitive import lowered_by

_I32 = ir.IntType(32)
_SYSCALLS = {  # number of membarrier and futex
    "x86_64": (324, 202),
    "aarch64": (283, 98),
    "riscv64": (283, 98),
}
_MEMBARRIER, _FUTEX = _SYSCALLS.get(platform.machine(), (0, 0))
_QUERY, _PRIVATE_EXPEDITED, _REGISTER_PRIVATE_EXPEDITED = 0, 8, 16
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129
_libc = ctypes.CDLL(None, use_errno=True)


def _syscall(builder, *args):
    kind = ir.FunctionType(WORD, [WORD], var_arg=True)
    function = cgutils.get_or_insert_function(builder.module, kind, "syscall")
    return builder.call(function, [a if isinstance(a, ir.Value) else ir.Constant(WORD, a) for a in args])


def register_membarrier() -> bool:
    """Ask the host for expedited membarrier, once a process. False where the host has none: then use mb() on both sides."""
    if not _MEMBARRIER or os.environ.get("GNOMON_MEMBARRIER") == "off":
        return False
    offered = _libc.syscall(_MEMBARRIER, _QUERY, 0, 0)
    return offered > 0 and bool(offered & _PRIVATE_EXPEDITED) and _libc.syscall(_MEMBARRIER, _REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0


def _emit_membarrier(builder):
    return _syscall(builder, _MEMBARRIER, _PRIVATE_EXPEDITED, 0, 0)


@lowered_by(_emit_membarrier)
def membarrier():
    """A full barrier on every running thread of this process (membarrier(2), private expedited). Returns 0, or -1 on failure.

    Pairs with nothing but program order on the other side: that is its point. Needs register_membarrier() first."""
    return int(_libc.syscall(_MEMBARRIER, _PRIVATE_EXPEDITED, 0, 0))


def _emit_yield(builder):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I32, []), "sched_yield")
    builder.call(function, [])


@lowered_by(_emit_yield)
def sched_yield():
    """Let another runnable thread have this CPU. Returns 0."""
    os.sched_yield()
    return 0


def _emit_clock(builder):
    spec = ir.ArrayType(WORD, 2)
    place = cgutils.alloca_once(builder, spec)
    kind = ir.FunctionType(_I32, [_I32, ir.IntType(8).as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
    builder.call(function, [ir.Constant(_I32, time.CLOCK_MONOTONIC), builder.bitcast(place, ir.IntType(8).as_pointer())])
    value = builder.load(place, typ=spec)
    return builder.add(builder.mul(builder.extract_value(value, 0), ir.Constant(WORD, 1_000_000_000)), builder.extract_value(value, 1))


@lowered_by(_emit_clock)
def monotonic_ns():
    """CLOCK_MONOTONIC in nanoseconds, the clock of time.monotonic_ns()."""
    return time.monotonic_ns()


def _emit_ticks(builder):
    kind = ir.FunctionType(WORD, [])
    return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), kind), [])


@lowered_by(_emit_ticks)
def cpu_ticks():
    """The CPU's cycle or time-stamp counter: for measuring short spans in one run, calibrated against monotonic_ns()."""
    return time.perf_counter_ns()


def _emit_futex_wait(builder, m, at, expected, timeout_ns):
    spec = cgutils.alloca_once(builder, ir.ArrayType(WORD, 2))
    billion = ir.Constant(WORD, 1_000_000_000)
    pair = builder.insert_value(ir.Constant(ir.ArrayType(WORD, 2), ir.Undefined), builder.sdiv(timeout_ns, billion), 0)
    builder.store(builder.insert_value(pair, builder.srem(timeout_ns, billion), 1), spec)
    return _syscall(builder, _FUTEX, word_pointer(builder, m, at), _FUTEX_WAIT_PRIVATE, expected, spec, 0, 0)


@lowered_by(_emit_futex_wait)
def futex_wait(m, at, expected, timeout_ns):
    """Sleep while the low 32 bits of the word at `at` equal those of `expected`, at most `timeout_ns`.

    Returns 0 when woken, -1 when the value differed, the time was up or a signal came: the caller re-reads its condition in
    every case. Pairs with futex_wake after a store to the same word: forbids sleeping through a change."""
    if (int(m.words[at]) ^ int(expected)) & 0xFFFFFFFF:
        return -1
    time.sleep(min(int(timeout_ns), 1_000_000) / 1e9)
    return -1


def _emit_futex_wake(builder, m, at, count):
    return _syscall(builder, _FUTEX, word_pointer(builder, m, at), _FUTEX_WAKE_PRIVATE, count, 0, 0, 0)


@lowered_by(_emit_futex_wake)
def futex_wake(m, at, count):
    """Wake up to `count` threads asleep in futex_wait on the word at `at`. Returns how many."""
    return 0
