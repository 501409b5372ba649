"""designs: design words by name: from text and back, which combinations mean nothing, and which are wrong.

word = parse("reclaim=call-rcu,guard=fixup")      the value of VM.design
describe(word)                                     back to text, what ships left out
"""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.errors import GnomonError
from gnomon.mmu.axes import AXES, AXIS, Choice


@dataclass(frozen=True)
class Rule:
    """A pair of choices, (axis, choice) each, and what comes of it."""

    first: tuple[str, str]
    second: tuple[str, str]
    why: str

    def holds(self, word: int) -> bool:
        return all(AXIS[axis].of(word).name == choice for axis, choice in (self.first, self.second))


NO_LOCKLESS_WALK = "says how a walk without a lock goes, and there is none with"
IMPOSSIBLE = tuple(
    Rule(("walk", walk), ("protector", protector), f"walk={walk} {NO_LOCKLESS_WALK} protector={protector}")
    for walk in ("forward", "no-nulls")
    for protector in ("locked", "rmap-bit")
)
UNDER_LOCK = "mmu_lock is held: no table changes hands"
UNDER_BIT = "a table is freed only after its entries have left their rmaps, each under its bit"
IN_SECTION = "a table is freed after the read section that could know it: none changes hands under the protector"
CURED = (
    *(Rule(("guard", guard), ("reclaim", by), IN_SECTION) for guard in ("none", "recheck") for by in ("call-rcu", "call-rcu-throttled")),
    Rule(("reclaim", "mode-wait"), ("protector", "locked"), UNDER_LOCK),
    Rule(("reclaim", "mode-wait"), ("protector", "rmap-bit"), UNDER_BIT),
    Rule(("guard", "none"), ("protector", "locked"), UNDER_LOCK),
    Rule(("guard", "none"), ("protector", "rmap-bit"), UNDER_BIT),
    Rule(("guard", "recheck"), ("protector", "locked"), UNDER_LOCK),
    Rule(("guard", "recheck"), ("protector", "rmap-bit"), UNDER_BIT),
    Rule(("guard", "recheck"), ("encoding", "levels"), "words of different levels are never equal: the cmpxchg fails"),
)


def choices(text: str) -> dict[str, Choice]:
    """What "axis=choice,…" names, by axis. Raises GnomonError, naming what there is."""
    found: dict[str, Choice] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, wanted = item.partition("=")
        if name not in AXIS or not equals:
            raise GnomonError(f"no design axis named: {name}", f"axes: {', '.join(AXIS)}; --design axis=choice,…", exit_code=2)
        choice = next((c for c in AXIS[name].choices if c.name == wanted), None)
        if choice is None:
            known = ", ".join(c.name for c in AXIS[name].choices)
            raise GnomonError(f"no choice of {name} named: {wanted or 'nothing'}", f"choices of {name}: {known}", exit_code=2)
        if found.get(name, choice) is not choice:
            raise GnomonError(f"two choices for one axis: {name}={found[name].name} and {name}={wanted}", "leave one out", exit_code=2)
        found[name] = choice
    return found


def parse(text: str) -> int:
    """The word of "axis=choice,…"; axes left out are as shipped. Raises GnomonError, also for what cannot go together."""
    word = sum(choice.value for choice in choices(text).values())
    refuse_impossible(word)
    return word


def merge(*texts: str) -> str:
    """One text of several, of which a later one decides where two name one axis."""
    found: dict[str, Choice] = {}
    for text in texts:
        found |= choices(text)
    return ",".join(f"{name}={choice.name}" for name, choice in found.items())


def refuse_impossible(word: int) -> None:
    """Raises GnomonError for a combination that means nothing, with the reason."""
    for rule in IMPOSSIBLE:
        if rule.holds(word):
            raise GnomonError(f"no such design: {rule.why}", "gnomon designs lists what goes together", exit_code=2)


def chosen(word: int) -> dict[str, str]:
    """The choice of every axis."""
    return {axis.name: axis.of(word).name for axis in AXES}


def describe(word: int) -> str:
    """The text that parse() makes `word` of: what differs from what ships."""
    return ",".join(f"{axis.name}={axis.of(word).name}" for axis in AXES if word & axis.mask)


def wrongs(word: int) -> list[str]:
    """What is known to be wrong with a design: empty for a right one."""
    found = []
    for axis in AXES:
        choice = axis.of(word)
        if choice.wrong and not any((axis.name, choice.name) == rule.first and rule.holds(word) for rule in CURED):
            found.append(f"{axis.name}={choice.name}: {choice.wrong}")
    return found
