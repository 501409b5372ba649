"""Does a counterexample say names, not numbers, and are they the right ones?"""

import re

import pytest

from gnomon.check.arena_map import ArenaMap, field
from gnomon.check.explore import explore
from gnomon.check.names import Names
from gnomon.check.render import race_table
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.catalog import build
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.timeline import Timeline
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT, THREADS_AT
from gnomon.mmu.spte import ACCESSED, DIRTY, HOST_WRITABLE, MMU_WRITABLE, PRESENT, READABLE, WRITABLE
from gnomon.mmu.tlb import TLB_AT, TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM


def found(name: str, model: str) -> Timeline:
    scenario = build(name)
    result = explore(scenario, model)
    assert result.violated
    return Timeline(scenario, result)


@pytest.fixture(scope="module")
def reuse():
    """C10: table A is freed, and is the middle table of page 4 when the harvester's cmpxchg hits it."""
    return found("reuse/middle-level-guard:none", "tso")


@pytest.fixture
def machine():
    stage = Stage(None, pages=4)
    stage.touch(0, 3, TLB_WRITE)
    arena = stage.scenario.arena.words
    return stage, Names(stage.scenario, lambda at: int(arena[at]))


def test_is_a_word_named_after_what_it_was_allocated_for(machine):
    stage, names = machine
    root, pfn = stage.word(stage.vcpus[0] + VCPU.root), stage.word(stage.word(stage.vm + VM.backing) + 3)
    table = stage.word(root + 1) >> 12 << 9
    assert names.word(root) == "L2 table of gfn 0[0]"
    assert names.word(table + 1) == "table of gfn 2[1]"
    assert names.word(pfn << 9) == "page 3" and names.word((pfn << 9) + 5) == "page 3[5]"
    assert names.word(stage.vcpus[0] + VCPU.mode) == "vcpu 0.mode"
    assert names.word(stage.vcpus[0] + TLB_AT + 1) == "vcpu 0 TLB[0].store"
    assert names.word(FRAME_WORDS_AT + pfn) == f"frame[{pfn}]"
    assert names.word(THREADS_AT + 64).startswith("thread 0 magazine sp.")
    sp = stage.word(FRAME_WORDS_AT + (table >> 9)) >> 4
    assert names.word(sp + 1).startswith("sp ") and names.word(sp + 1).endswith(".role")


def test_does_a_value_read_as_what_it_is(machine):
    stage, names = machine
    backing, rmap = stage.word(stage.vm + VM.backing), stage.word(stage.vm + VM.rmap)
    root = stage.word(stage.vcpus[0] + VCPU.root)
    table = stage.word(root + 1) >> 12 << 9
    assert names.value(table + 1, stage.word(table + 1)) == "page 3 L1 W|MMU_W|A|D"
    assert names.value(root + 1, stage.word(root + 1)) == "table of gfn 2 L2 W|A"
    assert names.value(rmap + 3, stage.word(rmap + 3)) == "&table of gfn 2[1]" and names.value(rmap, 0) == "empty"
    assert names.value(backing + 3, stage.word(backing + 3)).startswith("frame ")
    assert names.value(stage.word(stage.vm + VM.dirty), 0b1010) == "{1, 3}"
    assert names.value(stage.vcpus[0] + VCPU.requests, 3) == "FLUSH|ROOTS"
    assert (names.value(stage.vcpus[0] + VCPU.mode, 7), names.value(stage.vcpus[0] + VCPU.mode, 8)) == ("in guest", "outside")
    assert names.value(stage.vcpus[0] + TLB_AT + 1, 3 << 12 | 1) == "page 3"


def test_are_the_changed_bits_of_an_spte_said_and_no_more(machine):
    stage, names = machine
    at = stage.word(stage.word(stage.vcpus[0] + VCPU.root) + 1) >> 12 << 9
    leaf = 60 << 12 | PRESENT | READABLE | HOST_WRITABLE | MMU_WRITABLE | ACCESSED | 1 << 10
    assert names.change(at, leaf | WRITABLE, leaf).endswith("L1 W|MMU_W|A -> -W")
    assert names.change(at, leaf, leaf | WRITABLE | DIRTY).endswith("-> +W +D")
    assert names.change(at, leaf, 0).endswith("-> 0")


def test_is_a_table_called_what_it_has_become(reuse):
    """The thread's A to B in one line: the word that was A's when the harvester found it is B's when it exchanges it."""
    hit = next(m for m in reuse.moments if m.event.kind == "cmpxchg" and m.text.endswith("-W"))
    assert hit.text == "cmpxchg table A (now L2 table of gfn 4)[0]: table of gfn 4 W|A -> -W"
    before = next(m for m in reuse.moments if m.event.kind == "read" and m.event.address == hit.event.address)
    assert before.text == "table A[0] -> page 0 W|MMU_W|A|D"


def test_is_memory_of_any_moment_that_of_then(reuse):
    zap = next(m for m in reuse.moments if m.event.kind == "xchg" and "table A[0]" in m.text)
    at = zap.event.address
    assert reuse.memory(zap.number - 1)(at) == zap.event.value != 0
    assert reuse.memory(zap.number)(at) == 0
    assert reuse.memory(-1)(at) == int(reuse.scenario.arena.words[at])
    assert reuse.memory(reuse.end())(at) == reuse.machine.word(at)


def test_is_one_turn_of_what_happens_for_ever_enough(reuse):
    turn = [m for m in reuse.moments if m.looping]
    assert 0 < len(turn) < len(reuse.result.loop)
    text = race_table(reuse)
    assert text.count("and then for ever:") == 1 and "recycler is at" in text and ", for ever" in text


def test_does_the_table_end_in_what_was_lost():
    text = race_table(found("harvest/fast-fault:skip-flush", "tso"))
    assert re.search(r"^     page 0 holds 2, its copy at the destination [01]: LOST$", text, re.MULTILINE)  # which one: by the schedule
    assert text.endswith("     VIOLATED: nothing lost\n")


@kernel
def last_word(m, at):
    """A store and a load that nothing follows."""
    write_once(m, at, 7)
    read_once(m, at)
    return 99


@kernel
def is_not_seven(m, at):
    return read_once(m, at) != 7


def test_is_the_last_access_of_a_thread_told_with_its_own_value_and_not_the_threads_result():
    scenario = Scenario("last", words=1024)
    scenario.thread("a", call(last_word, 100))
    scenario.at_end("never 7", is_not_seven, 100)
    scenario.label(100, "x")
    timeline = Timeline(scenario, explore(scenario, "tso"))
    assert [m.text for m in timeline.lines(every=True)] == ["x = 7", "x -> 7"]


def test_is_nothing_derived_where_there_is_no_frame_pool():
    """A user's own scenario: word 256 is his, not a slab cache's."""
    scenario = Scenario("own", words=1024)
    scenario.label(300, "mine", VM)
    assert Names(scenario, lambda at: 0).word(256) == "word 256"
    assert Names(scenario, lambda at: 0).word(300) == "mine.mmu_lock"
    assert ArenaMap(lambda at: 1, 1024).part(256) is None


@pytest.mark.parametrize("over,text", [(VCPU.mode, ".mode"), (VCPU.root, ".root[0]"), (VCPU.root + 3, ".root[3]"), (VCPU.vm, ".vm")])
def test_is_a_field_of_several_words_numbered(over, text):
    assert field(VCPU, over)[0] == text
