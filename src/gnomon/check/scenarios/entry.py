"""entry: how a scenario is registered: its name, what it shows, its mutants and the verdict expected of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gnomon.check.scenario import Scenario
from gnomon.mmu.designs import merge

PROVED, VIOLATED = "proved", "violated"


@dataclass(frozen=True)
class Mutant:
    """A variant that breaks one rule. `replace` maps kernels to what runs in their place; `constants` override; `design` is a choice of
    axes (gnomon.mmu.axes) that the machine of the scenario runs with: the shipped kernels, nothing replaced."""

    breaks: str
    replace: dict = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    design: str = ""
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

    def scenario(self, mutant: str = "", design: str = "", constants: dict[str, int] | None = None) -> Scenario:
        """Raises KeyError for an unknown mutant, ValueError for a design where there is no machine, GnomonError for a wrong one."""
        chosen = self.mutants[mutant] if mutant else None
        if design or constants:
            plain = chosen or Mutant("")
            chosen = replace(plain, design=merge(plain.design, design), constants={**plain.constants, **(constants or {})})
        made = self.build(chosen)
        if design and made.design is None:
            raise ValueError(f"no machine in scenario {self.name}: a design means nothing to it")
        made.name = self.name + f":{mutant}" * bool(mutant) + f"@{design}" * bool(design)
        return made

    def expected(self, mutant: str, model: str) -> str:
        if not mutant:
            return VIOLATED if self.witness else PROVED
        return VIOLATED if model in self.mutants[mutant].models else PROVED


def designed(mutant: Mutant | None, design: str) -> Mutant:
    """`mutant` in a machine of `design`, but for what it chooses itself."""
    plain = mutant or Mutant("")
    return replace(plain, design=merge(design, plain.design))


CATALOG: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    CATALOG[entry.name] = entry
    return entry
