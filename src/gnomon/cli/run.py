"""run: a guest from an ELF file, to its end."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gnomon.cli import control, say, units
from gnomon.cli.console import Output, feed
from gnomon.cli.hosted import Hosted
from gnomon.errors import GnomonError

HARTS_MOST = 48
FLUSH = 0.3
"""Seconds that stdout's reader has at the end to take what the guest still said."""


def run(
    elf: Annotated[str, Parameter(help="The guest: an ELF, a Linux Image, or the name of one that comes with Gnomon, such as `dirty`.")],
    /,
    *,
    harts: Annotated[int, Parameter(help=f"How many harts, 1 to {HARTS_MOST}.")] = 1,
    memory: Annotated[str, Parameter(help="Its RAM: 128M, 1G.")] = "128M",
    name: Annotated[str | None, Parameter(help="A name, under which the other commands reach it.")] = None,
    append: Annotated[str, Parameter(help="The guest's boot arguments.")] = "",
    initrd: Annotated[Path | None, Parameter(help="A ramdisk for a Linux guest.")] = None,
    start: Annotated[
        Literal["auto", "m", "s"], Parameter(help="The mode it starts in: auto takes S with SBI where the ELF asks for it.")
    ] = "auto",
    design: Annotated[str, Parameter(help="axis=choice,…: how its MMU works; gnomon designs lists them.")] = "",
    trace: Annotated[Path | None, Parameter(help="Write what it did over time, for Perfetto.")] = None,
    tune: Annotated[str, Parameter(help="name=number,…: section, defer-limit, blimit, …: docs/designs.md lists them.")] = "",
    json: Annotated[bool, Parameter(help="Events as JSON lines on stdout.")] = False,
) -> int:
    """Run a guest: its console on stdout and stdin, its exit code as exit code."""
    if not 1 <= harts <= HARTS_MOST:
        raise GnomonError(f"a machine has 1 to {HARTS_MOST} harts, and this asks for {harts}", exit_code=2)
    size = units.memory(memory)
    warn_of(design)
    file = find(elf)
    claim = control.Claim(name) if name else None
    output = Output(json=json)
    hosted = Hosted(claim, on_event=output.event, note=say.note, before="starting")
    try:
        machine = make_machine(size, harts, name=name, console=output, design=design, tuning=tune)
        hosted.adopt(machine)
        try:
            machine.load(str(file), bootargs=append, start=start, initrd=initrd)
        except (ValueError, OSError) as error:
            raise GnomonError(f"{file.name} cannot be loaded: {error}") from None
        feed(machine.send_console)
        with traced(trace, hosted, name or file.name) as tracer:
            output.event("started", name=name, harts=harts, memory=size)
            machine.start()
            if tracer:
                tracer.start(machine)
            return hosted.wait(output.broken)
    finally:
        hosted.end_machine()
        output.flush(FLUSH)
        hosted.close()


@contextmanager
def traced(path: Path | None, hosted: Hosted, name: str):
    """A tracer of the hosted machine, written at the end; None without a path. Raises GnomonError where it cannot be written."""
    if path is None:
        yield None
        return
    from gnomon.report.machine_trace import machine_trace

    with machine_trace(path, name) as tracer:
        hosted.on_round = tracer.round
        yield tracer


def warn_of(design: str) -> None:
    """Say what is wrong with a design. Raises GnomonError for one that is none."""
    from gnomon.mmu.designs import parse, wrongs

    for wrong in wrongs(parse(design)):
        say.note(f"gnomon: a broken design on purpose: {wrong}")


def find(elf: str) -> Path:
    """The file, or the guest of that name in the package."""
    from gnomon import guests

    file = Path(elf)
    if file.is_file():
        return file
    if elf in guests.names():
        return guests.path(elf)
    why = "it is a folder" if file.is_dir() else "there is no such file"
    raise GnomonError(f"cannot read {elf}: {why}", f"guests that come with Gnomon: {', '.join(guests.names())}")


def make_machine(memory: int, harts: int, **options):
    """A machine, or a clear sentence why there is none."""
    from gnomon.cli.warming import machine_class

    try:
        return machine_class()(memory, harts, **options)
    except (ValueError, MemoryError, OSError) as error:
        raise GnomonError(f"no machine with {units.show_size(memory)} and {harts} harts can be made: {error}") from None
