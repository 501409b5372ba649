"""designs: the design space: each axis, its choices, where they come from, and what the checker says of each."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import say, units


def designs(
    *,
    model: Annotated[str, Parameter(help="Memory model of the checker: sc or tso.")] = "tso",
    ask: Annotated[bool, Parameter(name="--check", negative="--no-check", help="Explore what was not explored before.")] = True,
    broken: Annotated[bool, Parameter(help="A table of the broken choices alone: what catches each, and how long it takes.")] = False,
    stress: Annotated[str | None, Parameter(help="Stress each broken choice for that long, too: 20s. Minutes in all.")] = None,
    seed: Annotated[int, Parameter(help="Of the stress.")] = 1,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> int:
    """List the design space: what `--design axis=choice,…` may name, its source, whether it is right, and the checker's verdict."""
    from gnomon.check.machine import MODELS
    from gnomon.errors import GnomonError
    from gnomon.mmu.axes import AXES
    from gnomon.mmu.designs import IMPOSSIBLE

    if model not in MODELS:
        raise GnomonError(f"no memory model named: {model}", f"one of {', '.join(MODELS)}", exit_code=2)
    rows = [_row(axis, choice) for axis in AXES for choice in axis.choices if choice.wrong or not broken]
    seconds = units.duration(stress, "the time of each stress") if stress else 0
    if ask:
        from gnomon.check.verdicts import verdicts

        names = sorted({row["scenario"] for row in rows if row["scenario"]})
        found = verdicts(names, model, lambda name: say.note(f"exploring {name}") if sys.stderr.isatty() else None)
        for row in rows:
            row["checker"] = found.get(row["scenario"])
    if seconds:
        _stress(rows, seconds, seed)
    if json:
        say.json({"axes": {axis.name: axis.what for axis in AXES}, "choices": rows, "impossible": [rule.why for rule in IMPOSSIBLE]})
        return 0
    if broken:
        print(_table(rows))
        return 0
    for axis in AXES:
        print(f"{axis.name}: {axis.what}")
        for row in (row for row in rows if row["axis"] == axis.name):
            print(f"  {row['choice'] + ' *' * row['ships']:22} {row['what']}  [{row['source']}]")
            if row["wrong"]:
                print(f"  {'':22} wrong: {row['wrong']}")
            if row["stress"]:
                print(f"  {'':22} stress: {row['stress']['found'] or 'nothing found'} after {row['stress']['seconds']:.1f} s")
            if row.get("checker"):
                print(f"  {'':22} {_said(row['checker'])}: gnomon check {row['scenario']}")
    print("\n* ships. A wrong choice may be right in other company:")
    for line in _company():
        print(f"  {line}")
    print("Impossible:")
    for rule in IMPOSSIBLE:
        print(f"  {rule.why}")
    return 0


def _row(axis, choice) -> dict:
    scenario = f"{choice.scenario}@{axis.name}={choice.name}" if choice.scenario else ""
    return {
        "axis": axis.name,
        "choice": choice.name,
        "ships": choice.value == 0,
        "what": choice.what,
        "source": choice.source,
        "right": not choice.wrong,
        "wrong": choice.wrong,
        "scenario": scenario,
        "checker": None,
        "stress": None,
    }


def _stress(rows: list[dict], seconds: float, seed: int) -> None:
    """Add what the stress says of each broken choice."""
    from dataclasses import asdict

    from gnomon.cli import warming
    from gnomon.study.stress.hunt import hunt_all

    warming.machine_class()  # compiled once, and not by each process on its time
    found = hunt_all(seconds, seed, lambda design: say.note(f"stressing {design}"))
    for row in rows:
        if not row["right"]:
            row["stress"] = asdict(found[f"{row['axis']}={row['choice']}"])


def _table(rows: list[dict]) -> str:
    """A row a broken choice."""
    return say.columns(
        ("choice", "checker", "steps", "s", "stress", "trial", "s"),
        [(f"{row['axis']}={row['choice']}", *_by_checker(row), *_by_stress(row)) for row in rows],
        right="  rr rr",
    )


def _by_checker(row: dict) -> tuple[str, object, str]:
    found = row["checker"]
    if not found or found["verdict"] != "violated":
        return (found["verdict"] if found else "not asked", "", "")
    return (f"{row['scenario'].partition('@')[0]}: {found['property']}", found["steps"], f"{found['seconds']:.1f}")


def _by_stress(row: dict) -> tuple[str, object, str]:
    found = row["stress"]
    if not found:
        return ("not asked", "", "")
    what = f"{found['shape']}, {found['oracle']}" if found["shape"] else found["found"]
    return (what if found["found"] else "nothing found", found["trial"], f"{found['seconds']:.1f}")


def _said(checker: dict) -> str:
    if checker["verdict"] == "violated":
        return f"violated: {checker['property']}, {checker['steps']} steps"
    return f"{checker['verdict']} ({checker['states']:,} states)"


def _company() -> list[str]:
    from gnomon.mmu.designs import CURED

    return [f"{'='.join(rule.first)} with {'='.join(rule.second)}: {rule.why}" for rule in CURED]
