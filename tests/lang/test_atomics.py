"""Atomics: does each name emit the instruction and the ordering it names?"""

import platform
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_rig import GREATEST, LEAST, compiled

from gnomon.lang import PAGE_WORDS, Arena, atomics, kernel
from gnomon.lang.kernel import compile_kernel

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 machine code")

LLVM = {
    "read_once": r"load atomic i64, .* monotonic, align 8",
    "load_acquire": r"load atomic i64, .* acquire, align 8",
    "write_once": r"store atomic i64 .* monotonic, align 8",
    "store_release": r"store atomic i64 .* release, align 8",
    "cmpxchg": r"cmpxchg .* seq_cst seq_cst",
    "xchg": r"atomicrmw xchg .* seq_cst",
    "fetch_add": r"atomicrmw add .* seq_cst",
    "fetch_or": r"atomicrmw or .* seq_cst|cmpxchg .* seq_cst seq_cst",  # x86 has no fetching `or`: LLVM makes a loop of it
    "fetch_and": r"atomicrmw and .* seq_cst|cmpxchg .* seq_cst seq_cst",
    "mb": r"fence seq_cst",
    "rmb": r"fence acquire",
    "wmb": r"fence release",
    "barrier": r'fence syncscope\("singlethread"\) seq_cst',
}
FULL_BARRIER = r"\bmfence\b|\block\b\s*\n?\s*or"
ASM = {
    "cmpxchg": r"\block\b\s+cmpxchg",
    "xchg": r"\bxchgq?\b",
    "fetch_add": r"\block\b\s+xadd",
    "fetch_or": r"\block\b\s+cmpxchg",
    "fetch_and": r"\block\b\s+cmpxchg",
    "mb": FULL_BARRIER,
    "cpu_relax": r"\bpause\b",
}
NO_LOCKED_INSTRUCTION = ["read_once", "load_acquire", "write_once", "store_release", "rmb", "wmb", "barrier"]


def text(name: str, form: str) -> str:
    """LLVM or assembly of the kernel proper around a primitive, without Numba's wrapper."""
    made = compiled(getattr(atomics, name))
    whole = next(iter(getattr(made, f"inspect_{form}")().values()))
    if form == "llvm":
        return whole
    body = re.split(r"^\s*\.globl\s+\S*cpython\S*|^_ZN7cpython", whole, flags=re.M)[0]
    return re.sub(r"\s*#.*", "", body)


@pytest.mark.parametrize("name", LLVM)
def test_does_it_emit_the_llvm_instruction_and_ordering_it_names(name):
    assert re.search(LLVM[name], text(name, "llvm"))


@x86
@pytest.mark.parametrize("name", ASM)
def test_does_it_become_the_machine_instruction(name):
    assert re.search(ASM[name], text(name, "asm"))


@x86
@pytest.mark.parametrize("name", NO_LOCKED_INSTRUCTION)
def test_is_it_free_of_locked_instructions_and_fences(name):
    assert not re.search(r"\block\b|\bmfence\b|\bxchgq?\b", text(name, "asm"))


WORDS = st.integers(LEAST, GREATEST)
READ_MODIFY_WRITE = ["xchg", "fetch_add", "fetch_or", "fetch_and"]
HERE, THERE = Arena(PAGE_WORDS), Arena(PAGE_WORDS)


@pytest.mark.parametrize("name", ["write_once", "store_release", *READ_MODIFY_WRITE])
@given(before=WORDS, value=WORDS)
def test_do_both_meanings_leave_the_same_word_and_return_the_same(name, before, value):
    primitive = getattr(atomics, name)
    HERE.words[64] = THERE.words[64] = before
    assert compiled(primitive)(HERE, 64, value) == primitive(THERE, 64, value)
    assert HERE.words[64] == THERE.words[64] and HERE.words[63] == HERE.words[65] == 0


@given(before=WORDS, old=WORDS, new=WORDS, equal=st.booleans())
def test_does_cmpxchg_swap_exactly_when_it_returns_what_was_expected(before, old, new, equal):
    old = before if equal else old
    HERE.words[64] = THERE.words[64] = before
    assert compiled(atomics.cmpxchg)(HERE, 64, old, new) == atomics.cmpxchg(THERE, 64, old, new) == before
    assert HERE.words[64] == THERE.words[64] == (new if old == before else before)


@kernel
def add_many(m, at, n):
    """Add 1 to the word at `at`, n times, by a compare-and-exchange loop and by fetch_add in turn."""
    for _ in range(n):
        found = atomics_read(m, at)
        while atomics_cmpxchg(m, at, found, found + 1) != found:
            found = atomics_read(m, at)
        atomics_add(m, at, 1)
    return 0


atomics_read, atomics_cmpxchg, atomics_add = atomics.read_once, atomics.cmpxchg, atomics.fetch_add


def test_is_no_increment_lost_between_two_real_threads():
    compile_kernel(add_many)
    arena = Arena(PAGE_WORDS)
    threads = [threading.Thread(target=add_many, args=(arena, 64, 200_000)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert arena.words[64] == 2 * 2 * 200_000
