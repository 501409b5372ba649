"""say: words for people, on stderr; tables for people and pipes, on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import msgspec

from gnomon.errors import GnomonError


def note(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def error(failure: GnomonError) -> None:
    """`gnomon: message`, an empty line, `hint: …`; red where stderr is a terminal that wants colour."""
    console = stderr_console()
    console.print(f"gnomon: {failure.message}", style="red", markup=False, highlight=False, soft_wrap=True)
    if failure.hint:
        console.print(f"\nhint: {failure.hint}", markup=False, highlight=False, soft_wrap=True)


def stderr_console():
    from rich.console import Console

    return Console(stderr=True)


def json(document: object) -> None:
    """One JSON document, indented, on stdout."""
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def json_line(document: object) -> bytes:
    """One JSON document in one line, for streams of events."""
    return msgspec.json.encode(document) + b"\n"


def columns(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "") -> str:
    """Plain aligned columns, two spaces apart. `right` has an 'r' at each position that is aligned to the right."""
    table = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[n]) for row in table) for n in range(len(header))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if right[n : n + 1] == "r" else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
