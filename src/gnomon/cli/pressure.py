"""pressure: machines and another consumer share one pool of frames, under every reclaim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import say, units, warming
from gnomon.cli.check_commands import write
from gnomon.cli.target import target
from gnomon.errors import GnomonError

HEADER = (
    "reclaim",
    "pages, peak",
    "n_max",
    "deferred, peak",
    "least free",
    "below low",
    "below min",
    "failed",
    "refused",
    "shrinks",
    "stalls",
    "grace periods",
    "zaps/s",
    "stores/s",
    "lost",
)


def pressure(
    *,
    reclaim: Annotated[str, Parameter(help="Reclaims, with commas between; by default all of them.")] = "",
    time: Annotated[str, Parameter(help="How long each: 3s.")] = "3s",
    seed: Annotated[int, Parameter(help="Of the guests' stores.")] = 1,
    json: Annotated[bool, Parameter(help="One JSON document, every sample in it.")] = False,
    html: Annotated[Path | None, Parameter(help="Write charts as a page.")] = None,
) -> int:
    """Two machines that zap all the time and another consumer on one pool of frames: who is bounded, and who is left without."""
    seconds = units.duration(time, least=0.3)
    names = chosen(reclaim)
    units.judge_seed(seed)
    html = html and target(html)
    warming.machine_class()
    from gnomon.study.pressure.findings import findings
    from gnomon.study.pressure.kept import cite, keep
    from gnomon.study.pressure.run import plans, run

    outcomes = []
    for name, shrinker in plans(names):
        say.note(f"pressure: {name}{'' if shrinker else ', no shrinker'}, {units.show_duration(seconds)} …")
        outcomes.append(run(name, seconds, shrinker=shrinker, seed=seed))
    found = cite(findings(outcomes), _command(reclaim, time, seed))
    try:
        keep(found)
    except OSError as error:
        say.note(f"gnomon claims will not cite this run, which cannot be kept: {error.strerror}")
    if html:
        from gnomon.report.pressure_page import pressure_page

        write(lambda: html.write_text(pressure_page(outcomes, HEADER, cells, said(found)), encoding="utf-8"), html)
    if json:
        say.json({"outcomes": [o.document() for o in outcomes], "findings": [asdict(f) for f in found]})
    else:
        print(say.columns(HEADER, map(cells, outcomes), right="lrrrrrrrrrrrrr"))
        print()
        for claim, text in said(found):
            print(f"{claim}  {text}")
    return 1 if any(o.lost and o.is_right for o in outcomes) else 0


def shown(finding) -> str:
    """Whether a run showed the claim, in words."""
    return "shown in the run" if finding.holds else "not shown in the run"


def said(found: Iterable) -> list[tuple[str, str]]:
    """Of each claim, what the run came to."""
    return [(f.claim, f"{shown(f)}: {f.text}") for f in found]


def _command(reclaim: str, time: str, seed: int) -> str:
    """What repeats this run."""
    wished = (("--reclaim", reclaim, ""), ("--time", time, "3s"), ("--seed", str(seed), "1"))
    return " ".join(["gnomon pressure", *(f"{option} {value}" for option, value, usual in wished if value != usual)])


def chosen(text: str) -> list[str]:
    """The reclaims of `text`. Raises GnomonError for one that there is not."""
    from gnomon.mmu.axes import AXES

    known = [choice.name for axis in AXES if axis.name == "reclaim" for choice in axis.choices]
    names = [name.strip() for name in text.split(",") if name.strip()] or known
    for name in names:
        if name not in known:
            raise GnomonError(f"no reclaim is named {name}", f"the reclaims are {', '.join(known)}", exit_code=2)
    return names


def cells(o) -> tuple:
    c = o.counts
    return (
        o.title,
        o.peak_pages,
        o.n_max,
        o.peak("deferred"),
        o.least_free,
        c["low crossings"],
        c["min crossings"],
        c["failed allocations"],
        c["refused to the consumer"],
        c["shrinker runs"],
        c["stalls"],
        c["grace periods"],
        f"{c['zaps'] / o.seconds:,.0f}",
        f"{c['stores'] / o.seconds:,.0f}",
        len(o.lost) or "nothing",
    )
