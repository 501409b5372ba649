"""catalog: every scenario by name, and how to find one."""

from __future__ import annotations

from gnomon.check.scenario import Scenario
from gnomon.check.scenarios import (
    age,
    bound,
    central,
    dirty_ring,
    guest_data,
    guest_tables,
    handshake,
    hardware,
    harvest,
    invalidate,
    locks,
    log_modes,
    megapages,
    moved_frames,
    pressure,
    rcu,
    recheck,
    refine,
    reuse,
    rmap,
    rmap_lock,
    rounds,
    share,
    slab,
    slab_frames,
    sleep,
    summary,
    tutorial,
    unsync,
    zapping,
)
from gnomon.check.scenarios.entry import CATALOG, Entry

MODULES = (
    *(locks, rcu, slab, slab_frames, refine, pressure, rmap, rmap_lock, handshake, harvest, megapages, zapping, rounds, guest_tables),
    *(moved_frames, sleep, guest_data, hardware, bound, central, reuse, recheck, invalidate, share, age, log_modes, dirty_ring, summary),
    *(unsync, tutorial),
)


class Unknown(ValueError):
    """A name that is in no catalog; `known` are the names that are."""

    def __init__(self, what: str, name: str, known: list[str]):
        super().__init__(what, name, known)  # what it is made of, so that it can be pickled
        self.what, self.name, self.known = what, name, known

    def __str__(self) -> str:
        return f"no {self.what} named {self.name!r}"


def entries() -> list[Entry]:
    """All entries, in the order of the layers."""
    return list(CATALOG.values())


def find(name: str) -> tuple[Entry, str, str]:
    """The entry, mutant and design of `name`, `name:mutant`, `name@axis=choice,…` or `name:mutant@axis=choice,…`. Raises Unknown."""
    named, _, design = name.partition("@")
    plain, _, mutant = named.partition(":")
    if plain not in CATALOG:
        raise Unknown("scenario", plain, list(CATALOG))
    entry = CATALOG[plain]
    if mutant and mutant not in entry.mutants:
        raise Unknown(f"mutant of {plain}", mutant, list(entry.mutants))
    return entry, mutant, design


def build(name: str, settings: dict[str, int] | None = None) -> Scenario:
    """The scenario that find() takes `name` for, with constants set by short or full name.

    Raises Unknown, ValueError for a design where there is no machine, GnomonError for one that is none."""
    entry, mutant, design = find(name)
    made = entry.scenario(mutant, design)
    if not settings:
        return made
    known = {full.rpartition(".")[2]: full for full in made.constants} | {full: full for full in made.constants}
    constants = {}
    for key, value in settings.items():
        if key not in known and "." not in key:
            raise Unknown(f"constant of {name}", key, sorted(full.rpartition(".")[2] for full in made.constants))
        constants[known.get(key, key)] = value
    return entry.scenario(mutant, design, constants)
