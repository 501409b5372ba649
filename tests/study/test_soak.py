"""gnomon stress: does it find what is broken, repeat what it found, and add up?"""

import json

import pytest

from gnomon.cli.main import command
from gnomon.study.stress import soak
from gnomon.study.stress.oracle import ORACLES


@pytest.mark.slow
def test_does_a_broken_design_end_with_the_trial_to_repeat(capfd):
    assert command(["stress", "--design", "flush=skipped", "--time", "40s", "--seed", "3", "--json"]) == 1
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
    ],
)
def test_is_a_wrong_wish_one_clear_sentence(capfd, words, says):
    assert command(["stress", *words]) == 2
    assert says in capfd.readouterr().err
