"""stress: the dirty log on real threads under every churn at once, for a while, by a seed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import say, units, warming
from gnomon.errors import GnomonError


def stress(
    *,
    design: Annotated[str, Parameter(help="axis=choice,…: how the MMU works; gnomon designs lists them.")] = "",
    time: Annotated[str, Parameter(help="How long: 30s, 10m, 1h.")] = "30s",
    seed: Annotated[int | None, Parameter(help="Repeat the stresses of this seed; by default a new one.")] = None,
    trial: Annotated[int, Parameter(help="Begin with this trial of the seed.")] = 0,
    shape: Annotated[str, Parameter(help="Only stresses of this shape; by default each in turn. docs/stress.md lists them.")] = "",
    json: Annotated[bool, Parameter(help="One JSON document.")] = False,
) -> int:
    """Store, edit tables, harvest, zap, recycle, shrink, move, split and age at once; ask the oracles of dirty_log_test.

    Exit code 1: something was lost."""
    from gnomon.study.stress import soak

    if trial < 0:
        raise GnomonError(f"trials are counted from 0, and this asks for {trial}", exit_code=2)
    units.judge_seed(seed or 0)
    seconds = units.duration(time)
    soak.refuse_unknown(design, shape)
    warming.machine_class()
    say.note("  trial  shape                            oracle         stores  zaps  found")
    done = soak.soak(seconds, seed, design, lambda t: say.note(_line(t)), trial, shape)
    last, sums = done[-1], soak.totals(done)
    if json:
        say.json(soak.document(done))
    else:
        print(f"{sums['trials']} trials in {sums['seconds']:.1f} s, seed {last.seed}: {sums['stores']:,} stores, ", end="")
        print(f"{sums['harvested']:,} pages harvested, {sums['zaps']:,} shadow pages zapped, {sums['rmap_restarts']:,} walks restarted")
        for what in last.found:
            print(f"FOUND  {what}")
    if last.found:
        chosen = f" --design {last.design}" * bool(last.design) + f' --shape "{shape}"' * bool(shape)
        say.note(f"again: gnomon stress{chosen} --seed {last.seed} --trial {last.number}")
        return 1
    if not json:
        print("nothing was lost")
    return 0


def _line(t) -> str:
    return f"  {t.number:5}  {t.shape:31}  {t.oracle:10}  {t.stores:10,}  {t.counters.get('zaps', 0):4}  {'; '.join(t.found[:1])}".rstrip()
