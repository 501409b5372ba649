"""hunt: how long the stress takes to catch each broken choice of the design space.

Each is stressed by a process of its own: a broken MMU may also end in a kernel that never comes back, which is a find like any other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from gnomon.errors import GnomonError
from gnomon.mmu.axes import AXES

START = 180.0
"""Seconds beyond the stress itself that a process may take: kernels to load or compile, a last trial, a vCPU that does not come back."""
HANGS = "a thread never came out of a kernel"


@dataclass(frozen=True)
class Hunt:
    """`found` is empty where nothing was; `seconds` are those of the trials until then, `trial` is the last one's number."""

    design: str
    found: str
    seconds: float
    trial: int
    shape: str
    oracle: str


def broken() -> list[str]:
    """Every choice with something wrong, all else as shipped."""
    return [f"{axis.name}={choice.name}" for axis in AXES for choice in axis.choices if choice.wrong]


def hunt(design: str, seconds: float, seed: int) -> Hunt:
    """Stress `design` for `seconds` at most. Raises GnomonError where the stress itself fails."""
    words = [sys.executable, "-m", "gnomon.cli", "stress", "--design", design, "--time", f"{seconds:g}s", "--seed", str(seed), "--json"]
    try:
        done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds + START)
    except subprocess.TimeoutExpired:
        return Hunt(design, HANGS, seconds + START, -1, "", "")
    if done.returncode < 0:
        return Hunt(design, f"the process died of signal {-done.returncode}", seconds, -1, "", "")
    if done.returncode > 1 or not done.stdout:
        raise GnomonError(f"gnomon stress --design {design} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    told = json.loads(done.stdout)
    last = told["trials"][-1]
    return Hunt(design, "; ".join(last["found"][:1]), told["totals"]["seconds"], last["number"], last["shape"], last["oracle"])


def hunt_all(seconds: float, seed: int, tell: Callable[[str], object] = lambda design: None) -> dict[str, Hunt]:
    """Every broken choice by name."""
    found = {}
    for design in broken():
        tell(design)
        found[design] = hunt(design, seconds, seed)
    return found
