"""spin_peer: the Treiber stack in Debian's SPIN, compiled and run as a peer of the explorer: treiber.pml, 3 threads, 3 nodes, tags."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gnomon.errors import GnomonError

PATIENCE = 300.0
FULL_STATES = 17_361_823
"""States of the full search: another number would be another program."""


@dataclass(frozen=True)
class Pan:
    """What one run of pan said. `cpu` and `wall` are seconds, `bytes_a_state` what it stored, without its hash table's head."""

    states: int
    transitions: int
    cpu: float
    wall: float
    bytes_a_state: float


def run(reduced: bool) -> Pan:
    """Generate, compile with -O2 and run. Raises GnomonError with the reason when that cannot be."""
    for program in ("spin", "gcc"):
        if not shutil.which(program):
            raise GnomonError(f"{program} is not installed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "treiber.pml").write_text(resources.files("gnomon.study").joinpath("treiber.pml").read_text(encoding="utf-8"))
        _call(folder, "spin", "-DP=3", "-DN=3", "-DOPS=1", "-DTAGMOD=64", "-a", "treiber.pml")
        _call(folder, "gcc", "-O2", "-w", "-DSAFETY", *([] if reduced else ["-DNOREDUCE"]), "-o", "pan", "pan.c")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = _call(folder, "./pan", "-m2000000", "-w26")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = _number(r"elapsed time ([\d.]+) seconds", said, missing="0.01")
    states = int(_number(r"([\d.e+]+) states, stored", said))
    stored = _number(r"([\d.]+)\s+actual memory usage for states", said) * (1 << 20)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if "errors: 0" not in said or (not reduced and states != FULL_STATES):
        raise GnomonError(f"pan stored {states:,} states where {FULL_STATES:,} were expected")
    return Pan(states, int(_number(r"([\d.e+]+) transitions", said)), cpu, wall, stored / states)


def _call(folder: Path, *words: str) -> str:
    try:
        ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise GnomonError(f"{words[0]} did not end within {PATIENCE:g} s") from None
    except OSError as error:
        raise GnomonError(f"{words[0]} cannot be started: {error.strerror}") from None
    if ran.returncode:
        raise GnomonError(f"{words[0]} ended with exit code {ran.returncode}: {(ran.stderr.strip() or 'nothing said').splitlines()[-1]}")
    return ran.stdout


def _number(pattern: str, said: str, missing: str | None = None) -> float:
    found = re.search(pattern, said)
    if found is None and missing is None:
        raise GnomonError("pan's report is not understood")
    return float(found.group(1) if found else missing)
