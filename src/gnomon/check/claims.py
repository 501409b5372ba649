"""claims: what the explorer says about C1 … C13 of the thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gnomon.check.explore import explore
from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.catalog import build, find


@dataclass(frozen=True)
class Claim:
    """`shown_by` are (scenario, verdict that shows the claim)."""

    id: str
    text: str
    shown_by: tuple[tuple[str, str], ...]


CLAIMS = (
    Claim("C1", "n_max_mmu_pages does not throttle freeing through RCU", (("pressure/call-rcu", "violated"),)),
    Claim(
        "C2",
        "with the type-stable slab the pages are bound by n_max_mmu_pages",
        (("bound/pages", "proved"), ("pressure/n-max", "proved"), ("slab/waiting", "proved"), ("slab/hand-over", "proved")),
    ),
    Claim("C3", "an object released to the slab is allocatable at once", (("slab/reuse-in-section", "violated"),)),
    Claim(
        "C4", "the flag delays freeing the slab page, not the object", (("slab/page-kept", "proved"), ("slab/reuse-in-section", "violated"))
    ),
    Claim(
        "C5",
        "the slab alone does not prevent out-of-memory for the host",
        (("pressure/slab-alone", "violated"), ("pressure/other-consumer", "proved")),
    ),
    Claim(
        "C6",
        "RCU comes into play only when the cache is shrunk",
        (("bound/no-grace-period", "proved"), ("pressure/no-grace-period", "proved")),
    ),
    Claim(
        "C7",
        "throttling is necessary when pages are freed through RCU",
        (("pressure/call-rcu", "violated"), ("pressure/n-max@reclaim=call-rcu-throttled", "proved")),
    ),
    Claim("C8", "a successful cmpxchg does not say which page was protected", (("reuse/wrong-page", "violated"),)),
    Claim("C9", "hitting another last-level spte is benign", (("reuse/leaf", "proved"),)),
    Claim("C10", "hitting a middle spte is not: the guest faults for ever", (("reuse/middle-level-guard:none", "violated"),)),
    Claim(
        "C11",
        "encoding the level in the spte cures it; so does today's one bit, MMU_W",
        (("reuse/middle-level-guard", "proved"), ("reuse/middle-mmu-writable", "proved")),
    ),
    Claim("C12", "repairing the fault on a write-protected middle spte cures it", (("reuse/middle-fixup", "proved"),)),
    Claim(
        "C13",
        "verifying the owner before the cmpxchg does not cure it: equal values in different pages",
        (("recheck/same-value", "violated"), ("recheck/same-bits", "proved"), ("recheck/same-frame", "proved")),
    ),
)


@dataclass(frozen=True)
class Row:
    """One line of `gnomon claims`."""

    id: str
    claim: str
    verdict: str  # shown, refuted, bounded
    within: str
    states: int
    steps: int  # of the counterexample that shows or refutes it, 0 without one
    seconds: float
    command: str


def settle(
    claim: Claim,
    model: str = "tso",
    memory: int = 4 << 30,
    found: Callable[[Scenario, Result], None] | None = None,
    most_seconds: float = 60.0,
) -> Row:
    """Explore what shows a claim, each scenario for at most `most_seconds`. `found` is told of every exploration."""
    verdict, within, states, steps, seconds = "shown", "", 0, 0, 0.0
    for name, wanted in claim.shown_by:
        scenario = build(name)
        result = explore(scenario, model, memory=memory, max_seconds=most_seconds)
        if found:
            found(scenario, result)
        states += result.states
        seconds += result.seconds
        steps = max(steps, len(result.schedule))
        if result.proved:
            within = f"{model}, " + ", ".join(f"{key}={value}" for key, value in result.bounds.items())
        if result.violated:
            within = within or f"{model}, counterexample of {len(result.schedule)} steps"
        if result.verdict == "bounded":
            verdict, within = "bounded", result.reason
        elif result.verdict != wanted:
            verdict = "refuted"
    command = f"gnomon check {claim.shown_by[0][0]} --model {model}"
    return Row(claim.id, claim.text, verdict, within, states, steps, seconds, command)


def names() -> list[str]:
    """Scenarios that claims rest on, each of which exists."""
    found = [name for claim in CLAIMS for name, _ in claim.shown_by]
    for name in found:
        find(name)
    return found
