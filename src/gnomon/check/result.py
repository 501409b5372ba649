"""result: what an exploration found."""

from __future__ import annotations

from dataclasses import dataclass, field

from gnomon.check.visited import omission_probability


@dataclass
class Result:
    """A verdict and what it rests on."""

    @property
    def proved(self) -> bool:
        return self.verdict == "proved"

    @property
    def violated(self) -> bool:
        return self.verdict == "violated"

    @property
    def omission(self) -> float:
        return omission_probability(self.states)

    scenario: str
    model: str
    verdict: str  # proved, violated, bounded
    states: int
    transitions: int
    steps: int
    seconds: float
    ends: int
    bounds: dict[str, int] = field(default_factory=dict)
    reason: str = ""  # of a bounded verdict
    property: str = ""  # of a violated one
    schedule: list[int] = field(default_factory=list)
    shortest: bool = True  # whether no shorter schedule shows a violation
    loop: list[int] = field(default_factory=list)  # actions repeated for ever, when progress is violated
    visible: frozenset[int] = frozenset()
    reduced: bool = True
    digest: str = ""
    bytes_a_state: float = 0.0
    outcomes: set[tuple[int, ...]] = field(default_factory=set)

    def __str__(self) -> str:
        bounds = ", ".join(f"{k}={v}" for k, v in self.bounds.items())
        cost = f"{self.states:,} states, {self.transitions:,} transitions, {self.seconds:.2f} s"
        head = {
            "proved": f"proved within {bounds}",
            "violated": f"violated: {self.property}, {len(self.schedule)} steps" + ("" if self.shortest else ", maybe not the fewest"),
            "bounded": f"bounded: {self.reason}",
        }
        return f"{self.scenario}  model={self.model}  {head[self.verdict]}  ({cost}, omission < {self.omission:.0e})"
