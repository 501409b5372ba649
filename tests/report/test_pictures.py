"""Are the README's pictures what their command makes, and does each stand alone?"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from gnomon.cli import gather, warming
from gnomon.cli.main import command
from gnomon.report import chart
from gnomon.report.pictures import JITTER, NAMES, PRESSURE, RACE

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "pictures"
SPREAD = {"idle": [[40.0, 90], [400.0, 10]], "lockless": [[50.0, 90], [500.0, 10]], "locked": [[5e6, 3]]}
SAMPLES = [{"seconds": n / 10, "live": 60, "deferred": 0, "cached": 4, "free": 9, "held": 5 * (3 <= n < 6)} for n in range(10)]
JITTER_ROWS = [
    {"bench": "jitter", "figure": f"{vcpus}, {kind}: p50", "value": 40.0, "unit": "ns", "points": points}
    for vcpus in ("1 vCPU", "2 vCPUs")
    for kind, points in SPREAD.items()
] + [{"bench": "jitter", "figure": "2 vCPUs, locked: stores", "value": 2.0, "unit": "M/s"}]


def outcome(reclaim, most):
    samples = [s | {"deferred": most if reclaim == "call-rcu" else 0} for s in SAMPLES]
    fields = {"reclaim": reclaim, "shrinker": True, "seconds": 1.0, "n_max": 128, "threads": 4}
    return fields | {"caches": [], "samples": samples, "counts": {}, "lost": []}


def answers(found, words, command, tell):
    if words[0] == "bench":
        return JITTER_ROWS
    return {"outcomes": [outcome("typesafe-slab", 0), outcome("call-rcu", 700)], "findings": []}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of `gnomon report --pictures`, with figures that were not measured."""
    folder = tmp_path_factory.mktemp("made") / "pictures"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "ask", answers)
        patch.setattr(warming, "warm", lambda: None)
        assert command(["report", "--pictures", str(folder)]) == 0
    return {path.name: path.read_text() for path in folder.iterdir()}


def texts(picture):
    return [e.text or "" for e in ElementTree.fromstring(picture).iter() if e.tag.endswith("text")]


def test_does_the_command_make_the_pictures_that_are_shown(made):
    assert set(made) == set(NAMES) == {path.name for path in COMMITTED.iterdir()}
    for page, place in (("README.md", "docs/pictures/"), ("docs/index.md", "pictures/")):
        text = (ROOT / page).read_text()
        assert {name for name in NAMES if re.search(rf"!\[[^]]+\]\({place}{name}\)", text)} == set(NAMES), page


@pytest.mark.parametrize("name", NAMES)
def test_does_each_stand_alone_small_and_with_its_command(made, name):
    for picture in (made[name], (COMMITTED / name).read_text()):
        root = ElementTree.fromstring(picture)
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}" and len(picture) < 100_000
        assert "prefers-color-scheme: dark" in picture and "href" not in picture and "@import" not in picture
        assert texts(picture)[-1].startswith("gnomon ")
        assert "numpy" not in picture and "NaN" not in picture


def test_is_the_race_that_of_the_checker(made):
    shown = texts(made[RACE])
    assert any("LOST" in text for text in shown) and {"vcpu 0", "harvester"} <= set(shown)
    at = {text: n for n, text in enumerate(shown)}
    assert at["fetch_or dirty: {} -> {0}"] < at["xchg dirty: {0} -> {}"] < at["page 0 = 2"]
    assert not any(".mode" in text or ".requests" in text for text in shown)
    assert any("LOST" in text for text in texts((COMMITTED / RACE).read_text()))


def test_does_the_jitter_say_which_share_took_longer(made):
    assert {"lockless", "mmu_lock held", "nobody harvests", "10 ns", "1 ms"} <= set(texts(made[JITTER]))
    courses = dict(re.findall(r'points="([^"]+)"><title>([^<]+)', made[JITTER]))
    ends = {name: [tuple(map(float, p.split(","))) for p in points.split()] for points, name in courses.items()}
    assert len({points[0] for points in ends.values()}) == 1, "all begin at 100 % on the left"
    assert ends["mmu_lock held"][-1][0] > ends["lockless"][-1][0] and ends["mmu_lock held"][-1][1] < ends["lockless"][-1][1]


def test_are_both_reclaims_drawn_on_one_scale(made):
    shown = texts(made[PRESSURE])
    assert shown.index("call-rcu") < shown.index("typesafe-slab") and shown.count("n_max 128") == 2
    assert shown.count("800") == 2 and shown.count("another consumer takes every frame") == 2


@pytest.mark.parametrize(("ns", "said"), [(10, "10 ns"), (1000, "1 µs"), (1.5e7, "15 ms"), (2e9, "2 s")])
def test_is_a_time_in_the_unit_that_is_read_best(ns, said):
    assert chart.duration(ns) == said


def test_is_a_step_that_failed_said_and_the_exit_code(tmp_path, monkeypatch, capsys):
    def fails(found, words, command, tell):
        found.step(command, 0.0, gather.FAILED, "exit code 9")

    monkeypatch.setattr(gather, "ask", fails)
    monkeypatch.setattr(warming, "warm", lambda: None)
    assert command(["report", "--pictures", str(tmp_path)]) == 1
    assert "gnomon bench jitter: exit code 9" in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == [RACE]
