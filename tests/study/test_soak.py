"""gnomon stress: does it find what is broken, repeat what it found, and add up?"""

import json
import time
from collections import Counter

import pytest

from gnomon.cli.main import command
from gnomon.mmu.axes import AXES
from gnomon.study.stress import hunt as hunts
from gnomon.study.stress import soak
from gnomon.study.stress.churn import STEADY
from gnomon.study.stress.edit import FENCE_ADDRESS, FENCE_NONE, FENCE_WHOLE
from gnomon.study.stress.oracle import ORACLES, trial
from gnomon.study.stress.stage import Stress
from hunting import LIMIT, hunt

FENCED = [
    (design, fences, fences != FENCE_NONE) for design in ("", "guest-tables=unsync") for fences in (FENCE_NONE, FENCE_ADDRESS, FENCE_WHOLE)
]


@pytest.mark.slow
def test_does_a_broken_design_end_with_the_trial_to_repeat(capfd):
    assert command(["stress", "--design", "flush=skipped", "--time", f"{LIMIT:g}s", "--seed", "3", "--json"]) == 1
    told = capfd.readouterr()
    last = json.loads(told.out)["trials"][-1]
    assert last["found"] and f"gnomon stress --design flush=skipped --seed 3 --trial {last['number']}" in told.err
    again = soak.one(last["number"], last["shape"], last["oracle"], "flush=skipped", 3)
    assert again.seed == last["seed"] and again.shape == last["shape"]


@pytest.mark.slow
def test_does_the_right_design_survive_and_do_its_figures_add_up(capfd):
    assert command(["stress", "--time", "6s", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["totals"]["trials"] == len(told["trials"]) > 0 == told["totals"]["found"]
    for name in ("stores", "seconds"):
        assert told["totals"][name] == pytest.approx(sum(t[name] for t in told["trials"]))
    for name in soak.COUNTERS:
        assert told["totals"][name] == sum(t["counters"][name] for t in told["trials"])
    assert told["totals"]["stores"] > 0 < told["totals"]["harvested"]


def test_is_a_frame_noticed_that_comes_back_while_a_hart_remembers_it():
    """Pages come to share a frame with no flush: their harts go on storing to frames that are the pool's, or another page's too."""

    def look(seed):
        found = soak.one(0, "bare, pages that share", "new", "flush=skipped", seed).found
        return any("another page's frame" in sentence for sentence in found)

    assert hunt(look)


@pytest.mark.parametrize(
    "shape", ["everything at once", "bare, split and recovered", "bare, pages that share", "Sv39, tables edited", "Sv39, tables unsync"]
)
def test_does_each_churn_of_a_shape_really_happen(shape):
    """A stress whose tables nobody edits, or whose regions nobody splits, would find nothing for the wrong reason."""
    churns = soak.SHAPES[shape].get("churns", STEADY)
    counted = {"zap": "zaps", "recycle": "recycled", "invalidate": "moved", "split": "splits", "share": "unshared"}
    wanted = {"harvested"} | {counted[churn] for churn in churns if churn in counted} | ({"recoveries"} if "split" in churns else set())
    edits, unsync = soak.SHAPES[shape].get("edits", False), "unsync" in soak.SHAPES[shape].get("design", "")
    wanted |= ({"swung"} if edits else set()) | ({"syncs"} if unsync else set())
    met: Counter = Counter()

    def look(number):
        stress = Stress(migrating=True, seed=number, **soak.shaped(shape, ""))
        stress.rig.enable()
        with stress.running():
            time.sleep(0.3)
            stress.pause()
        met.update({name: stress.rig.field(name) for name in {*wanted, "syncs"} - {"swung"}})
        met["swung"] += stress.get("swung")
        assert (stress.get("wrong"), stress.get("stuck")) == (0, 0)
        return all(met[name] for name in wanted)

    assert hunt(look), met
    assert (bool(met["swung"]), bool(met["syncs"])) == (edits, unsync)


@pytest.mark.parametrize(("design", "fences", "right"), FENCED)
def test_does_the_oracle_notice_a_guest_that_does_not_fence_what_it_edited(design, fences, right):
    """SFENCE.VMA by address and whole, each on its own, is enough; with none, stores go where the entry led before."""
    shape = soak.shaped("Sv39, tables edited", design) | {"fences": fences}

    def look(seed):
        found, _ = trial("migration", 4, 0.05, seed=seed, **shape)
        wrong = any("another page's frame" in what for what in found)
        assert wrong or not found, found
        return wrong

    if right:
        assert not look(0)
    else:
        assert hunt(look)


def test_is_a_shape_with_a_choice_of_its_own_still_of_the_design_that_is_asked_for():
    assert soak.shaped("Sv39, tables unsync", "")["design"] == "guest-tables=unsync"
    assert soak.shaped("Sv39, tables unsync", "guard=fixup,guest-tables=tracked")["design"] == "guest-tables=tracked,guard=fixup"
    assert {soak.plan(number, "bare, quiet") for number in range(3)} == {("bare, quiet", oracle) for oracle in ORACLES}


@pytest.mark.slow
def test_does_a_hunt_say_what_it_found_and_what_not(monkeypatch, capfd):
    """Processes of their own; the table has a row a broken choice and nothing else."""
    for design, seconds in (("guest-tables=untracked", LIMIT), ("reclaim=call-rcu", 2.0)):
        monkeypatch.setattr(hunts, "broken", lambda design=design: [design])
        (found,) = hunts.hunt_all(seconds, 1).values()
        assert found.design == design and bool(found.found) == (seconds == LIMIT)
        assert found.shape in soak.SHAPES and found.seconds > 0
    assert command(["designs", "--broken", "--no-check"]) == 0
    rows = capfd.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [f"{a.name}={c.name}" for a in AXES for c in a.choices if c.wrong]
    assert all("not asked" in row for row in rows)


def test_is_every_shape_asked_every_question():
    plans = len(soak.SHAPES) * len(ORACLES)
    assert len({soak.plan(number) for number in range(plans)}) == plans


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--design", "guard=magic"], "guard"),
        (["--time", "soon"], "soon"),
        (["--trial", "-1"], "counted from 0"),
        (["--design", "x=y"], "axis"),
        (["--shape", "round"], "no stress has the shape: round"),
    ],
)
def test_is_a_wrong_wish_one_clear_sentence(capfd, words, says):
    assert command(["stress", *words]) == 2
    assert says in capfd.readouterr().err
