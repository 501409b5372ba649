"""act: pause, resume, stop, discard a named machine."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import control
from gnomon.cli.ps import ANSWER

Name = Annotated[str, Parameter(help="The machine, as gnomon ps shows it.")]


def pause(name: Name, /) -> None:
    """Stop every vCPU of a machine until resume."""
    control.ask(name, "pause", timeout=ANSWER)


def resume(name: Name, /) -> None:
    """Let a paused machine go on; after a hand-over in doubt, decide that this side owns it."""
    control.ask(name, "resume", timeout=ANSWER)


def stop(name: Name, /) -> None:
    """End a machine."""
    control.ask(name, "stop", timeout=ANSWER)


def discard(name: Name, /) -> None:
    """After a hand-over in doubt, decide that the other side owns the machine, and end it here."""
    control.ask(name, "discard", timeout=ANSWER)
