"""run: explore a litmus test and say how often its condition holds: Never, Sometimes or Always."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gnomon.check.explore import explore
from gnomon.check.litmus import cpu
from gnomon.check.litmus.parse import Litmus, LitmusError, holds, parse
from gnomon.check.machine import Compiled, compile_scenario
from gnomon.check.scenario import MAX_THREADS, Scenario, call

LEAST_BUFFER = 16
"""Store buffers of one size for all but the longest tests; in those, all stores of a thread still fit: no final state is left out."""


@dataclass(frozen=True)
class Verdict:
    """What one test showed. `finals` are (state, whether the condition holds in it)."""

    name: str
    model: str
    verdict: str
    finals: tuple[tuple[dict[str, int], bool], ...]
    states: int
    seconds: float
    allowed: bool  # what the file's quantifier claims is true


def run_file(path: Path, model: str = "tso") -> Verdict:
    """Explore the test in a file. Raises LitmusError or OSError."""
    return run(parse(path.read_text(encoding="utf-8", errors="replace"), str(path)), model)


def run(test: Litmus, model: str = "tso") -> Verdict:
    began = time.perf_counter()
    places = layout(test)
    scenario = build(test)
    room = max(LEAST_BUFFER, *(sum(_is_store(i) for i in thread) for thread in test.threads))
    result = explore(
        scenario, model, compiled=_compiled(len(test.threads)), outcomes=tuple(places[name] for name in test.observed), buffer=room
    )
    if result.verdict == "bounded":
        raise LitmusError(f"{test.name}: not explored to its end: {result.reason}")
    finals = []
    for values in sorted(result.outcomes):
        state = dict(zip(test.observed, values, strict=True))
        finals.append((state, holds(test.condition, state)))
    verdict, allowed = judge(test, [met for _, met in finals])
    return Verdict(test.name, model, verdict, tuple(finals), result.states, time.perf_counter() - began, allowed)


def _is_store(instruction: tuple) -> bool:
    return instruction[0] == "MOV" and instruction[1].startswith("[")


def judge(test: Litmus, met: list[bool]) -> tuple[str, bool]:
    """(Never, Sometimes or Always; whether the file's claim is true)."""
    verdict = "Always" if all(met) else "Sometimes" if any(met) else "Never"
    return verdict, {"exists": any(met), "~exists": not any(met), "forall": all(met)}[test.quantifier]


@cache
def _compiled(threads: int) -> Compiled:
    """All tests with as many threads run the same program on other data."""
    return compile_scenario(build(Litmus("any", "exists", ("true",), [[] for _ in range(threads)])))


def layout(test: Litmus) -> dict[str, int]:
    """Word of every variable and register that the test names."""
    places = {name: cpu.VARIABLES_AT + n * cpu.VARIABLE_STRIDE for n, name in enumerate(test.variables)}
    for t, thread in enumerate(test.threads):
        named = {o for instruction in thread for o in instruction[1:] if isinstance(o, str) and not o.startswith("[")}
        named |= {name.split(":")[1] for name in [*test.initial, *test.observed] if name.startswith(f"{t}:")}
        if len(named) > cpu.REGISTERS:
            raise LitmusError(f"{test.name}: thread {t} names {len(named)} registers, at most {cpu.REGISTERS} are kept")
        for n, register in enumerate(sorted(named)):
            places[f"{t}:{register}"] = cpu.REGISTERS_AT + t * cpu.REGISTERS + n
    unknown = [name for name in test.observed if name not in places]
    if unknown:
        raise LitmusError(f"{test.name}: the condition names a thread that does not exist: {unknown[0]}")
    return places


def build(test: Litmus) -> Scenario:
    """The scenario of a test: the same kernel in every thread, the test itself as data."""
    if not 0 < len(test.threads) <= MAX_THREADS:
        raise LitmusError(f"{test.name}: {len(test.threads)} threads, this checker takes 1 to {MAX_THREADS}")
    scenario = Scenario(f"litmus/{test.name}", words=cpu.WORDS, progress=False)
    places = layout(test)
    for name, value in test.initial.items():
        scenario.store(places[name], value)
    scenario.shared = [places[name] for name in test.variables]
    for t, thread in enumerate(test.threads):
        at, first = cpu.CODE_AT + t * cpu.CODE_WORDS, cpu.REGISTERS_AT + t * cpu.REGISTERS
        if (len(thread) + 1) * cpu.INSTRUCTION_WORDS > cpu.CODE_WORDS:
            raise LitmusError(f"{test.name}: thread {t} has {len(thread)} instructions, too many")
        for n, instruction in enumerate(thread):
            for k, word in enumerate(_encode(instruction, t, places, first)):
                scenario.store(at + n * cpu.INSTRUCTION_WORDS + k, word)
        scenario.thread(f"P{t}", call(cpu.run_thread, at, first))
    return scenario


def _encode(instruction: tuple, t: int, places: dict[str, int], first: int) -> tuple[int, int, int, int]:
    def word(operand):
        return places[operand[1:-1]]

    def register(operand):
        return places[f"{t}:{operand}"] - first

    def is_word(operand):
        return isinstance(operand, str) and operand.startswith("[")

    match instruction:
        case ("MFENCE",):
            return (cpu.FENCE, 0, 0, 0)
        case ("SFENCE",) | ("LFENCE",):
            return (cpu.COPY, 0, 0, 0)  # loads and stores keep their order anyway: a copy of a register to itself
        case ("MOV", to, int(value)) if is_word(to):
            return (cpu.STORE_CONSTANT, 0, word(to), value)
        case ("MOV", to, source) if is_word(to):
            return (cpu.STORE, register(source), word(to), 0)
        case ("MOV", to, int(value)):
            return (cpu.SET, register(to), 0, value)
        case ("MOV", to, source) if is_word(source):
            return (cpu.LOAD, register(to), word(source), 0)
        case ("MOV", to, source):
            return (cpu.COPY, register(to), register(source), 0)
        case ("XCHG", a, b):
            at, other = (a, b) if is_word(a) else (b, a)
            return (cpu.EXCHANGE, register(other), word(at), 0)
        case ("XADD", to, source):
            return (cpu.EXCHANGE_ADD, register(source), word(to), 0)
        case ("INC", to):
            return (cpu.ADD_CONSTANT, 0, word(to), 1)
        case ("DEC", to):
            return (cpu.ADD_CONSTANT, 0, word(to), -1)
    raise LitmusError(f"no instruction of this model: {instruction}")
