"""Is a ratio what the two figures say, and does a figure that could not be taken say so?"""

import pytest

from gnomon.study.row import LESS, MORE, against, missing, row


@pytest.mark.parametrize(("better", "ratio"), [(LESS, 4.0), (MORE, 0.25)])
def test_a_ratio_says_how_many_times_better(better, ratio):
    ours, peer = row("b", "ours", 5.0, "ns"), row("b", "theirs", 20.0, "ns")
    found = against(ours, peer, better=better, target="ratio >= 3")
    assert (found["ratio"], found["peer"], found["target"]) == (ratio, "theirs", "ratio >= 3")
    assert ours["ratio"] is None, "a row changed under its owner"


def test_a_bound_on_the_value_stays_beside_a_peer():
    assert against(row("b", "ours", 5.0, "ns", target="<= 9"), row("b", "theirs", 1.0, "ns"), better=LESS)["target"] == "<= 9"


def test_what_becomes_of_a_ratio_without_a_peer():
    found = against(row("b", "ours", 5.0, "ns"), missing("b", "theirs", "ns", "not installed"), better=LESS, target="ratio >= 5")
    assert (found["value"], found["ratio"], found["peer"]) == (5.0, None, "theirs (not available: not installed)")
