"""Can a counterexample be kept, replayed, and refused when it is stale or damaged?"""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.check.explore import explore
from gnomon.check.programs.treiber import treiber
from gnomon.check.render import render
from gnomon.check.scenarios.catalog import build
from gnomon.check.schedule import ScheduleError, check_fresh, load, save
from gnomon.check.timeline import Timeline

NAIVE = {"threads": 2, "tags": 1}


@pytest.fixture
def saved(tmp_path):
    scenario = treiber(**NAIVE)
    result = explore(scenario, "tso")
    save(tmp_path / "aba.json", result)
    return tmp_path / "aba.json", render(scenario, result)


def test_does_a_replay_show_the_same_race(saved):
    path, text = saved
    schedule, scenario = load(path), treiber(**NAIVE)
    check_fresh(schedule, scenario)
    assert render(scenario, schedule.result()) == text


def test_does_the_race_name_what_happens(saved):
    _, text = saved
    assert "worker 0" in text and "worker 1" in text
    assert "cmpxchg head: 1 -> 2" in text and "reaches memory" in text and "(buffered)" in text
    assert "programs/treiber.py:" in text and "!! expectation of line" in text


def test_is_a_schedule_of_other_sources_refused(saved):
    with pytest.raises(ScheduleError, match="found in other sources: digest"):
        check_fresh(load(saved[0]), treiber(2, tags=2))


@pytest.mark.parametrize("damage", ["", "{", '{"gnomon": 1}', '{"gnomon": "1", "extra": 2}'])
def test_is_a_damaged_file_refused(tmp_path, damage):
    (tmp_path / "x.json").write_text(damage)
    with pytest.raises(ScheduleError, match="is no schedule of gnomon replay"):
        load(tmp_path / "x.json")


def test_is_a_schedule_that_does_not_fit_refused(saved):
    schedule = load(saved[0])
    schedule.actions = [1, *schedule.actions]
    with pytest.raises(ValueError, match="step 1 of the schedule drains an empty store buffer"):
        render(treiber(**NAIVE), schedule.result())


def test_is_another_file_never_overwritten(saved):
    scenario = treiber(**NAIVE)
    with pytest.raises(FileExistsError):
        save(saved[0], explore(scenario, "tso"))


def test_is_there_nothing_to_save_of_a_proof(tmp_path):
    with pytest.raises(ScheduleError, match="no counterexample to save"):
        save(tmp_path / "x.json", explore(treiber(2), "sc"))


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"model": "arm"}, "Invalid enum value 'arm'"),
        ({"actions": [999]}, "Expected `int` <= 255"),
        ({"actions": ["x"]}, "Expected `int`, got `str`"),
        ({"visible": [-1]}, "Expected `int` >= 0"),
        ({"bounds": 3}, "Expected `object`, got `int`"),
        ({"extra": 3}, "unknown field `extra`"),
    ],
)
def test_is_a_field_that_makes_no_sense_named(saved, change, reason):
    path, _ = saved
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ScheduleError, match=re.escape(reason)):
        load(path)


@pytest.mark.parametrize(
    "change,reason",
    [
        ({"visible": [10**9]}, "names word 1000000000, the arena has 1024"),
        ({"bounds": {}}, "has store buffers of 0 entries"),
        ({"bounds": {"buffer": 10**12}}, "has store buffers of 1000000000000 entries"),
    ],
)
def test_is_a_bound_that_cannot_be_refused(saved, change, reason):
    path, _ = saved
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ScheduleError, match=reason):
        check_fresh(load(path), treiber(**NAIVE))


def test_is_a_schedule_that_shows_no_violation_refused(saved):
    """Half a counterexample, or one that names another property, is none."""
    schedule = load(saved[0])
    schedule.actions = schedule.actions[: len(schedule.actions) // 2]
    with pytest.raises(ValueError, match="does not end in what it says it violates: expectation"):
        Timeline(treiber(**NAIVE), schedule.result()).confirm()


@pytest.mark.parametrize(
    "name", ["harvest/fast-fault:drop-dirty", "rcu/wait-inside-reader:no-check", "lock/exclusion:two-steps", "hart/pause:late-count"]
)
def test_does_a_counterexample_confirm_itself_and_no_other_property(name):
    scenario = build(name)
    result = explore(scenario, "sc")
    Timeline(scenario, result).confirm()
    for other in {"progress", "deadlock", "use after free"} - {result.property}:
        with pytest.raises(ValueError, match="does not end in"):
            Timeline(scenario, replace(result, property=other, loop=[])).confirm()


@cache
def naive_found():
    scenario = treiber(**NAIVE)
    return scenario, explore(scenario, "tso")


@settings(max_examples=25)
@given(st.data())
def test_does_a_schedule_with_a_changed_action_end_in_one_sentence(data):
    """Whatever the file says, it is refused or shown; nothing else is raised."""
    scenario, result = naive_found()
    actions = list(result.schedule)
    actions[data.draw(st.integers(0, len(actions) - 1))] = data.draw(st.integers(0, 255))
    try:
        Timeline(scenario, replace(result, schedule=actions)).confirm()
    except ValueError as error:
        assert "schedule" in str(error)
