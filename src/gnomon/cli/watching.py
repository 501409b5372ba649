"""watching: what viewers of one hosted machine are told, again and again, until it ends or they leave.

A view is the machine's status, its counters, a picture of its memory and the rounds of its migration. Taking one stops nothing and locks
nothing; a viewer never takes more than 1 % of a core, because the pause after a view is at least 100 times what the view has cost.

The dirty log is off in a machine that only runs. A viewer may ask for it: then every view harvests, which makes the guest pay a fault
for each page that it writes again. It is lent for LEASE seconds from the last view that asked, never against a migration.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gnomon.errors import GnomonError

LEAST_INTERVAL = 0.1
MOST_CELLS = 8192
COST_LIMIT = 0.01
LEASE = 3.0
ROUNDS_KEPT = 64


class Watching:
    """The viewers of a Hosted. `lock` is what keeps its machine from migrating meanwhile."""

    def __init__(self, hosted, lock: threading.Lock):
        self._hosted, self._lock = hosted, lock
        self._rounds: dict[int, object] = {}
        self._borrowed = 0.0
        """Until when the dirty log is on because of us, 0.0 if it is not."""

    def serve(self, tell: Callable[[dict], None], left: threading.Event, over: threading.Event, asked: dict) -> None:
        """Send views until the viewer has `left` or the machine is `over`."""
        wish = _wish(**asked)
        pause = cost = 0.0
        while not over.wait(pause) and not left.is_set():
            began, clock = time.thread_time(), time.monotonic()
            tell({**self._view(wish), "clock": clock, "cost": cost})
            spent = time.thread_time() - began
            pause = max(wish["interval"], spent / COST_LIMIT)
            cost = spent / (time.monotonic() - clock + pause)

    def migration_begins(self) -> None:
        """The dirty log is the migration's from here on; with the lock held."""
        self.give_log_back()
        self._rounds.clear()

    def note_round(self, event) -> None:
        """A migration has something to say of a round."""
        self._rounds[event.number] = event
        if len(self._rounds) > ROUNDS_KEPT:
            del self._rounds[min(self._rounds)]

    def give_log_back(self, *, expired_only: bool = False) -> None:
        """Turn the dirty log off if it is on for viewers; with the lock held."""
        if self._borrowed and not (expired_only and time.monotonic() < self._borrowed):
            self._borrowed = 0.0
            self._hosted.machine.dirty_log().disable()

    def expire(self) -> None:
        """Called now and then: a viewer that was killed gives nothing back."""
        if self._borrowed:
            with self._lock:
                self.give_log_back(expired_only=True)

    def _view(self, wish: dict) -> dict:
        machine = self._hosted.machine
        view = {"status": self._hosted.status(), "rounds": list(self._rounds.values())}
        if machine is not None:
            view |= {"stats": machine.stats(), "map": machine.memory_map(wish["cells"])}
            if wish["log"]:
                self._harvest(machine)
        return view

    def _harvest(self, machine) -> None:
        with self._lock:
            if not self._hosted.settled or (machine.logging and not self._borrowed):
                return
            log = machine.dirty_log()
            if not log.enabled:
                log.enable()
            self._borrowed = time.monotonic() + LEASE
            log.harvest().commit()


def _wish(interval: float = 0.5, cells: int = 512, log: bool = False, **unknown: object) -> dict:
    numbers = isinstance(interval, int | float) and isinstance(cells, int) and isinstance(log, bool)
    if unknown or not numbers or not (interval >= LEAST_INTERVAL and 1 <= cells <= MOST_CELLS):
        raise GnomonError(
            f"watch takes an interval of at least {LEAST_INTERVAL} s, 1 to {MOST_CELLS} cells, and log true or false", exit_code=2
        )
    return {"interval": interval, "cells": cells, "log": log}
