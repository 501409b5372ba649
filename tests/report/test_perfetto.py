"""Is a trace one that Perfetto opens: the trace event format, slices that do not overlap, spans that end?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_format import check_file, check_format

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.check.timeline import Timeline
from gnomon.report.perfetto import Trace
from gnomon.report.race_trace import race_trace


@pytest.mark.parametrize("name", ["harvest/fast-fault:skip-flush", "reuse/middle-level-guard:none", "tutorial/treiber:naive"])
def test_is_every_access_a_slice_on_its_threads_track(tmp_path, name):
    scenario = build(name)
    timeline = Timeline(scenario, explore(scenario, "tso"))
    race_trace(timeline).write(tmp_path / "race.json")
    document, slices = check_file(tmp_path / "race.json")
    for n, thread in enumerate(scenario.threads):
        assert [e["name"] for e in slices[f"threads/{thread.name}"]] == [m.text for m in timeline.moments if m.event.thread == n]
    events = document["traceEvents"]
    drains = sum(m.event.kind == "drain" for m in timeline.moments)
    assert sum(len(found) for track, found in slices.items() if track.startswith("store buffers/")) >= drains > 0
    assert document["otherData"]["violated"] == timeline.result.property
    assert any(e["ph"] == "i" and e["name"] == f"VIOLATED: {timeline.result.property}" for e in events)
    assert ("repeated for ever" in {e["name"] for e in slices.get("threads/verdict", [])}) == bool(timeline.result.loop)


def test_do_counters_have_the_values_of_the_words():
    scenario = build("harvest/fast-fault:skip-flush")
    trace = race_trace(Timeline(scenario, explore(scenario, "sc")))
    page = [(e["ts"], e["args"]["value"]) for e in trace.document()["traceEvents"] if e["ph"] == "C" and e["name"] == "page 0"]
    assert [value for _, value in page] == [0, 1, 2] and page == sorted(page)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), max_size=30))
def test_do_spans_that_overlap_get_lanes_and_no_more_than_they_need(spans):
    trace = Trace()
    for start, length in spans:
        trace.span("group", "track", "span", start, start + length)
    slices = check_format(trace.document())
    assert sum(map(len, slices.values())) == len(spans) == len(trace)
    times = [(round(start), round(start + length)) for start, length in spans]
    most = max((sum(a <= at < max(b, a + 1) for a, b in times) for at, _ in times), default=0)
    assert len(slices) <= most and set(slices) <= {"group/track", *(f"group/track ({n})" for n in range(2, most + 1))}
    assert check_format(trace.document()) == slices, "written twice, it is the same"


@pytest.mark.parametrize(
    "damage",
    [
        lambda events: events.pop(0),
        lambda events: events[-1].pop("ts"),
        lambda events: events[-1].update(dur=-1),
        lambda events: events[-1].update(tid=99),
        lambda events: events[-1].update(ts=0.5),
        lambda events: events.append({**events[-1], "ts": events[-1]["ts"] + 1}),
        lambda events: events.append({**events[-1], "ph": "b", "id": 1}),
    ],
    ids=["no name", "no time", "negative", "no track", "not whole", "overlap", "async"],
)
def test_does_the_check_of_the_format_see_what_is_wrong(damage):
    trace = Trace()
    trace.slice(trace.track("a", "b"), "x", 0, 5)
    document = trace.document()
    assert set(check_format(document)) == {"a/b"}
    damage(document["traceEvents"])
    with pytest.raises(AssertionError):
        check_format(document)


def test_is_a_trace_that_cannot_be_written_no_half_file(tmp_path):
    with pytest.raises(OSError):
        Trace().write(tmp_path / "no" / "such" / "trace.json")
    trace = Trace()
    trace.slice(trace.track("a", "b"), "x", 0, 1)
    trace.write(tmp_path / "t.json")
    trace.write(tmp_path / "t.json")
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]
