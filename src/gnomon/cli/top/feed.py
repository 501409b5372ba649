"""feed: a thread that asks one machine to be watched and passes on what it says. It outlives the machine and finds its next one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gnomon.cli import control
from gnomon.errors import GnomonError

SILENCE = 15.0
"""Seconds without a view until a machine counts as one that does not answer."""
RETRY = 1.0


@dataclass(frozen=True)
class Wish:
    """What to ask for."""

    interval: float = 0.5
    cells: int = 512
    log: bool = False


class _Changed(Exception):
    """Ask again: the wish is another one, or nobody wants to know any more."""


class Feed:
    """`seen(view)` for each view, `ended(why)` once when there is no machine of that name any more, both called on the feed's thread."""

    def __init__(self, name: str, wish: Wish, seen: Callable[[dict], None], ended: Callable[[str], None]):
        self.name, self.wish = name, wish
        self._seen, self._ended = seen, ended
        self._over = threading.Event()
        self._here = True
        threading.Thread(target=self._run, name="gnomon-top", daemon=True).start()

    def close(self) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._gone(ending(self.name, self._watch()))
            except _Changed:
                continue
            except GnomonError as error:
                self._gone(error.message)
            self._over.wait(RETRY)

    def _gone(self, why: str) -> None:
        if self._here:
            self._here = False
            self._ended(why)

    def _watch(self) -> dict:
        wish = self.wish

        def take(view: object) -> None:
            self._here = True
            if not self._over.is_set():
                self._seen(view)
            if self._over.is_set() or self.wish != wish:
                raise _Changed

        request = {"interval": wish.interval, "cells": wish.cells, "log": wish.log}
        return control.ask(self.name, "watch", request, on_event=take, timeout=SILENCE + wish.interval)


def ending(name: str, end: dict) -> str:
    """How a machine ended, in words."""
    return {
        "exit": f"{name} has ended with exit code {end.get('code')}",
        "moved": f"{name} moved, and now runs on {end.get('to')}",
        "stopped": f"{name} was stopped",
        "discarded": f"{name} was discarded",
    }.get(end["event"], f"{name} has ended")
