"""ps, stats: what runs, and what its MMU did."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import control, say, units
from gnomon.errors import GnomonError

ANSWER = 20.0
"""Seconds a machine has to say how it is, or to do as it is told: much more than it needs, for hosts that are very busy."""


def ps(*, json: Annotated[bool, Parameter(help="As one JSON document.")] = False) -> None:
    """Show the named machines of this user."""
    found = []
    for name in control.names():
        try:
            found.append(control.ask(name, "status", timeout=ANSWER))
        except GnomonError:
            found.append({"name": name, "pid": 0, "state": "no answer", "harts": 0, "memory": 0, "seconds": 0.0})
    if json:
        say.json(found)
    elif not found:
        say.note("no machine is running")
    else:
        rows = [
            (m["name"], m["pid"], m["state"], m["harts"], units.show_size(m["memory"]), units.show_duration(m["seconds"])) for m in found
        ]
        print(say.columns(("name", "pid", "state", "harts", "memory", "since"), rows, right="lrlrrr"))


def stats(
    name: Annotated[str, Parameter(help="The machine.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> None:
    """Show what the MMU of a machine counted: faults, harvests, zaps, flushes, slab, RCU."""
    found = control.ask(name, "stats", timeout=ANSWER)
    if json:
        say.json(found)
        return
    rows = [(group, key, value) for group, values in found.items() for key, value in _items(values)]
    print(say.columns(("group", "what", "count"), rows, right="llr"))


def _items(values: object, before: str = ""):
    """Nested counters as flat names."""
    if not isinstance(values, dict):
        yield before, values
        return
    for key, value in values.items():
        yield from _items(value, f"{before} {key}".strip())
