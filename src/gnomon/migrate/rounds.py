"""rounds: what each round did, what the next one would cost, and when to stop. Arithmetic only.

A round takes the dirty pages and copies them while the guest runs. The pause that would follow is estimated after every round:

    downtime = dirty pages x 4096 / bandwidth + fixed     fixed: hashing all of memory, state, round trips

and the last round, with all vCPUs paused, begins as soon as that fits. Where the guest dirties faster than the link carries, no number of
rounds helps: then the guest is slowed (auto-converge) or the migration fails and says which numbers do not meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

PAGE = 4096
SUBSTANTIAL = 256
"""Pages a round must carry for its bandwidth to mean something; smaller ones measure the round trip."""

PATIENCE = 3
"""Rounds without progress before something is done about it."""

PROGRESS = 0.9
"""A round makes progress if the estimate fell to this much of the best so far."""

MAX_ROUNDS = 60
THROTTLE_FIRST = 20
THROTTLE_STEP = 10
THROTTLE_MOST = 99


class Round(msgspec.Struct):
    """One round. `bytes` went over the wire, frames included; rates are in MB (10**6 bytes) a second."""

    number: int
    paused: bool
    pages: int
    zero: int
    bytes: int
    seconds: float
    dirty_rate: float
    """What the guest dirtied while the round lasted."""
    throttle: int
    """Percent of the guest's time taken away."""

    done: bool = True
    """False in the reports of a round that is still going on."""

    @property
    def rate(self) -> float:
        """MB of guest memory handled a second, zero pages left out."""
        return (self.pages - self.zero) * PAGE / self.seconds / 1e6 if self.seconds > 0 else 0.0


class Report(msgspec.Struct):
    """A migration, from the first byte to the guest running elsewhere."""

    name: str
    peer: str
    rounds: list[Round]
    seconds: float
    """From connecting to STARTED."""
    downtime: float
    """Seconds from asking the vCPUs to stop to hearing that they run at the destination: an upper bound."""
    bytes: int
    pages: int
    digest: str
    """xxh3 of all memory and state, equal on both sides."""

    @property
    def rate(self) -> float:
        """MB of guest memory moved a second over the rounds in which the guest ran."""
        seconds = sum(r.seconds for r in self.rounds)
        return sum((r.pages - r.zero) * PAGE for r in self.rounds) / seconds / 1e6 if seconds else 0.0


def as_dict(report: Report) -> dict:
    """For --json: every field, and the derived rates."""
    plain = msgspec.to_builtins(report)
    plain["rate"] = report.rate
    for row, r in zip(plain["rounds"], report.rounds, strict=True):
        row["rate"] = r.rate
    return plain


class Verdict(msgspec.Struct):
    """What to do after a round: `finish`, `copy` another, or `give_up`; and how much to slow the guest."""

    action: str
    downtime: float
    throttle: int


@dataclass
class Convergence:
    """Decides after every round."""

    max_downtime: float
    auto_converge: bool = False
    bandwidth: float = 0.0
    """Bytes of guest memory a second, from the latest substantial round."""
    fixed: float = 0.0
    """Seconds of the pause that do not depend on how much is dirty."""
    throttle: int = 0
    _best: float = field(default=float("inf"))
    _idle: int = 0

    def measured(self, carried: int, seconds: float) -> None:
        """A round carried so many pages in so many seconds."""
        if (carried >= SUBSTANTIAL or not self.bandwidth) and carried and seconds > 0:
            self.bandwidth = carried * PAGE / seconds

    def estimate(self, dirty: int) -> float:
        """Seconds the guest would stand still if it were paused now with `dirty` pages."""
        return (dirty * PAGE / self.bandwidth if self.bandwidth else 0.0) + self.fixed

    def after_round(self, number: int, dirty: int) -> Verdict:
        downtime = self.estimate(dirty)
        if downtime <= self.max_downtime:
            return Verdict("finish", downtime, self.throttle)
        if downtime <= self._best * PROGRESS:
            self._best, self._idle = downtime, 0
        else:
            self._idle += 1
        if self._idle >= PATIENCE:
            if self.auto_converge and self.throttle < THROTTLE_MOST:
                self.throttle = min(self.throttle + THROTTLE_STEP, THROTTLE_MOST) if self.throttle else THROTTLE_FIRST
                self._idle, self._best = PATIENCE - 1, min(self._best, downtime)  # each further idle round slows it more
            elif self._idle >= 3 * PATIENCE:
                return Verdict("give_up", downtime, self.throttle)
        return Verdict("give_up" if number >= MAX_ROUNDS else "copy", downtime, self.throttle)
