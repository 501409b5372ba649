"""job: do one job and say what came of it. `python -m gnomon.study.job FILE` reads a job as JSON on stdin and writes its figures to FILE.

A figure is a number or a word by a name. A job has a process of its own (limited.py): whatever it does to that, the worker lives.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gnomon.study.sweep import Job, bootargs, scenario

if TYPE_CHECKING:
    from gnomon.check.result import Result

Figures = dict[str, float | str]
PR_SET_PDEATHSIG = 1


def do(job: Job, memory: int) -> Figures:
    """The figures of a job that may use `memory` bytes."""
    return {"run": _run, "check": _check, "bench": _bench}[job.kind](job.asked, memory)


def _run(asked: dict, memory: int) -> Figures:
    """A guest to its end, its dirty log harvested every `harvest` microseconds if that is not 0."""
    from gnomon import guests
    from gnomon.vm.machine import Machine

    said = bytearray()
    with Machine(asked["memory"], asked["harts"], console=said.extend, design=asked["design"]) as machine:
        machine.load(guests.path(asked["workload"]), bootargs=bootargs(asked))
        began = time.perf_counter()
        machine.start()
        harvests = _harvested(machine, asked["harvest"] / 1e6)
        machine.wait()
        seconds = time.perf_counter() - began
        figures: Figures = dict(_numbers(machine.stats()))
        code = machine.exit_code
    instructions = sum(value for name, value in figures.items() if name.startswith("harts instructions"))
    lines = bytes(said).decode(errors="replace").strip().splitlines()
    figures |= {"exit code": code, "seconds": seconds, "MIPS": instructions / seconds / 1e6, "last line": lines[-1] if lines else ""}
    if harvests:
        harvests.sort()
        figures |= {
            "harvest ms, median": harvests[len(harvests) // 2] * 1e3,
            "harvest ms, most": harvests[-1] * 1e3,
            "harvest ms, sum": sum(harvests) * 1e3,
        }
    return figures


def _harvested(machine, interval: float) -> list[float]:
    """Seconds of every harvest until the guest ends."""
    found: list[float] = []
    if not interval:
        return found
    with machine.dirty_log() as log:
        while machine.wait(interval) is None and machine.running:
            began = time.perf_counter()
            snapshot = log.harvest()
            found.append(time.perf_counter() - began)
            snapshot.commit()
    return found


def _numbers(values: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Nested counters as flat names."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _numbers(value, f"{name} {key}".strip())
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _numbers(value, f"{name} {number}")
    else:
        yield name, values


def _check(asked: dict, memory: int) -> Figures:
    from gnomon.check.explore import explore
    from gnomon.check.scenarios.catalog import build

    return checked(explore(build(scenario(asked)), asked["model"], memory=memory * 3 // 4))


def checked(result: Result) -> Figures:
    """The figures of an exploration."""
    figures: Figures = {name: getattr(result, name) for name in ("verdict", "states", "transitions", "steps", "seconds")}
    if result.violated:
        figures |= {"property": result.property, "counterexample": len(result.schedule)}
    if result.reason:
        figures["reason"] = result.reason
    return figures | {f"bound {name}": value for name, value in result.bounds.items()}


def _bench(asked: dict, memory: int) -> Figures:
    module = importlib.import_module(f"gnomon.study.bench_{asked['name'].replace('-', '_')}")
    rows = [row if isinstance(row, dict) else msgspec.to_builtins(row) for row in module.rows(lambda _: None)]
    return {f"{row['figure']}, {row['unit']}": row["value"] for row in rows if row["value"] is not None}


def main() -> None:
    """One job, here and now."""
    document = msgspec.json.decode(sys.stdin.buffer.read())
    die_with(document["parent"])
    job = Job(document["kind"], tuple(document["parameters"].items()))
    figures = do(job, document["memory"])
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(figures))
    os._exit(0)  # what runs in threads has nothing left to say


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, which may have been already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
