"""target: a file that will be written after much work, looked at before it."""

from __future__ import annotations

import os
from pathlib import Path

from gnomon.errors import GnomonError


def target(path: Path, option: str = "--html") -> Path:
    """Where a page goes, links followed. Raises GnomonError at once for what could not be written after all the work."""
    path = path.resolve()
    if path.is_dir():
        raise GnomonError(f"{path} is a folder", f"{option} {path / 'report.html'}", exit_code=2)
    if not path.parent.is_dir():
        raise GnomonError(f"there is no folder {path.parent} to write {path.name} into", f"mkdir -p {path.parent}", exit_code=2)
    if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
        raise GnomonError(f"cannot write {path}: no permission", f"choose another file with {option}", exit_code=2)
    return path
