"""perfetto: traces in Chrome's trace event format, which https://ui.perfetto.dev and chrome://tracing open.

Times are microseconds, whole ones in the file: Perfetto cuts what is below a nanosecond off start and duration each, and a slice that
overlaps its neighbour by that much is dropped. A track is a (process, thread) pair of the format; slices of one track never overlap. What
may overlap is a span; where spans do, their track gets further lanes. (The format's own overlapping events, b and e, are drawn by Perfetto
as a track for each name, whatever track they say.)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec


class Trace:
    """Collects events; write() puts them into a file."""

    def __init__(self, **about: str):
        """`about` is kept in the file: what was traced, by which version."""
        self.about = about
        self._events: list[dict] = []
        self._groups: dict[str, int] = {}
        self._tracks: dict[tuple[str, str], tuple[int, int]] = {}
        self._spans: dict[tuple[str, str], list[tuple[float, float, str, dict]]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Things that were told."""
        return self._count

    def track(self, group: str, name: str) -> tuple[int, int]:
        """The track `name` of a group of tracks; the order in which they are first asked for is that of the screen."""
        if group not in self._groups:
            pid = self._groups[group] = len(self._groups) + 1
            self._meta("process_name", pid, 0, name=group)
            self._meta("process_sort_index", pid, 0, sort_index=pid)
        if (group, name) not in self._tracks:
            pid, tid = self._tracks[group, name] = self._groups[group], len(self._tracks) + 1
            self._meta("thread_name", pid, tid, name=name)
            self._meta("thread_sort_index", pid, tid, sort_index=tid)
        return self._tracks[group, name]

    def slice(self, track: tuple[int, int], name: str, start: float, duration: float, **details) -> None:
        """Something that took from `start` for `duration` microseconds."""
        self._count += 1
        self._events.append(_slice(track, name, start, start + duration, details))

    def span(self, group: str, track: str, name: str, start: float, end: float, **details) -> None:
        """Something that may overlap others of its track."""
        self._count += 1
        self.track(group, track)
        self._spans.setdefault((group, track), []).append((start, end, name, details))

    def instant(self, track: tuple[int, int], name: str, at: float, **details) -> None:
        """Something that happened at a point of time."""
        self._count += 1
        pid, tid = track
        self._events.append({"ph": "i", "s": "p", "name": name, "pid": pid, "tid": tid, "ts": round(at), "args": details})

    def counter(self, group: str, name: str, at: float, value: float) -> None:
        """The value that a counter has from now on."""
        self._count += 1
        pid, _ = self.track(group, group)
        self._events.append({"ph": "C", "name": name, "pid": pid, "tid": 0, "ts": round(at), "args": {"value": value}})

    def document(self) -> dict:
        """What the file holds."""
        laned = []
        for (group, track), spans in self._spans.items():
            ends: list[int] = []  # of the last span in each lane
            for start, end, name, details in sorted(spans, key=lambda span: span[:2]):
                lane = next((n for n, last in enumerate(ends) if last <= round(start)), len(ends))
                ends[lane : lane + 1] = [round(end)]
                laned.append(_slice(self.track(group, f"{track} ({lane + 1})" if lane else track), name, start, end, details))
        return {"traceEvents": self._events + laned, "displayTimeUnit": "ns", "otherData": self.about}

    def write(self, path: Path) -> None:
        """Write the file whole or not at all. Raises OSError."""
        document = msgspec.json.encode(self.document())
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(document)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise

    def _meta(self, what: str, pid: int, tid: int, **value) -> None:
        self._events.append({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": value})


def _slice(track: tuple[int, int], name: str, start: float, end: float, details: dict) -> dict:
    pid, tid = track
    ts = round(start)
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": round(end) - ts, "args": details}
