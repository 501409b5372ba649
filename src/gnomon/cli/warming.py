"""warming: kernels are compiled on first use, which takes up to a minute; show that, once, and nothing when they are ready."""

from __future__ import annotations

import sys

from gnomon.cli import say


def machine_class():
    """gnomon's Machine, every kernel it needs compiled."""
    from gnomon.vm import machine

    warm()
    return machine.Machine


def warm() -> None:
    """Compile what is not compiled yet, with progress on stderr."""
    from gnomon.lang import warm as kernels
    from gnomon.lang.kernel import ENTRIES

    if all(kernel.signatures for kernel in ENTRIES):
        return  # by this process, before: it need not wait for another one that compiles what only that one wants
    if kernels.is_warm():
        kernels.warm()
    elif sys.stderr.isatty():
        _with_bar(kernels.warm)
    else:
        say.note("gnomon: first use: compiling kernels, up to a minute")
        kernels.warm()


def _with_bar(compile_all) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    look = (
        TextColumn("first use: compiling kernels"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*look, console=say.stderr_console(), transient=True) as shown:
        task = shown.add_task("", total=None)
        compile_all(lambda name, done, total: shown.update(task, description=name, completed=done, total=total))
