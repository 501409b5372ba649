"""Under pressure: is what was counted all there is, and does every reclaim survive with nothing lost?"""

import json
from dataclasses import replace

import pytest

from gnomon.check.claims import CLAIMS
from gnomon.cli import warming
from gnomon.cli.main import command
from gnomon.errors import GnomonError
from gnomon.report import chart
from gnomon.study.pressure import kept
from gnomon.study.pressure import run as pressing
from gnomon.study.pressure.findings import Finding, findings

RECLAIMS = ("typesafe-slab", "call-rcu", "call-rcu-throttled", "immediate", "mode-wait")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    warming.warm()


@pytest.fixture(scope="module")
def outcomes():
    """A run each in which everybody came to what they do: where others have the CPUs, a longer one."""
    found = {}
    for name in RECLAIMS[:3]:
        for seconds in (0.9, 3.0, 10.0, 30.0, 90.0):
            found[name] = pressing.run(name, seconds)
            if busy(found[name]):
                break
    return found


def busy(outcome):
    """Whether the machines came to their n_max, the consumer to frames, and where pages wait for grace periods some did."""
    waits = outcome.peak("deferred") and outcome.counts["callbacks"]
    counted = all(outcome.counts[name] for name in ("harvests", "zaps", "stores"))
    full = outcome.peak_pages > outcome.n_max // 2
    return full and counted and len(outcome.samples) > 3 and outcome.peak("held") > 0 and (waits or outcome.reclaim != "call-rcu")


@pytest.mark.slow
def test_do_the_frames_of_a_sample_add_up_to_no_more_than_there_are(outcomes):
    for outcome in outcomes.values():
        assert busy(outcome)
        for s in outcome.samples:
            assert min(s.live, s.deferred, s.cached, s.free, s.held) >= 0
            assert s.free + s.held <= pressing.SPARE_FRAMES + outcome.bound


@pytest.mark.slow
def test_is_nothing_lost_and_nothing_written_after_its_free(outcomes):
    for outcome in outcomes.values():
        assert outcome.lost == ()
        assert [outcome.counts[name] for name in ("write after free", "not constructed", "double free")] == [0, 0, 0]


@pytest.mark.slow
def test_is_a_slab_bound_by_n_max_and_a_throttled_call_rcu_too(outcomes):
    """C2: n_max, and one slab page a cache and thread, at every moment. C7: in every sample. Without throttling there is no bound (C1)."""
    slab = outcomes["typesafe-slab"]
    for cache in slab.caches:
        assert 0 < cache.peak <= slab.within(cache) == cache.filled + slab.threads
    assert slab.is_bounded and slab.caches[0].filled == slab.n_max == pressing.VMS * pressing.N_MAX
    assert outcomes["call-rcu-throttled"].peak_pages <= outcomes["call-rcu-throttled"].bound
    assert outcomes["typesafe-slab"].peak("deferred") == 0 == outcomes["call-rcu"].counts["stalls"]


@pytest.mark.slow
def test_has_a_run_a_sample_whose_threads_began_late():
    """On a loaded machine its time is over before they run; peaks and least values are of one sample then, not of none."""
    outcome = pressing.run("typesafe-slab", 0.0)
    assert outcome.samples and outcome.least_free >= 0 and not outcome.lost


def test_does_a_finding_cite_the_figures_of_its_run(outcomes):
    found = {f.claim: f for f in findings(list(outcomes.values()))}
    assert set(found) == {"C1", "C2", "C6", "C7"}, "C5 needs the run without the shrinker"
    assert str(outcomes["call-rcu"].peak_pages) in found["C1"].text
    assert found["C1"].holds == (outcomes["call-rcu"].peak_pages > outcomes["call-rcu"].n_max)
    slab = outcomes["typesafe-slab"]
    assert found["C2"].holds and f"{slab.peak_pages} frames at most" in found["C2"].text
    full = replace(slab, caches=tuple(replace(c, peak=slab.within(c)) for c in slab.caches))
    more = replace(full, caches=(*full.caches[:2], replace(full.caches[2], peak=full.caches[2].peak + 1)))
    assert [f.holds for o in (full, more) for f in findings([o]) if f.claim == "C2"] == [True, False], "one frame of one cache"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where findings are kept, empty."""
    monkeypatch.setattr(kept, "place", lambda: tmp_path / "kept" / kept.NAME)
    (tmp_path / "kept").mkdir()
    return kept.place()


def test_is_the_last_run_of_each_claim_the_one_that_is_cited(place):
    assert kept.last() == {} and not kept.is_old()
    first = [Finding("C1", True, "of the first run"), Finding("C2", False, "of the first run")]
    kept.keep(kept.cite(first, "gnomon pressure"))
    kept.keep(kept.cite([Finding("C2", True, "of the second")], "gnomon pressure --reclaim typesafe-slab"))
    cited = kept.last()
    assert [(c.holds, c.text, c.run.command) for c in (cited["C1"], cited["C2"])] == [
        (True, "of the first run", "gnomon pressure"),
        (True, "of the second", "gnomon pressure --reclaim typesafe-slab"),
    ]
    assert [p.name for p in place.parent.iterdir()] == [kept.NAME]


def test_is_no_run_of_other_sources_cited(place, monkeypatch, capfd):
    kept.keep(kept.cite([Finding("C1", True, "text")], "gnomon pressure"))
    monkeypatch.setattr(kept, "source_digest", lambda: "another")
    assert kept.last() == {} and kept.is_old()
    monkeypatch.setattr("gnomon.check.claims.CLAIMS", [])
    assert command(["claims"]) == 0
    said = capfd.readouterr()
    assert "the last run was of other sources: gnomon pressure settles C1" in said.err and "C1" not in said.out
    with pytest.raises(GnomonError, match=r"is of a run of other sources: \w{12}, these are another"):
        kept.of_file(place)


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b'{"findings": [{"claim": 1}]}'])
def test_does_a_damaged_file_count_as_no_run_and_is_one_sentence_where_it_was_asked_for(place, capfd, damage):
    place.write_bytes(damage)
    assert kept.last() == {}
    assert command(["claims", "--pressure", str(place)]) == 3
    said = capfd.readouterr()
    assert "is not what gnomon pressure --json prints" in said.err and not said.out
    kept.keep(kept.cite([Finding("C1", True, "text")], "gnomon pressure"))
    assert set(kept.last()) == {"C1"}


def test_does_gnomon_claims_cite_the_run_beside_the_verdict(place, capfd, monkeypatch):
    monkeypatch.setattr("gnomon.check.claims.CLAIMS", [c for c in CLAIMS if c.id in ("C3", "C5")])
    assert command(["claims", "--json"]) == 0
    assert [row["run"] for row in json.loads(capfd.readouterr().out)] == [None, None]
    kept.keep(kept.cite([Finding("C5", True, "the consumer gets 7 frames")], "gnomon pressure --time 1s"))
    assert command(["claims", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capfd.readouterr().out)}
    assert {"id", "verdict", "within", "states", "steps", "seconds", "command"} <= rows["C5"].keys() and rows["C5"]["verdict"] == "shown"
    assert rows["C3"]["run"] is None and rows["C5"]["run"]["text"] == "the consumer gets 7 frames"
    assert command(["claims"]) == 0
    said = capfd.readouterr().out
    assert "gnomon pressure --time 1s, " in said and "C5  shown in the run: the consumer gets 7 frames" in said


def test_does_the_command_give_rows_charts_and_findings(capfd, tmp_path, place):
    page = tmp_path / "p.html"
    assert command(["pressure", "--reclaim", "typesafe-slab", "--time", "0.4s", "--json", "--html", str(page)]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [(o["reclaim"], o["shrinker"]) for o in told["outcomes"]] == [("typesafe-slab", True), ("typesafe-slab", False)]
    assert {f["claim"] for f in told["findings"]} == {"C2", "C5"}
    assert "held by the consumer" in page.read_text()
    assert {c.claim: c.text for c in kept.last().values()} == {f["claim"]: f["text"] for f in told["findings"]}
    assert kept.last()["C2"].run.command == "gnomon pressure --reclaim typesafe-slab --time 0.4s"


@pytest.mark.parametrize(
    ("words", "says"), [(["--reclaim", "slab"], "no reclaim is named slab"), (["--time", "1"], "1"), (["--time", "1ms"], "at least 300 ms")]
)
def test_is_a_wrong_wish_one_clear_sentence(capfd, words, says):
    assert command(["pressure", *words]) == 2
    assert says in capfd.readouterr().err


@pytest.mark.parametrize("log", [False, True])
def test_does_a_chart_place_every_point_inside_it(log):
    drawn = chart.lines({"a & b": [(1, 5), (10, 500), (1000, 50000)]}, "x", "y", log_x=log, log_y=log, marks={"limit": 70})
    points = [tuple(map(float, p.split(","))) for p in drawn.split('points="')[1].split('"')[0].split()]
    assert len(points) == 3
    assert all(0 <= x <= chart.WIDTH and 0 <= y <= chart.HEIGHT for x, y in points)
    assert points[0][0] < points[1][0] < points[2][0] and points[0][1] > points[1][1] > points[2][1]
    assert "a &amp; b" in drawn


def test_is_a_chart_of_nothing_said_to_be_nothing():
    assert "nothing to draw" in chart.lines({}, "x", "y") and "nothing to draw" in chart.bars([], "ns")
