"""Kernels and twins: one function, two meanings."""

import os
import subprocess
import sys

import pytest
from lang_rig import GREATEST

from gnomon.lang import PAGE_WORDS, Arena, kernel, twin
from gnomon.lang.arith import wrap
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.kernel import KERNELS, signature
from gnomon.lang.primitive import PRIMITIVES

STEP = 3


@kernel
def bump(m, at):
    """Add STEP to the word at `at`. Returns the sum."""
    return write_once(m, at, read_once(m, at) + STEP) + read_once(m, at)


@kernel
def bump_twice(m, at):
    """Two bumps."""
    bump(m, at)
    return bump(m, at)


@kernel
def overflow(a):
    """The number after `a`, wrapped."""
    return wrap(a + 1)


@pytest.mark.parametrize("world", [lambda k: k, twin], ids=["compiled", "interpreted"])
def test_do_both_worlds_do_the_same_to_memory(world):
    arena = Arena(PAGE_WORDS)
    assert world(bump_twice)(arena, 64) == 6 and arena.words[64] == 6


def test_does_a_twin_call_twins_and_not_machine_code():
    arena = Arena(PAGE_WORDS)
    calls = []
    scope = twin(bump_twice).__globals__
    original = scope["bump"]
    scope["bump"] = lambda m, at: calls.append(at) or original(m, at)
    try:
        twin(bump_twice)(arena, 64)
    finally:
        scope["bump"] = original
    assert calls == [64, 64] and bump_twice.py_func.__globals__["bump"] is bump


def test_is_a_twin_the_same_bytecode_and_made_once():
    assert twin(bump) is twin(bump) and twin(bump).__code__ is bump.py_func.__code__


def test_is_the_signature_an_arena_and_words():
    assert [str(t) for t in signature(bump)] == ["Arena", "int64"]
    assert [str(t) for t in signature(overflow)] == ["int64"]


def test_does_the_last_int64_wrap_in_both_worlds():
    assert overflow(GREATEST) == twin(overflow)(GREATEST) == -GREATEST - 1


def test_do_all_kernels_of_sync_and_mem_release_the_gil_and_have_a_docstring():
    import gnomon.mem.debug
    import gnomon.mem.shrinker  # noqa: F401

    ours = [k for name, k in KERNELS.items() if name.startswith(("gnomon.sync", "gnomon.mem"))]
    assert len(ours) > 60
    assert all(k.targetoptions["nogil"] and k.py_func.__doc__ for k in ours)


def test_does_every_primitive_say_what_it_means():
    silent = [name for name, f in PRIMITIVES.items() if not f.__doc__ and f.__module__ != "gnomon.lang.guest_memory"]
    assert silent == []


TYPES = """
import importlib, pkgutil, sys
from numba.core import types
import gnomon
from gnomon.lang.kernel import KERNELS, compile_kernel
for layer in sys.argv[1:]:
    package = importlib.import_module(f"gnomon.{layer}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
bad = []
for name, k in KERNELS.items():
    if name.split(".")[1] in sys.argv[1:]:
        compile_kernel(k)
        if len(k.overloads) != 1:
            bad.append(f"{name} was compiled for {list(k.overloads)}: pass words, not booleans")
        for result in k.overloads.values():
            typed = result.type_annotation.typemap.items()
            bad += [f"{name}: {variable} is {t}" for variable, t in typed if isinstance(t, (types.Float, types.Complex))]
            if types.unliteral(result.signature.return_type) != types.int64:
                bad.append(f"{name} returns {result.signature.return_type}")
print("\\n".join(bad))
print(len(KERNELS), "kernels", file=sys.stderr)
"""


def float_variables(*layers):
    command = [sys.executable, "-c", TYPES, *layers]
    done = subprocess.run(command, env={**os.environ, "GNOMON_CACHE": "off"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SLOW = [pytest.param(layers, marks=pytest.mark.slow) for layers in [("mem",), ("mmu",), ("hart", "vm")]]


@pytest.mark.parametrize("layers", [("sync",), *SLOW], ids="+".join)
def test_is_each_kernel_compiled_once_with_no_float_variable_and_a_word_to_return(layers):
    assert float_variables(*layers) == ""
