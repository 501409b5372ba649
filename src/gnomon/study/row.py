"""row: one figure of a bench, as the fields that `gnomon bench` shows.

A peer is another figure of the same bench, measured in the same run; `ratio` says how many times better than the peer the value is:
peer / value where less is better, value / peer where more is. A figure that could not be taken has no value and says why.
"""

from __future__ import annotations

LESS, MORE = "less", "more"


def row(bench: str, figure: str, value: float | None, unit: str, *, target: str = "") -> dict:
    """A figure by itself. `target` is ">= number" or "<= number"."""
    return {"bench": bench, "figure": figure, "value": value, "unit": unit, "peer": "", "ratio": None, "target": target, "holds": None}


def missing(bench: str, figure: str, unit: str, why: str) -> dict:
    """A figure that could not be taken here."""
    return row(bench, figure, None, unit) | {"peer": f"not available: {why}"}


def against(ours: dict, peer: dict, *, better: str, target: str = "") -> dict:
    """`ours` beside the figure `peer`. `target` is a bound on the ratio, "ratio >= number"; without one the bound on the value stays."""
    ratio = None
    if ours["value"] and peer["value"]:
        ratio = peer["value"] / ours["value"] if better == LESS else ours["value"] / peer["value"]
    name = peer["figure"] if peer["value"] is not None else f"{peer['figure']} ({peer['peer']})"
    return ours | {"peer": name, "ratio": ratio, "target": target or ours["target"]}
