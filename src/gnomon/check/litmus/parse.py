"""parse: herd's x86 `.litmus` format, as far as loads, stores, exchanges and fences go.

    X86 SB                         name
    "PodWR Fre PodWR Fre"          ignored, like every line before the brace
    {x=0; 1:EAX=0}                 initial state; words are 0 when not named
     P0          | P1          ;   threads
     MOV [x],$1  | MOV [y],$1  ;   one instruction a thread and line
     MOV EAX,[y] | MOV EAX,[x] ;
    locations [x; 1:EBX;]          shown in the final states beside what the condition names
    exists (0:EAX=0 /\\ 1:EAX=0)   or ~exists, forall; or `final P; with tso: ~exists;`

Instructions: MOV, XCHG, LOCK XADD, LOCK INC, LOCK DEC, MFENCE, SFENCE, LFENCE. Conditions: ~ or not, /\\, \\/, =>, true, false. Numbers are
decimal or 0x…, of 64 bits. Whatever is none of this is refused with its line: a word that is passed over can turn a verdict round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NUMBER = r"-?(?:0[xX][0-9a-fA-F]+|\d+)"
SHAPES = {
    "MOV": ("rc", "rr", "rw", "wr", "wc"),
    "XCHG": ("rw", "wr"),
    "LOCK XCHG": ("rw", "wr"),
    "LOCK XADD": ("wr",),
    "LOCK INC": ("w",),
    "LOCK DEC": ("w",),
    "MFENCE": ("",),
    "SFENCE": ("",),
    "LFENCE": ("",),
}
"""What operands an instruction takes here: r a register, w a word, c a constant; the first is the destination."""


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
    shown: tuple[str, ...] = ()  # beside what the condition names

    @property
    def variables(self) -> list[str]:
        found = {name for name in [*self.initial, *self.observed] if ":" not in name}
        for thread in self.threads:
            found |= {o[1:-1] for instruction in thread for o in instruction[1:] if isinstance(o, str) and o.startswith("[")}
        return sorted(found)

    @property
    def observed(self) -> list[str]:
        """What a final state shows: '0:EAX', 'x'."""
        return sorted({*_names(self.condition), *self.shown})


def parse(text: str, file: str = "litmus") -> Litmus:
    """Read one test. Raises LitmusError."""
    count = 1
    while count:  # comments nest: the innermost first
        text, count = re.subn(r"\(\*(?:(?!\(\*).)*?\*\)", "", text, flags=re.S)
    text = re.sub(r"<<.*?>>", "", text, flags=re.S)
    header = re.match(r"\s*(\S+)\s+(\S+)", text)
    if not header or header[1].upper() != "X86":
        raise LitmusError(f"{file}: not an X86 litmus test; the first word is {ascii(header[1][:40]) if header else 'missing'}")
    opening, closing = text.find("{"), text.find("}")
    if not 0 <= opening < closing:
        raise LitmusError(f"{file}: no initial state in braces")
    rest = text[closing + 1 :]
    found = re.search(r"(~\s*exists|exists|forall|final)(?=[\s(])", rest)
    if not found:
        raise LitmusError(f"{file}: no condition: exists, ~exists or forall")
    program = rest[: found.start()]
    shown = re.search(r"locations\s*\[(.*?)\]", program, flags=re.S)
    if shown:
        program = program[: shown.start()] + program[shown.end() :]
    quantifier, tail = re.sub(r"\s", "", found[1]), rest[found.end() :]
    if quantifier == "final":
        tail, _, clauses = tail.partition("with")
        chosen = re.search(r"tso\s*:\s*(~?\s*exists|forall)", clauses)
        quantifier = re.sub(r"\s", "", chosen[1]) if chosen else "exists"
    condition = _Condition(tail, file).read()
    initial = _initial(text[opening + 1 : closing], file)
    return Litmus(header[2], quantifier, condition, _threads(program, file), initial, _shown(shown[1] if shown else "", file))


def _number(text: str, file: str) -> int:
    """A constant: what a word of 64 bits holds, as a signed number."""
    value = int(text, 0) if "x" in text.lower() else int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise LitmusError(f"{file}: a number does not fit into 64 bits with a sign: {text}")
    return value


def _place(thread: str | None, name: str) -> str:
    return f"{thread}:{name.upper()}" if thread is not None else name


def _shown(text: str, file: str) -> tuple[str, ...]:
    found = []
    for item in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"(?:P?(\d+):)?\[?(\w+)\]?", item)
        if not match:
            raise LitmusError(f"{file}: cannot read in locations: {item}")
        found.append(_place(match[1], match[2]))
    return tuple(found)


def _initial(text: str, file: str) -> dict[str, int]:
    found = {}
    for item in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        match = re.fullmatch(rf"(?:int\s+)?(?:P?(\d+):)?\[?(\w+)\]?\s*=\s*({NUMBER})", item)
        if not match:
            raise LitmusError(f"{file}: cannot read the initial value: {item}")
        found[_place(match[1], match[2])] = _number(match[3], file)
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
        constant = re.fullmatch(rf"\$?({NUMBER})", operand)
        word = re.fullmatch(r"\[(\w+)\]", operand)
        if constant:
            made.append(_number(constant[1], file))
        elif word:
            made.append(f"[{word[1]}]")
        elif re.fullmatch(r"[A-Za-z]\w*", operand):
            made.append(operand.upper())
        else:
            raise LitmusError(f"{file}: cannot read the operand {operand} of: {text}")
    kinds = "".join("c" if isinstance(o, int) else "w" if o.startswith("[") else "r" for o in made)
    if kinds not in SHAPES.get(operation, ()):
        raise LitmusError(f"{file}: no instruction of this model: {text}")
    return (operation.removeprefix("LOCK "), *made)


class _Condition:
    """P := P => P | P \\/ P | P /\\ P | ~P | not P | (P) | location=value | true | false, the loosest first."""

    ATOM = rf"(?:P?(\d+):)?\[?(\w+)\]?\s*=\s*({NUMBER})"

    def __init__(self, text: str, file: str):
        self.file = file
        self.tokens = []
        at, text = 0, text.rstrip(" ;\n\t\r")
        while at < len(text):
            token = re.compile(rf"\s+|\\/|/\\|=>|~|\(|\)|(?:not|true|false)\b|{self.ATOM}(?!\w)").match(text, at)
            if not token:
                raise LitmusError(f"{file}: cannot read the condition: {' '.join(text[at:].split())[:60]}")
            at = token.end()
            if token[0].strip():
                self.tokens.append(token[0])

    def read(self) -> tuple:
        condition = self._implies()
        if self.tokens:
            raise LitmusError(f"{self.file}: the condition goes on after its end: {self.tokens[0]}")
        return condition

    def _taken(self, *words: str) -> bool:
        """Whether the next token is one of these; then it is gone."""
        return bool(self.tokens) and self.tokens[0] in words and bool(self.tokens.pop(0))

    def _implies(self):
        left = self._or()
        return ("or", ("not", left), self._implies()) if self._taken("=>") else left

    def _or(self):
        left = self._and()
        while self._taken("\\/"):
            left = ("or", left, self._and())
        return left

    def _and(self):
        left = self._atom()
        while self._taken("/\\"):
            left = ("and", left, self._atom())
        return left

    def _atom(self):
        if not self.tokens:
            raise LitmusError(f"{self.file}: the condition ends too early")
        if self._taken("~", "not"):
            return ("not", self._atom())
        if self._taken("true"):
            return ("true",)
        if self._taken("false"):
            return ("not", ("true",))
        if self._taken("("):
            inner = self._implies()
            if not self._taken(")"):
                raise LitmusError(f"{self.file}: a parenthesis of the condition is not closed")
            return inner
        match = re.fullmatch(self.ATOM, self.tokens[0])
        if not match:
            raise LitmusError(f"{self.file}: cannot read in the condition: {self.tokens[0]}")
        self.tokens.pop(0)
        return ("is", _place(match[1], match[2]), _number(match[3], self.file))


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
