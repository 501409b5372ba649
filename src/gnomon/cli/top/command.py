"""top: which machine, is there a terminal, is Textual installed; then the screen takes over."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import control, units
from gnomon.cli.ps import ANSWER
from gnomon.cli.watching import LEAST_INTERVAL
from gnomon.errors import GnomonError


def top(
    name: Annotated[str | None, Parameter(help="The machine; none needed where only one runs.")] = None,
    /,
    *,
    log: Annotated[
        bool, Parameter(help="Turn the dirty log on while you watch: each page that is written again costs the guest a fault.")
    ] = False,
    interval: Annotated[str, Parameter(help="Time between two views.")] = "500ms",
) -> int:
    """Watch a running machine: harts, memory, dirty pages, slabs, RCU, migration."""
    seconds = units.duration(interval, "the interval", least=LEAST_INTERVAL)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise GnomonError("gnomon top needs a terminal to draw on", "gnomon stats NAME --json gives the figures to a program", exit_code=2)
    try:
        from gnomon.cli.top.app import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise GnomonError("gnomon top needs Textual, which is not installed", "pip install 'gnomon[tui]'") from None
    running = control.names()
    if name is None and not running:
        raise GnomonError("no machine is running", "gnomon run FILE --name NAME starts one that can be watched")
    if name is None and len(running) == 1:
        name = running[0]
    if name is not None:
        control.ask(name, "status", timeout=ANSWER)
    return Top(name, interval=seconds, log=log).run() or 0
