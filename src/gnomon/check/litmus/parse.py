"""parse: herd's x86 `.litmus` format, as far as loads, stores, exchanges and fences go.

    X86 SB                         name
    "PodWR Fre PodWR Fre"          ignored, like every line before the brace
    {x=0; 1:EAX=0}                 initial state; words are 0 when not named
     P0          | P1          ;   threads
     MOV [x],$1  | MOV [y],$1  ;   one instruction a thread and line
     MOV EAX,[y] | MOV EAX,[x] ;
    exists (0:EAX=0 /\\ 1:EAX=0)   or ~exists, forall; or `final P; with tso: ~exists;`

Instructions: MOV, XCHG, LOCK XADD, LOCK INC, LOCK DEC, MFENCE, SFENCE, LFENCE. Anything else is refused with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


class LitmusError(ValueError):
    """A file that is not a litmus test we can read: says which line and why."""


@dataclass
class Litmus:
    """A test: `threads[t]` is a list of (operation, destination, source); registers are names, words are '[x]', constants ints."""

    name: str
    quantifier: str  # exists, ~exists or forall
    condition: tuple
    threads: list[list[tuple]]
    initial: dict[str, int] = field(default_factory=dict)  # 'x' or '1:EAX'

    @property
    def variables(self) -> list[str]:
        found = {name for name in [*self.initial, *_names(self.condition)] if ":" not in name}
        for thread in self.threads:
            found |= {o[1:-1] for instruction in thread for o in instruction[1:] if isinstance(o, str) and o.startswith("[")}
        return sorted(found)

    @property
    def observed(self) -> list[str]:
        """What the condition speaks of: '0:EAX', 'x'."""
        return sorted(set(_names(self.condition)))


def parse(text: str, file: str = "litmus") -> Litmus:
    """Read one test. Raises LitmusError."""
    text = re.sub(r"\(\*.*?\*\)|<<.*?>>", "", text, flags=re.S)
    header = re.match(r"\s*(\S+)\s+(\S+)", text)
    if not header or header[1].upper() != "X86":
        raise LitmusError(f"{file}: not an X86 litmus test; the first word is {header[1] if header else 'missing'}")
    opening, closing = text.find("{"), text.find("}")
    if not 0 <= opening < closing:
        raise LitmusError(f"{file}: no initial state in braces")
    rest = text[closing + 1 :]
    found = re.search(r"(~\s*exists|exists|forall|final)(?=[\s(])", rest)
    if not found:
        raise LitmusError(f"{file}: no condition: exists, ~exists or forall")
    program = re.sub(r"locations\s*\[.*?\]", "", rest[: found.start()], flags=re.S)
    quantifier, tail = re.sub(r"\s", "", found[1]), rest[found.end() :]
    if quantifier == "final":
        tail, _, clauses = tail.partition("with")
        chosen = re.search(r"tso\s*:\s*(~?\s*exists|forall)", clauses)
        quantifier = re.sub(r"\s", "", chosen[1]) if chosen else "exists"
    condition = _Condition(tail, file).read()
    return Litmus(header[2], quantifier, condition, _threads(program, file), _initial(text[opening + 1 : closing], file))


def _initial(text: str, file: str) -> dict[str, int]:
    found = {}
    for item in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        match = re.fullmatch(r"(?:int\s+)?(?:P?(\d+):)?\[?(\w+)\]?\s*=\s*(-?\d+)", item)
        if not match:
            raise LitmusError(f"{file}: cannot read the initial value: {item}")
        found[f"{match[1]}:{match[2].upper()}" if match[1] is not None else match[2]] = int(match[3])
    return found


def _threads(text: str, file: str) -> list[list[tuple]]:
    rows = [row for row in text.split(";") if row.strip()]
    if not rows:
        raise LitmusError(f"{file}: no program")
    threads: list[list[tuple]] = [[] for _ in rows[0].split("|")]
    for row in rows[1:]:
        cells = row.split("|")
        if len(cells) > len(threads):
            raise LitmusError(f"{file}: {len(cells)} columns for {len(threads)} threads: {' '.join(row.split())}")
        for thread, cell in zip(threads, cells, strict=False):
            if cell.strip():
                thread.append(_instruction(cell.strip(), file))
    return threads


def _instruction(text: str, file: str) -> tuple:
    match = re.fullmatch(r"(lock\s*;?\s+)?([a-z]+)(?:\s+(.*))?", text, flags=re.I | re.S)
    if not match:
        raise LitmusError(f"{file}: cannot read the instruction: {text}")
    operation = ("LOCK " if match[1] else "") + match[2].upper()
    operands = [o.strip() for o in match[3].split(",")] if match[3] else []
    made = []
    for operand in operands:
        constant = re.fullmatch(r"\$?(-?\d+)", operand)
        word = re.fullmatch(r"\[(\w+)\]", operand)
        if constant:
            made.append(int(constant[1]))
        elif word:
            made.append(f"[{word[1]}]")
        elif re.fullmatch(r"[A-Za-z]\w*", operand):
            made.append(operand.upper())
        else:
            raise LitmusError(f"{file}: cannot read the operand {operand} of: {text}")
    kinds = {"MOV": 2, "XCHG": 2, "LOCK XCHG": 2, "LOCK XADD": 2, "LOCK INC": 1, "LOCK DEC": 1, "MFENCE": 0, "SFENCE": 0, "LFENCE": 0}
    if kinds.get(operation) != len(made):
        raise LitmusError(f"{file}: no instruction of this model: {text}")
    return (operation.removeprefix("LOCK "), *made)


class _Condition:
    """P := P \\/ P | P /\\ P | ~P | (P) | location=value | true"""

    def __init__(self, text: str, file: str):
        self.file = file
        pattern = r"\\/|/\\|~|\(|\)|true|(?:P?\d+:)?\[?\w+\]?\s*=\s*-?\d+"
        self.tokens = re.findall(pattern, text)
        left = re.sub(pattern, "", text).strip(" ;\n\t\r")
        if left and not self.tokens:
            raise LitmusError(f"{file}: cannot read the condition: {left}")

    def read(self) -> tuple:
        condition = self._or()
        if self.tokens and self.tokens[0] not in (")",):
            raise LitmusError(f"{self.file}: the condition goes on after its end: {self.tokens[0]}")
        return condition

    def _or(self):
        left = self._and()
        while self.tokens and self.tokens[0] == "\\/":
            self.tokens.pop(0)
            left = ("or", left, self._and())
        return left

    def _and(self):
        left = self._atom()
        while self.tokens and self.tokens[0] == "/\\":
            self.tokens.pop(0)
            left = ("and", left, self._atom())
        return left

    def _atom(self):
        if not self.tokens:
            raise LitmusError(f"{self.file}: the condition ends too early")
        token = self.tokens.pop(0)
        if token == "~":
            return ("not", self._atom())
        if token == "true":
            return ("true",)
        if token == "(":
            inner = self._or()
            if not self.tokens or self.tokens.pop(0) != ")":
                raise LitmusError(f"{self.file}: a parenthesis of the condition is not closed")
            return inner
        match = re.fullmatch(r"(?:P?(\d+):)?\[?(\w+)\]?\s*=\s*(-?\d+)", token)
        if not match:
            raise LitmusError(f"{self.file}: cannot read in the condition: {token}")
        return ("is", f"{match[1]}:{match[2].upper()}" if match[1] is not None else match[2], int(match[3]))


def _names(condition: tuple):
    if condition[0] == "is":
        yield condition[1]
    for part in condition[1:]:
        if isinstance(part, tuple):
            yield from _names(part)


def holds(condition: tuple, state: dict[str, int]) -> bool:
    """Whether a final state satisfies a condition."""
    match condition:
        case ("true",):
            return True
        case ("is", name, value):
            return state[name] == value
        case ("not", inner):
            return not holds(inner, state)
        case ("and", left, right):
            return holds(left, state) and holds(right, state)
        case ("or", left, right):
            return holds(left, state) or holds(right, state)
    raise AssertionError(condition)
