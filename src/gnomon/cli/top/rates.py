"""rates: what changed between two views of a machine, by the machine's own clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PAGE = 4096
KEPT = 600
LEAST_SPAN = 0.08
"""Seconds between two views from which a rate can be told: their counters are not read in one instant."""


@dataclass(frozen=True)
class Rates:
    """Per second, from one view to the next."""

    mips: list[float]
    exits: list[float]
    fast: float
    slow: float
    flushes: float
    harvests: float
    grace_periods: float
    dirtied: float | None
    """Pages newly dirty, None while the dirty log is off: then nobody knows."""

    @property
    def dirtied_mb(self) -> float | None:
        return None if self.dirtied is None else self.dirtied * PAGE / 1e6


def rates(before: dict, after: dict) -> Rates | None:
    """None where the two are not views of one machine, or one is of a machine that has not come yet."""
    if "stats" not in before or "stats" not in after or before["status"]["pid"] != after["status"]["pid"]:
        return None
    seconds = after["clock"] - before["clock"]
    old, new = before["stats"], after["stats"]

    def per_second(group: str, key: str) -> float:
        return (new[group][key] - old[group][key]) / seconds

    def each_hart(key: str) -> list[float]:
        return [max(0, b - a) / seconds for a, b in zip(old["harts"][key], new["harts"][key], strict=True)]

    return Rates(
        mips=[rate / 1e6 for rate in each_hart("instructions")],
        exits=each_hart("exits"),
        fast=per_second("faults", "fast"),
        slow=per_second("faults", "slow"),
        flushes=per_second("mmu", "remote flushes"),
        harvests=per_second("dirty log", "harvests"),
        grace_periods=per_second("rcu", "grace_periods_completed"),
        dirtied=_dirtied(before, after, seconds),
    )


def _dirtied(before: dict, after: dict, seconds: float) -> float | None:
    """Harvested pages and those that wait to be: the sum only grows while the log stays on. Turning it on marks every page, so the
    step from off to on says nothing."""
    logs = before["stats"]["dirty log"], after["stats"]["dirty log"]
    if not all(log["enabled"] for log in logs):
        return None
    sums = [log["pages harvested"] + view["map"]["logged"] for log, view in zip(logs, (before, after), strict=True)]
    return max(0.0, (sums[1] - sums[0]) / seconds)


class History:
    """The last views' figures, for the sparkline."""

    def __init__(self):
        self.view: dict | None = None
        self._base: dict | None = None
        self.rates: Rates | None = None
        self.dirtied: deque[float] = deque(maxlen=KEPT)
        self.most_mips = 1.0

    def take(self, view: dict) -> None:
        """The newest view; one of another machine under the same name starts anew."""
        if self.view is not None and self.view["status"]["pid"] != view["status"]["pid"]:
            self.__init__()
        self.view = view
        if self._base is not None and view["clock"] - self._base["clock"] < LEAST_SPAN:
            return
        found = rates(self._base, view) if self._base is not None else None
        if found is not None:
            self.rates = found
            self.dirtied.append(found.dirtied_mb or 0.0)
            self.most_mips = max(self.most_mips, *found.mips)
        self._base = view
