"""sweep: what a sweep is made of: jobs that need nothing of each other, and what each may take."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Of one job: wall-clock seconds, bytes resident in it and its children."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Job:
    """One combination."""

    kind: str
    parameters: tuple[tuple[str, str | int], ...]

    @property
    def asked(self) -> dict[str, str | int]:
        return dict(self.parameters)

    def key(self, source: str) -> str:
        """The same for the same job on the same sources, on every machine and at every time: what makes a row one row."""
        return hashlib.blake2b(msgspec.json.encode([self.kind, sorted(self.parameters), source]), digest_size=16).hexdigest()

    def command(self) -> str:
        """What a person types to do the same."""
        a = self.asked
        if self.kind == "check":
            return shlex.join(["gnomon", "check", a["scenario"], "--model", a["model"], *_design(a)])
        if self.kind == "bench":
            return shlex.join(["gnomon", "bench", a["name"]])
        memory = f"{a['memory'] >> 10}K" if a["memory"] % (1 << 20) else f"{a['memory'] >> 20}M"
        words = ["gnomon", "run", a["workload"], "--harts", str(a["harts"]), "--memory", memory]
        return shlex.join([*words, *_design(a), "--append", bootargs(a)])


@dataclass(frozen=True)
class Sweep:
    name: str
    limits: Limits
    jobs: tuple[Job, ...]


def _design(asked: dict) -> list[str]:
    return ["--design", asked["design"]] if asked["design"] else []


def scenario(asked: dict) -> str:
    """The name of a checker scenario with the design that its machine has."""
    return asked["scenario"] + (f"@{asked['design']}" if asked["design"] else "")


def bootargs(asked: dict) -> str:
    """The guest's boot arguments: those asked for, and the seed."""
    return f"{asked['append']} seed={asked['seed']}".strip()


@cache
def source_digest() -> str:
    """Of every source file and guest of the package: two processes with the same one run the same program."""
    package = Path(__file__).resolve().parents[1]
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(path for kind in ("*.py", "*.elf") for path in package.rglob(kind)):
        state.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()
