"""kept: what the last runs under pressure said of the claims, so that the checker's verdicts can be printed beside it.

One JSON file beside the compiled kernels: the last finding of each claim, with the run that it comes from. A finding holds for the sources
it was made with: those of other sources are not cited.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from gnomon.errors import GnomonError
from gnomon.lang import cache
from gnomon.study.here import this_machine
from gnomon.study.pressure.findings import Finding
from gnomon.study.sweep import source_digest

NAME = "pressure.json"


@dataclass(frozen=True)
class Run:
    """One run of `gnomon pressure`: what repeats it, when and where it was, and of which sources."""

    command: str
    date: str
    processor: str
    source: str


@dataclass(frozen=True)
class Cited:
    """What a run says of a claim."""

    claim: str
    holds: bool
    text: str
    run: Run


def cite(found: Iterable[Finding], command: str) -> list[Cited]:
    """Findings of a run that has just ended here."""
    machine = this_machine()
    run = Run(
        command,
        datetime.now().astimezone().isoformat(" ", "seconds"),
        f"{machine['processor']}, {machine['processors']} CPUs",
        source_digest(),
    )
    return [Cited(f.claim, f.holds, f.text, run) for f in found]


def keep(cited: Sequence[Cited]) -> None:
    """Remember them instead of what was known of the same claims. Raises OSError."""
    where = place()
    if not cited or where is None:
        return
    every = {c.claim: c for c in (*_read(where), *cited)}
    handle, name = tempfile.mkstemp(dir=where.parent, prefix=NAME)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode({"findings": list(every.values())}))
        os.replace(name, where)
    except BaseException:
        os.unlink(name)
        raise


def last() -> dict[str, Cited]:
    """By claim, what the last runs of these sources said."""
    where = place()
    return {c.claim: c for c in (_read(where) if where else []) if c.run.source == source_digest()}


def is_old() -> bool:
    """Whether runs are kept, of other sources only."""
    where = place()
    return where is not None and bool(_read(where)) and not last()


def of_file(path: Path) -> dict[str, Cited]:
    """By claim, what the run said whose `gnomon pressure --json` is in this file. Raises GnomonError for one of other sources."""
    try:
        found = _decode(path.read_bytes())
    except OSError as error:
        raise GnomonError(f"cannot read {path}: {error.strerror}", exit_code=3) from None
    except msgspec.MsgspecError as error:
        message = f"{path} is not what gnomon pressure --json prints: {error}"
        raise GnomonError(message, "gnomon pressure --json > FILE", exit_code=3) from None
    for c in found:
        if c.run.source != source_digest():
            raise GnomonError(
                f"{path} is of a run of other sources: {c.run.source[:12]}, these are {source_digest()[:12]}",
                "run gnomon pressure again",
                exit_code=3,
            )
    return {c.claim: c for c in found}


def place() -> Path | None:
    """The file, None where nothing is to be kept (GNOMON_CACHE=off)."""
    return None if cache.DIRECTORY is None else cache.DIRECTORY.parent / NAME


class _Document(msgspec.Struct):
    findings: list[Cited]


def _decode(text: bytes) -> list[Cited]:
    return msgspec.json.decode(text, type=_Document).findings


def _read(where: Path) -> list[Cited]:
    """What is kept; a file that is not there, or not ours, counts as none."""
    try:
        return _decode(where.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return []
