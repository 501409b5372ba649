"""Large kernels are called by address: by the right one, in every process, whatever was compiled where?"""

import os
import subprocess
import sys
from pathlib import Path

import gnomon
from gnomon.lang import Arena, kernel, twin
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.kernel import compile_kernel, signature
from gnomon.lang.outline import addresses_needed, is_outlined, symbol


@kernel
def long_sum(m, at, x):
    """Long enough to be outlined."""
    total = 0
    for i in range(4):
        write_once(m, at + i, wrap(x + i))
    for i in range(4):
        total = wrap(total + read_once(m, at + i))
        total = wrap(total + fetch_add(m, at + i, 1))
        total = wrap(total - read_once(m, at + i))
    for i in range(4):
        total = wrap(total + (read_once(m, at + i) & 1) + (read_once(m, at + i) & 2) + (read_once(m, at + i) & 4))
    return total


@kernel
def short_step(m, at, x):
    """Short: becomes part of its caller, and brings the call by address with it."""
    return long_sum(m, at, x) + 1


@kernel
def outer(m, at, x):
    """Calls the long one by way of the short one."""
    return short_step(m, at, x) + 1


long_and_hot = kernel(long_sum.py_func, inline=True)
"""The same function, and never outlined."""


def test_is_only_the_long_one_that_is_not_hot_called_by_address():
    assert is_outlined(long_sum) and not is_outlined(short_step) and not is_outlined(long_and_hot)
    assert addresses_needed(outer) == {long_sum} and addresses_needed(long_and_hot) == frozenset()


def test_does_the_caller_hold_a_call_and_not_the_callee():
    compile_kernel(outer)
    text = outer.inspect_llvm(signature(outer))
    assert f'declare i32 @"{symbol(long_sum)}"' in text or f"declare i32 @{symbol(long_sum)}" in text
    assert "atomicrmw" not in text, "the callee's code was linked into its caller"


def test_do_call_by_address_and_interpretation_agree():
    compiled, interpreted = Arena(512), Arena(512)
    for x in (0, 1, -1, 7, (1 << 62) + 3, -(1 << 63)):
        assert outer(compiled, 64, x) == twin(outer)(interpreted, 64, x)
    assert (compiled.words == interpreted.words).all()


def test_does_an_overload_by_other_types_leave_the_address_alone():
    long_sum(Arena(512), 64, True)  # from Python: compiled for a boolean too
    other, arena = kernel(lambda m, at, x: short_step(m, at, x)), Arena(512)
    assert other(arena, 64, 5) == twin(outer)(Arena(512), 64, 5) - 1


def test_does_code_from_the_cache_find_the_addresses_in_a_new_process(tmp_path):
    """The caller alone is asked for: what it calls by address must come from the cache too, before it is linked."""
    script = (
        "import gnomon.vm.machine\n"
        "from gnomon.lang.kernel import compile_kernel\n"
        "from gnomon.lang.outline import addresses_needed\n"
        "from gnomon.mem.slab import slab_alloc as k\n"
        "compile_kernel(k)\n"
        "hits = lambda some: sum(sum(c.stats.cache_hits.values()) for c in some)\n"
        "print(len(addresses_needed(k)), hits([k]), hits(addresses_needed(k)))\n"
    )
    environment = {**os.environ, "GNOMON_CACHE": str(tmp_path), "PYTHONPATH": str(Path(gnomon.__file__).parents[1])}
    seen = [
        subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert int(seen[0][0]) > 0 and seen[0][1:] == ["0", "0"]
    assert seen[1] == [seen[0][0], "1", seen[0][0]]
