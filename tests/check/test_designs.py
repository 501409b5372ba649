"""Does the checker say of every choice of the design space what the table says: right is proved, wrong is refuted?"""

import json

import pytest

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.check.verdicts import verdicts
from gnomon.cli.designs import designs
from gnomon.errors import GnomonError
from gnomon.mmu.axes import AXES
from gnomon.mmu.designs import CURED, IMPOSSIBLE, chosen, describe, merge, parse, wrongs
from gnomon.mmu.tunings import TUNINGS, tune

ASKED = [(f"{choice.scenario}@{axis.name}={choice.name}", choice) for axis in AXES for choice in axis.choices if choice.scenario]
LONG = 600.0
"""Seconds of a search that needs few: a bound for a machine that others use too."""
COMPANY = {"guard": "recheck/same-value", "reclaim": "reuse/freed-table"}


@pytest.mark.parametrize("name,choice", ASKED, ids=[name for name, _ in ASKED])
def test_is_a_right_choice_proved_and_a_wrong_one_refuted(name, choice):
    result = explore(build(name), "tso", max_seconds=LONG)
    assert result.verdict == ("violated" if choice.wrong else "proved"), str(result)


@pytest.mark.parametrize("rule", CURED, ids=lambda rule: f"{rule.first[1]}, {rule.second[1]}")
def test_is_a_wrong_choice_right_in_the_company_that_cures_it(rule):
    """Both halves: refuted alone, proved together."""
    name = COMPANY[rule.first[0]]
    alone, together = "=".join(rule.first), f"{'='.join(rule.first)},{'='.join(rule.second)}"
    assert any(wrong.startswith(alone) for wrong in wrongs(parse(alone)))
    assert not any(wrong.startswith(alone) for wrong in wrongs(parse(together)))
    assert explore(build(f"{name}@{together}"), "tso", max_seconds=LONG).proved


def test_is_every_design_a_word_and_back():
    words = set()
    for axis in AXES:
        assert [c.value for c in axis.choices].count(0) == 1, "one choice of an axis ships"
        for choice in axis.choices:
            text = f"{axis.name}={choice.name}"
            word = parse(text)
            assert word & ~axis.mask == 0 and chosen(word)[axis.name] == choice.name
            assert describe(word) == (text if word else "")
            words.add(word)
    assert len(words) == sum(len(axis.choices) - 1 for axis in AXES) + 1, "no two choices share a value"
    assert merge("guard=none,walk=forward", "guard=level") == "guard=level,walk=forward"


@pytest.mark.parametrize(
    "text,message",
    [
        ("gaurd=none", "no design axis named: gaurd"),
        ("guard", "no design axis named: guard"),
        ("guard=nothing", "no choice of guard named: nothing"),
        ("guard=none,guard=level", "two choices for one axis"),
        ("walk=forward,protector=locked", "walk=forward says how a walk without a lock goes"),
    ],
)
def test_is_a_design_that_is_none_refused_with_the_choices(text, message):
    with pytest.raises(GnomonError, match=message) as told:
        parse(text)
    assert told.value.hint and told.value.exit_code == 2


def test_are_numbers_beside_the_design_refused_when_they_mean_nothing():
    assert {tuning.name: number for tuning, number in tune("section=-1,blimit=3").items()} == {"section": -1, "blimit": 3}
    for text, message in (
        ("sections=1", "nothing to tune named: sections"),
        ("blimit=0", "blimit is a number from 1"),
        ("section=x", "section"),
    ):
        with pytest.raises(GnomonError, match=message):
            tune(text)
    assert len({tuning.name for tuning in TUNINGS}) == len(TUNINGS)


def test_does_the_list_name_every_choice_and_what_goes_wrong(capsys):
    assert designs(ask=False, json=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["axis"], row["choice"]) for row in listed["choices"]] == [(a.name, c.name) for a in AXES for c in a.choices]
    assert len(listed["impossible"]) == len(IMPOSSIBLE)
    assert designs(ask=False) == 0
    shown = capsys.readouterr().out
    assert all(choice.what in shown and choice.wrong in shown for axis in AXES for choice in axis.choices)


def test_is_a_verdict_explored_once_and_never_written_down():
    """The second time it comes from the cache, and it is the explorer's."""
    name, told = "rmap/moved-entry@walk=forward", []
    first = verdicts([name], "sc", told.append)[name]
    result = explore(build(name), "sc")
    assert (first["verdict"], first["steps"], first["property"]) == (result.verdict, len(result.schedule), result.property)
    told.clear()
    assert verdicts([name], "sc", told.append)[name] == first and told == []
