"""entry: how a scenario is registered: its name, what it shows, its mutants and the verdict expected of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gnomon.check.scenario import Scenario

PROVED, VIOLATED = "proved", "violated"


@dataclass(frozen=True)
class Mutant:
    """A variant that breaks one rule. `replace` maps kernels to what runs in their place; `constants` override; `design` is passed on."""

    breaks: str
    replace: dict = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    design: int = 0
    models: tuple[str, ...] = ("sc", "tso")  # under which it is refuted; under the others it is proved
    property: str = ""  # the property it violates


@dataclass(frozen=True)
class Entry:
    """`build(mutant)` makes the scenario; None is the one that ships. A `witness` is violated when right: reaching it is the point."""

    name: str
    shows: str
    build: Callable[[Mutant | None], Scenario]
    mutants: dict[str, Mutant] = field(default_factory=dict)
    witness: bool = False
    models: tuple[str, ...] = ("sc", "tso")
    slow: bool = False  # millions of states: a test of its own

    def scenario(self, mutant: str = "") -> Scenario:
        """Raises KeyError for an unknown mutant."""
        made = self.build(self.mutants[mutant] if mutant else None)
        made.name = f"{self.name}:{mutant}" if mutant else self.name
        return made

    def expected(self, mutant: str, model: str) -> str:
        if not mutant:
            return VIOLATED if self.witness else PROVED
        return VIOLATED if model in self.mutants[mutant].models else PROVED


CATALOG: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    CATALOG[entry.name] = entry
    return entry
