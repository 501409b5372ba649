"""Can a counterexample be kept, replayed, and refused when it is stale or damaged?"""

import pytest

from gnomon.check.explore import explore
from gnomon.check.html import page
from gnomon.check.programs.treiber import treiber
from gnomon.check.render import render
from gnomon.check.schedule import ScheduleError, check_fresh, load, save

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


def test_is_the_page_self_contained():
    scenario = treiber(**NAIVE)
    text = page(scenario, explore(scenario, "tso"))
    assert "http" not in text and "store buffer of worker" in text and "ArrowRight" in text
