"""Are accesses to parts of a word what x86 makes of them: whole words kept, stores merged as they drain, loads forwarded or held back?"""

import random

import pytest

from gnomon.check.explore import explore
from gnomon.check.machine import compile_scenario
from gnomon.check.oracle import expect
from gnomon.check.render import render
from gnomon.check.scenario import Scenario, call
from gnomon.lang import kernel
from gnomon.lang.atomics import mb, read_once, write_once
from gnomon.lang.guest_memory import (
    amo_add32,
    load8,
    load16,
    load32,
    load64,
    store8,
    store16,
    store32,
    store64,
)

CODE, CODE_WORDS, REGISTERS, X, Y = 128, 64, 448, 384, 392
END, STORE, LOAD, ADD, FENCE = range(5)


@kernel
def run_code(m, code, registers):
    """A thread as data: (operation, size, byte offset, value), what was loaded into the next register."""
    while True:
        operation = read_once(m, code)
        size, at, value = read_once(m, code + 1), read_once(m, code + 2), read_once(m, code + 3)
        code += 4
        if operation == END:
            return 0
        if operation == FENCE:
            mb()
        elif operation == ADD:
            write_once(m, registers, amo_add32(m, at, value))
            registers += 1
        elif operation == STORE:
            if size == 1:
                store8(m, at, value)
            elif size == 2:
                store16(m, at, value)
            elif size == 4:
                store32(m, at, value)
            else:
                store64(m, at, value)
        else:
            loaded = 0
            if size == 1:
                loaded = load8(m, at)
            elif size == 2:
                loaded = load16(m, at)
            elif size == 4:
                loaded = load32(m, at)
            else:
                loaded = load64(m, at)
            write_once(m, registers, loaded)
            registers += 1


def scenario_of(threads) -> Scenario:
    scenario = Scenario("mixed sizes", words=512, progress=False)
    for t, thread in enumerate(threads):
        for n, instruction in enumerate(thread):
            for k, word in enumerate(instruction):
                scenario.store(CODE + CODE_WORDS * t + 4 * n + k, word)
        scenario.thread(f"t{t}", call(run_code, CODE + CODE_WORDS * t, REGISTERS + 8 * t))
    scenario.shared = [X, Y]
    return scenario


COMPILED = []


def outcomes(threads, model: str, **how) -> set:
    """Final (registers of each thread …, X, Y)."""
    if not COMPILED:
        COMPILED.extend(compile_scenario(scenario_of([[]] * n)) for n in (1, 2, 3))
    registers = [REGISTERS + 8 * t + n for t, code in enumerate(threads) for n in range(sum(op in (LOAD, ADD) for op, *_ in code))]
    result = explore(scenario_of(threads), model, outcomes=(*registers, X, Y), compiled=COMPILED[len(threads) - 1], **how)
    assert result.proved, str(result)
    return result.outcomes


def signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def naive(threads, model: str) -> set:
    """The same, byte by byte: an explorer of its own."""
    start = (bytes(16), tuple((0, (), ()) for _ in threads))

    def index(at):
        return at - 8 * X if at < 8 * Y else 8 + at - 8 * Y

    seen, todo, found = {start}, [start], set()

    def after(memory, states, t, new):
        return memory, (*states[:t], new, *states[t + 1 :])

    while todo:
        memory, states = todo.pop()
        following = []
        for t, (pc, buffer, loaded) in enumerate(states):
            if buffer:
                at, data = buffer[0]
                drained = memory[:at] + data + memory[at + len(data) :]
                following.append(after(drained, states, t, (pc, buffer[1:], loaded)))
            if pc == len(threads[t]):
                continue
            operation, size, where, value = threads[t][pc]
            at = index(where)
            if operation == FENCE and not buffer:
                following.append(after(memory, states, t, (pc + 1, buffer, loaded)))
            elif operation == ADD and not buffer:
                old = int.from_bytes(memory[at : at + 4], "little")
                new = (old + value & 0xFFFFFFFF).to_bytes(4, "little")
                following.append(after(memory[:at] + new + memory[at + 4 :], states, t, (pc + 1, buffer, (*loaded, signed(old, 32)))))
            elif operation == STORE:
                data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
                if model == "tso":
                    following.append(after(memory, states, t, (pc + 1, (*buffer, (at, data)), loaded)))
                else:
                    following.append(after(memory[:at] + data + memory[at + size :], states, t, (pc + 1, buffer, loaded)))
            elif operation == LOAD:
                met = next(((a, d) for a, d in reversed(buffer) if a < at + size and at < a + len(d)), None)
                if met is None:
                    data = memory[at : at + size]
                elif met[0] <= at and at + size <= met[0] + len(met[1]):
                    data = met[1][at - met[0] : at - met[0] + size]
                else:
                    continue
                value = int.from_bytes(data, "little")
                following.append(after(memory, states, t, (pc + 1, buffer, (*loaded, signed(value) if size == 8 else value))))
        if not following:
            words = [int.from_bytes(memory[i : i + 8], "little", signed=True) for i in (0, 8)]
            found.add((*(v for _, _, loaded in states for v in loaded), *words))
        for state in following:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return found


def random_thread(rng: random.Random, most: int) -> list:
    made = []
    for _ in range(rng.randint(1, most)):
        size = rng.choice([1, 2, 4, 8])
        at = 8 * rng.choice([X, X, Y]) + rng.randrange(0, 8, size)
        operation = rng.choice([STORE, STORE, LOAD, LOAD, LOAD, ADD, FENCE])
        made.append((operation, size, at if operation != ADD else at & ~3, rng.choice([1, 0x0202, -3, 0x0807060504030201])))
    return made


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("batch", range(4))
def test_does_an_explorer_of_bytes_find_the_same_final_states(batch, model):
    rng = random.Random(batch)
    for _ in range(40):
        threads = [random_thread(rng, 4 if n < 2 else 2) for n in range(rng.choice([1, 2, 2, 3]))]
        assert outcomes(threads, model) == naive(threads, model), threads
        assert outcomes(threads, model, small=1) == naive(threads, model), threads


def sb(store, load, mine, other):
    """Store buffering with a look at one's own word between."""
    return [
        [(STORE, *store, 1), (LOAD, *load, 0), (LOAD, 8, 8 * other, 0)],
        [(STORE, 8, 8 * other, 1), (FENCE, 0, 0, 0), (LOAD, 8, 8 * mine, 0)],
    ]


def test_is_a_load_inside_a_buffered_store_forwarded_and_a_wider_one_held_back():
    """A forwarded load lets the store wait on; a load that needs more than the store waits for it, as a fence would."""
    for load, early in (((1, 8 * X), True), ((8, 8 * X), True), ((4, 8 * X + 4), True)):
        finals = outcomes(sb((8, 8 * X), load, X, Y), "tso")
        assert any(other == 0 and seen == 0 for _, other, seen, *_ in finals) == early
    for load, early in (((1, 8 * X), True), ((2, 8 * X), False), ((8, 8 * X), False), ((1, 8 * X + 1), True)):
        finals = outcomes(sb((1, 8 * X), load, X, Y), "tso")
        assert any(other == 0 and seen == 0 for _, other, seen, *_ in finals) == early, load
        finals = outcomes(sb((1, 8 * X), load, X, Y), "sc")
        assert not any(other == 0 and seen == 0 for _, other, seen, *_ in finals)


def test_do_two_threads_that_store_to_neighbours_keep_each_others_bytes():
    threads = [[(STORE, 1, 8 * X + n, n + 1)] for n in range(3)]
    for model in ("sc", "tso"):
        assert outcomes(threads, model) == {(0x030201, 0)}


@kernel
def widen(m, at):
    """Loads four bytes wherever it is told to."""
    return load32(m, at)


@kernel
def load_word(m, at):
    """Loads a word wherever it is told to."""
    return load64(m, at)


@kernel
def narrow_store(m, at, value):
    """A store that stays in the buffer, and a claim that is false."""
    store16(m, at, value)
    expect(load16(m, at) != value)
    return 0


@pytest.mark.parametrize("inside,broken", [(0, ""), (4, ""), (2, "misaligned access"), (6, "misaligned access"), (1, "misaligned access")])
def test_is_a_misaligned_access_to_a_part_told(inside, broken):
    scenario = Scenario("misaligned", words=512)
    scenario.thread("one", call(widen, 8 * X + inside))
    assert explore(scenario).property == broken


def test_is_a_misaligned_access_to_a_word_told():
    scenario = Scenario("misaligned", words=512)
    scenario.thread("one", call(load_word, 8 * X + 4))
    assert explore(scenario).property == "outside memory"


def test_does_a_counterexample_say_which_bytes():
    scenario = Scenario("parts", words=512)
    scenario.thread("one", call(narrow_store, 8 * X + 2, 7))
    scenario.thread("two", call(widen, 8 * X))
    scenario.label(X, "x")
    text = render(scenario, explore(scenario, "tso", reduce=False))
    assert (
        "x bytes 2-3 = 7 (buffered)" in text and "x bytes 2-3 -> 7" in text and "still in the store buffer of one: x bytes 2-3 = 7" in text
    )
