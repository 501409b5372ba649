"""top: do the panels say what the figures are, in the room they have?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli.hosted import Hosted
from gnomon.cli.top.panels import EIGHTHS, bar, figure, fit, heat, heat_title, legend, nobody, rounds, sparkline
from gnomon.cli.top.rates import History, rates


def view(clock=1.0, *, pid=1, instructions=(0, 0), harvested=0, logged=0, enabled=1):
    return {
        "clock": clock,
        "cost": 0.0,
        "status": {"pid": pid},
        "rounds": [],
        "map": {"logged": logged},
        "stats": {
            "faults": {"fast": 0, "slow": 0},
            "mmu": {"remote flushes": 0},
            "dirty log": {"enabled": enabled, "harvests": 0, "pages harvested": harvested},
            "rcu": {"grace_periods_completed": 0},
            "harts": {"instructions": list(instructions), "exits": [0] * len(instructions)},
        },
    }


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (7.4, "7"), (999, "999"), (999.6, "1.0 k"), (16440, "16.4 k"), (123456, "123 k"), (3.2e9, "3.2 G")]
)
def test_is_a_figure_short(value, shown):
    assert figure(value) == shown


@given(st.floats(-1, 2), st.integers(1, 60))
def test_is_a_bar_as_long_as_its_part(part, width):
    shown = bar(part, width)
    assert len(shown) == width
    assert abs((shown.count("█") + (0 if shown.strip("█ ") == "" else 0.5)) / width - min(max(part, 0), 1)) <= 0.51 / width + 1e-9


@given(st.lists(st.floats(0, 1e6), max_size=80), st.integers(1, 40), st.integers(1, 4))
def test_does_a_sparkline_rise_with_its_values(values, width, height):
    lines = sparkline(values, width, height)
    assert len(lines) == height and all(len(line) == width for line in lines)
    shown = values[-width:]
    heights = [sum(EIGHTHS.index(line[-len(shown) + n]) for line in lines) for n in range(len(shown))]
    for (a, high_a), (b, high_b) in zip(zip(shown, heights, strict=True), zip(shown[1:], heights[1:], strict=True), strict=False):
        assert a == b or (high_a <= high_b if a < b else high_a >= high_b)
    assert not shown or max(shown) == 0 or max(heights) == 8 * height


def test_are_rates_by_the_machines_own_clock():
    found = rates(view(1.0, instructions=(0, 0)), view(3.0, instructions=(2_000_000, 8_000_000)))
    assert found.mips == [1.0, 4.0]


def test_is_the_dirty_rate_what_was_harvested_and_what_waits():
    assert rates(view(1.0, harvested=100, logged=50), view(2.0, harvested=150, logged=20)).dirtied == 20
    assert rates(view(1.0, harvested=100, logged=50), view(2.0, harvested=150, logged=0)).dirtied == 0


def test_does_turning_the_log_on_count_no_page_as_written():
    """The first harvest returns every page: 32768 of them are no rate."""
    assert rates(view(1.0, enabled=0), view(2.0, logged=32768)).dirtied is None


def test_does_another_machine_of_that_name_start_anew():
    history = History()
    history.take(view(5.0, instructions=(900, 900)))
    history.take(view(6.0, instructions=(1000, 1000)))
    assert history.rates is not None
    history.take(view(1.0, pid=2))
    assert history.rates is None and not history.dirtied


def test_do_two_views_of_one_instant_make_no_rate():
    history = History()
    history.take(view(1.0))
    history.take(view(1.01, instructions=(10**9, 0)))
    assert history.rates is None
    history.take(view(2.0, instructions=(10**9, 0)))
    assert history.rates.mips == [1000.0, 0.0]


def test_has_each_state_a_glyph_of_its_own():
    picture = {"cells": "dwpux.p", "dirty": "9000001"}
    assert heat(picture, 4).plain == "█▓▒░\nX·▄"


def test_does_the_map_say_how_much_a_cell_is():
    picture = {"cells": "....", "dirty": "0000", "pages": 4096, "looked": 4096}
    assert heat_title(picture) == "memory · 4096 pages, 1024 a cell"
    assert heat_title({**picture, "looked": 1024}) == "memory · 4096 pages, 1024 a cell, 1 in 4 looked at"
    counts = dict.fromkeys(("dirty", "writable", "protected", "unmapped", "taken back", "untouched"), 0)
    assert legend({"counts": {**counts, "taken back": 3}}).plain == "█ dirty 0 ▒ protected 0 X taken back 3"


@pytest.mark.parametrize("width", [36, 60, 76, 120])
def test_do_the_rounds_fit(width):
    done = {
        "number": 1,
        "pages": 17408,
        "zero": 3,
        "bytes": 1 << 26,
        "seconds": 1.6,
        "dirty_rate": 38.2,
        "throttle": 0,
        "done": True,
        "paused": False,
    }
    shown = rounds({"rounds": [{**done, "number": n} for n in range(1, 30)]}, width, 6).plain.splitlines()
    assert len(shown) == 6 and all(len(line) <= width for line in shown)
    assert shown[0].split()[:2] == ["round", "pages"] and shown[-1].split()[0] == "29"


def test_is_a_run_that_still_compiles_no_receiver_that_waits():
    states = [Hosted(None, on_event=print, note=print, **more).state for more in ({"before": "starting"}, {})]
    assert states == ["starting", "waiting"]
    assert [nobody(state).plain for state in states] == ["kernels compile, or the guest is loaded", "waits for a guest to arrive"]


def test_is_what_has_no_room_left_out_whole():
    assert fit(["12 MB/s", "3 k pages/s", "2 harvests/s"], 20) == "12 MB/s  3 k pages/s"
