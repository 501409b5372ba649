"""designs: the design space: each axis, its choices, where they come from, and what the checker says of each."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import say


def designs(
    *,
    model: Annotated[str, Parameter(help="Memory model of the checker: sc or tso.")] = "tso",
    ask: Annotated[bool, Parameter(name="--check", negative="--no-check", help="Explore what was not explored before.")] = True,
    json: Annotated[bool, Parameter(help="As one JSON document.")] = False,
) -> int:
    """List the design space: what `--design axis=choice,…` may name, its source, whether it is right, and the checker's verdict."""
    from gnomon.check.machine import MODELS
    from gnomon.errors import GnomonError
    from gnomon.mmu.designs import AXES, IMPOSSIBLE

    if model not in MODELS:
        raise GnomonError(f"no memory model named: {model}", f"one of {', '.join(MODELS)}", exit_code=2)
    rows = [_row(axis, choice) for axis in AXES for choice in axis.choices]
    if ask:
        from gnomon.check.verdicts import verdicts

        names = sorted({row["scenario"] for row in rows if row["scenario"]})
        found = verdicts(names, model, lambda name: say.note(f"exploring {name}") if sys.stderr.isatty() else None)
        for row in rows:
            row["checker"] = found.get(row["scenario"])
    if json:
        say.json({"axes": {axis.name: axis.what for axis in AXES}, "choices": rows, "impossible": [rule.why for rule in IMPOSSIBLE]})
        return 0
    for axis in AXES:
        print(f"{axis.name}: {axis.what}")
        for row in (row for row in rows if row["axis"] == axis.name):
            print(f"  {row['choice'] + ' *' * row['ships']:22} {row['what']}  [{row['source']}]")
            if row["wrong"]:
                print(f"  {'':22} wrong: {row['wrong']}")
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
    }


def _said(checker: dict) -> str:
    if checker["verdict"] == "violated":
        return f"violated: {checker['property']}, {checker['steps']} steps"
    return f"{checker['verdict']} ({checker['states']:,} states)"


def _company() -> list[str]:
    from gnomon.mmu.designs import CURED

    return [f"{'='.join(rule.first)} with {'='.join(rule.second)}: {rule.why}" for rule in CURED]
