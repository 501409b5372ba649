"""schedule: a counterexample as a small file that can be replayed, and is refused when it no longer fits the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gnomon import __version__
from gnomon.check.result import Result
from gnomon.check.scenario import Scenario


class ScheduleError(ValueError):
    """A schedule file that cannot be replayed: says why."""


Action = Annotated[int, Meta(ge=0, lt=256)]
"""As in search.py: thread, drain or step, choice."""
MOST_BUFFER = 64


class Schedule(msgspec.Struct, forbid_unknown_fields=True):
    """What `gnomon replay` needs: which scenario, of which sources, under which model and bounds, and the actions."""

    gnomon: str
    scenario: str
    options: dict[str, str]
    model: Literal["sc", "tso"]
    reduced: bool
    bounds: dict[str, int]
    visible: list[Annotated[int, Meta(ge=0)]]
    property: str
    digest: str
    actions: list[Action]
    loop: list[Action] = []

    def constants(self) -> dict[str, int]:
        """What was set by --set. Raises ScheduleError."""
        try:
            return {key: int(value) for key, value in self.options.items()}
        except ValueError:
            raise ScheduleError(f"the schedule of {self.scenario} sets constants to what is no number: {self.options}") from None

    def result(self) -> Result:
        """A result that Timeline takes."""
        return Result(
            self.scenario,
            self.model,
            "violated",
            0,
            0,
            0,
            0.0,
            0,
            self.bounds,
            property=self.property,
            schedule=self.actions,
            loop=self.loop,
            visible=frozenset(self.visible),
            reduced=self.reduced,
            digest=self.digest,
        )


def save(path: Path, result: Result, options: dict[str, str] | None = None) -> None:
    """Write the counterexample of a violated result. Raises FileExistsError rather than overwrite another."""
    if not result.violated:
        raise ScheduleError(f"{result.scenario} is {result.verdict}: there is no counterexample to save")
    made = Schedule(
        __version__,
        result.scenario,
        options or {},
        result.model,
        result.reduced,
        result.bounds,
        sorted(result.visible),
        result.property,
        result.digest,
        result.schedule,
        result.loop,
    )
    with open(path, "xb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")


def load(path: Path) -> Schedule:
    """Read a schedule file. Raises ScheduleError, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Schedule)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScheduleError(f"{path} is no schedule of gnomon replay: {error}") from None


def check_fresh(schedule: Schedule, scenario: Scenario) -> None:
    """Raises ScheduleError when the scenario's sources, set-up or threads are not those the schedule was found in."""
    if schedule.model == "tso" and not 0 < schedule.bounds.get("buffer", 0) <= MOST_BUFFER:
        raise ScheduleError(f"the schedule of {schedule.scenario} has store buffers of {schedule.bounds.get('buffer', 0)} entries")
    scenario.program()
    if scenario.digest() != schedule.digest:
        raise ScheduleError(
            f"the schedule of {schedule.scenario} was found in other sources: "
            f"digest {schedule.digest[:12]}, now {scenario.digest()[:12]}\n\n"
            f"hint: search again with `gnomon check {schedule.scenario} --model {schedule.model}`"
        )
    if schedule.visible and schedule.visible[-1] >= scenario.guarded:
        raise ScheduleError(f"the schedule of {schedule.scenario} names word {schedule.visible[-1]}, the arena has {len(scenario.arena)}")
