"""Is a trace one that Perfetto opens: the trace event format, slices that do not overlap, spans that end?"""

import json
from collections import defaultdict
from itertools import pairwise

import pytest

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.check.timeline import Timeline
from gnomon.report.perfetto import Trace
from gnomon.report.race_trace import race_trace

NEEDED = {
    "M": {"args"},
    "X": {"ts", "dur", "args"},
    "b": {"ts", "id", "cat"},
    "e": {"ts", "id", "cat"},
    "i": {"ts", "s"},
    "C": {"ts", "args"},
}
"""What the format asks of each kind of event, beside name, pid and tid."""


def check_format(document: dict) -> dict[str, list]:
    """Assert what the importer relies on. Returns the slices of each track by its name."""
    events = document["traceEvents"]
    tracks, slices, open_spans = {}, defaultdict(list), {}
    for event in events:
        assert event.keys() >= NEEDED[event["ph"]] | {"name", "pid", "tid"}, event
        assert event.get("ts", 0) >= 0
        if event["ph"] == "M" and event["name"] == "thread_name":
            tracks[event["pid"], event["tid"]] = event["args"]["name"]
        elif event["ph"] == "X":
            slices[event["pid"], event["tid"]].append(event)
        elif event["ph"] == "b":
            assert event["id"] not in open_spans
            open_spans[event["id"]] = event
        elif event["ph"] == "e":
            begun = open_spans.pop(event["id"])
            assert (begun["name"], begun["cat"], begun["pid"]) == (event["name"], event["cat"], event["pid"]) and begun["ts"] <= event["ts"]
        elif event["ph"] == "C":
            assert all(isinstance(v, int | float) and abs(v) <= 1 << 53 for v in event["args"].values())
    assert not open_spans
    for track, found in slices.items():
        found.sort(key=lambda e: e["ts"])
        assert track in tracks
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(found)), "slices of a track overlap"
    return {tracks[track]: found for track, found in slices.items()}


@pytest.mark.parametrize("name", ["harvest/fast-fault:skip-flush", "reuse/middle-level-guard:none", "tutorial/treiber:naive"])
def test_is_every_access_a_slice_on_its_threads_track(tmp_path, name):
    scenario = build(name)
    timeline = Timeline(scenario, explore(scenario, "tso"))
    race_trace(timeline).write(tmp_path / "race.json")
    document = json.loads((tmp_path / "race.json").read_text())
    slices = check_format(document)
    for n, thread in enumerate(scenario.threads):
        assert [e["name"] for e in slices[thread.name]] == [m.text for m in timeline.moments if m.event.thread == n]
    events = document["traceEvents"]
    drains = sum(m.event.kind == "drain" for m in timeline.moments)
    assert sum(e["ph"] == "b" for e in events) >= drains > 0
    assert document["otherData"]["violated"] == timeline.result.property
    assert any(e["ph"] == "i" and e["name"] == f"VIOLATED: {timeline.result.property}" for e in events)
    assert ("repeated for ever" in {e["name"] for e in slices.get("verdict", [])}) == bool(timeline.result.loop)


def test_do_counters_have_the_values_of_the_words():
    scenario = build("harvest/fast-fault:skip-flush")
    trace = race_trace(Timeline(scenario, explore(scenario, "sc")))
    page = [(e["ts"], e["args"]["value"]) for e in trace.events if e["ph"] == "C" and e["name"] == "page 0"]
    assert [value for _, value in page] == [0, 1, 2] and page == sorted(page)


def test_is_a_trace_that_cannot_be_written_no_half_file(tmp_path):
    with pytest.raises(OSError):
        Trace().write(tmp_path / "no" / "such" / "trace.json")
    trace = Trace()
    trace.slice(trace.track("a", "b"), "x", 0, 1)
    trace.write(tmp_path / "t.json")
    trace.write(tmp_path / "t.json")
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]
