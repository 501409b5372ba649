"""findings: what a run under pressure says of the claims of the thread. The checker settles them in the model; this is the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnomon.study.pressure.run import Outcome

SLAB, CALL_RCU, THROTTLED = "typesafe-slab", "call-rcu", "call-rcu-throttled"


@dataclass(frozen=True)
class Finding:
    """`holds`: whether the run shows what the thread claims."""

    claim: str
    holds: bool
    text: str


def findings(outcomes: Sequence[Outcome]) -> list[Finding]:
    """What these runs show; a claim whose reclaims were not run is left out."""
    by = {(o.reclaim, o.shrinker): o for o in outcomes}
    slab, rcu, throttled, alone = (by.get(key) for key in ((SLAB, True), (CALL_RCU, True), (THROTTLED, True), (SLAB, False)))
    found = []
    if rcu:
        over = rcu.peak_pages > rcu.n_max
        found.append(
            Finding(
                "C1",
                over,
                f"call-rcu: {rcu.peak_pages} shadow pages held at most, {rcu.peak('deferred')} of them deferred; n_max is {rcu.n_max}",
            )
        )
    if slab:
        text = (
            f"typesafe-slab: page tables take {slab.peak_pages} frames at most; n_max of {slab.n_max} and one a thread are {slab.bound}; "
            + ", ".join(f"{c.name} {c.peak} of {slab.within(c)}" for c in slab.caches[1:])
        )
        found.append(Finding("C2", slab.is_bounded, text))
    if slab and alone:
        text = (
            f"typesafe-slab: the consumer gets {alone.peak('held')} frames without the shrinker, while slabs keep up to "
            f"{alone.counts['slab-cached while it was']}; {slab.peak('held')} with {slab.counts['shrinker runs']} runs of it"
        )
        found.append(Finding("C5", slab.peak("held") > alone.peak("held"), text))
    if slab and rcu:
        a, b = (o.counts["grace periods"] / max(1, o.counts["zaps"]) for o in (slab, rcu))
        found.append(Finding("C6", a < b, f"grace periods a zap: {a:.4f} with typesafe-slab, of the shrinker only; {b:.4f} with call-rcu"))
    if rcu and throttled:
        text = (
            f"throttled: {throttled.peak_pages} held at most against {rcu.peak_pages}, {throttled.counts['stalls']} stalls, "
            f"{throttled.counts['zaps'] / throttled.seconds:,.0f} zaps/s against {rcu.counts['zaps'] / rcu.seconds:,.0f}"
        )
        found.append(Finding("C7", throttled.peak_pages <= throttled.bound < rcu.peak_pages, text))
    return found
