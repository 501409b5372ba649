"""What Perfetto's importer of the JSON trace event format takes without dropping or misplacing an event.

Of its rules: every event has ph, name, pid and tid; all but metadata have ts; a thread is looked up by its tid alone when it is named, so a
tid is of one process; slices of one thread nest or are dropped, and start and duration are cut to nanoseconds one by one; a counter's
values are numbers; b and e events get a track a name, so there are none.
"""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

NEEDED = {"M": {"args"}, "X": {"ts", "dur", "args"}, "i": {"ts", "s"}, "C": {"ts", "args"}}
"""What each kind of event has beside ph, name, pid and tid."""
NAMES = {"process_name": "name", "thread_name": "name", "process_sort_index": "sort_index", "thread_sort_index": "sort_index"}


def check_file(path: Path) -> tuple[dict, dict[str, list]]:
    """The document in a file, and its slices by track; asserts that it is strict JSON without a key twice in one object."""

    def once(pairs):
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def never(constant):
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=once, parse_constant=never)
    return document, check_format(document)


def check_format(document: dict) -> dict[str, list]:
    """Assert what the importer relies on. Returns the slices of each track by `process/track`."""
    assert document.keys() <= {"traceEvents", "displayTimeUnit", "otherData"} and document.get("displayTimeUnit", "ns") in ("ns", "ms")
    processes, tracks, owner = {}, {}, {}
    slices, counters = defaultdict(list), defaultdict(list)
    for event in document["traceEvents"]:
        assert event.keys() == NEEDED.get(event["ph"], set()) | {"ph", "name", "pid", "tid"} | (event.keys() & {"args"}), event
        assert isinstance(event["name"], str) and event["name"]
        assert all(type(event[key]) is int and event[key] >= 0 for key in ("pid", "tid", "ts", "dur") if key in event), event
        where = event["pid"], event["tid"]
        if event["tid"]:
            assert owner.setdefault(event["tid"], event["pid"]) == event["pid"], "a tid is of one process"
        if event["ph"] == "M":
            value = event["args"].get(NAMES[event["name"]])
            assert isinstance(value, str) and value if event["name"].endswith("_name") else isinstance(value, int), event
            if event["name"] == "process_name":
                assert processes.setdefault(event["pid"], value) == value
            if event["name"] == "thread_name":
                assert tracks.setdefault(where, value) == value
            continue
        assert event["pid"] in processes, "a process is named before it does anything"
        if event["ph"] == "X":
            assert where in tracks, "a track is named before there is anything on it"
            slices[where].append(event)
        elif event["ph"] == "C":
            assert all(type(v) in (int, float) and abs(v) <= 1 << 53 for v in event["args"].values()), event
            counters[event["pid"], event["name"]].append(event["ts"])
        else:
            assert event["s"] in ("g", "p", "t")
    assert len(set(processes.values())) == len(processes)
    assert all(times == sorted(times) for times in counters.values()), "a counter goes back in time"
    for found in slices.values():
        found.sort(key=lambda e: (e["ts"], e["dur"]))
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(found)), "slices of a track overlap"
    found = {f"{processes[pid]}/{tracks[pid, tid]}": events for (pid, tid), events in slices.items()}
    assert len(found) == len(slices), "two tracks of a process have one name"
    return found
