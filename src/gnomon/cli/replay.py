"""replay: step through a counterexample that check has saved; print it whole where there is no terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gnomon.cli.check_commands import about, build_scenario, misuse, write

if TYPE_CHECKING:
    from gnomon.check.timeline import Timeline


def replay(
    file: Annotated[Path, Parameter(help="A schedule that `gnomon check --save` wrote.")],
    /,
    *,
    plain: Annotated[bool, Parameter(help="Print it whole, also on a terminal.")] = False,
    every: Annotated[bool, Parameter(help="Show private accesses too.")] = False,
    html: Annotated[Path | None, Parameter(help="Write it as a page to step through.")] = None,
    trace: Annotated[Path | None, Parameter(help="Write it as a trace for Perfetto.")] = None,
) -> int:
    """Run a counterexample again, step by step. A damaged schedule, or one of other sources, is refused."""
    timeline = load_timeline(file)
    write_pictures(timeline, html, trace)
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from gnomon.check.render import race_table

        print(race_table(timeline, every))
    elif not (html or trace):
        from gnomon.cli.stepper import step_through

        step_through(timeline, every)
    return 0


def load_timeline(file: Path) -> Timeline:
    """The timeline of a schedule file. Misuse when it is damaged, of other sources, or does not fit its scenario."""
    from gnomon.check.schedule import ScheduleError, check_fresh, load
    from gnomon.check.timeline import Timeline

    try:
        schedule = load(file)
        made = build_scenario(schedule.scenario, schedule.constants())
        check_fresh(schedule, made)
        timeline = Timeline(made, schedule.result())
        timeline.confirm()
        return timeline
    except OSError as error:
        raise misuse(f"cannot read {file}: {error.strerror}") from None
    except (ScheduleError, ValueError) as error:
        message, _, hint = str(error).partition("\n\nhint: ")
        raise misuse(message, hint or None) from None


def write_pictures(timeline: Timeline, html: Path | None, trace: Path | None) -> None:
    """Write the page and the trace that were asked for."""
    result = timeline.result
    if html:
        from gnomon.report.page import page

        text = page(timeline, about(result.scenario), f"gnomon check {result.scenario} --model {result.model}")
        write(lambda: html.write_text(text, encoding="utf-8"), html)
    if trace:
        from gnomon.report.race_trace import race_trace

        write(lambda: race_trace(timeline).write(trace), trace)
