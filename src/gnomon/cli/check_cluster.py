"""check on a cluster: `gnomon check --scheduler`, its progress on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.cli import say
from gnomon.errors import GnomonError

if TYPE_CHECKING:
    from gnomon.check.result import Result
    from gnomon.check.scenario import Scenario

WRONG = 3
"""Exit code, as check_commands.py has it: 1 and 2 are verdicts."""


def explore_on_cluster(
    scheduler: str, shards: int | None, name: str, settings: dict[str, int], scenario: Scenario, model: str, options: dict
) -> Result:
    """What explore() finds, over the workers of a Dask cluster. Raises GnomonError with the exit code of what is no verdict."""
    try:
        from gnomon.study.cluster import cluster
        from gnomon.study.shards import SHARDS, explore_sharded
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("dask", "distributed", "psutil"):
            raise
        raise GnomonError(
            f"--scheduler needs {error.name}, which is not installed", "pip install 'gnomon[study]'", exit_code=WRONG
        ) from None
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from gnomon.check.own import is_own

    if is_own(name):  # for workers that see the same files
        file, colon, function = name.partition(":")
        name = f"{Path(file).resolve()}{colon}{function}"
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    try:
        with (
            cluster(scheduler, None) as client,
            Progress(*columns, console=say.stderr_console(), transient=True, disable=not sys.stderr.isatty()) as bar,
        ):
            line = bar.add_task("")
            return explore_sharded(
                client,
                name,
                scenario,
                model,
                settings=settings,
                shards=SHARDS if shards is None else shards,
                note=lambda text: bar.console.print(text, markup=False, highlight=False, soft_wrap=True),
                told=lambda text: bar.update(line, description=text),
                **options,
            )
    except GnomonError as error:
        raise GnomonError(error.message, error.hint, exit_code=WRONG) from None
