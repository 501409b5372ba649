"""perfetto: traces in Chrome's trace event format, which https://ui.perfetto.dev and chrome://tracing open.

Times are microseconds. A track is a (process, thread) pair of the format; slices of one track never overlap, what may overlap is a span.
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
        self.events: list[dict] = []
        self.about = about
        self._groups: dict[str, int] = {}
        self._tracks: dict[tuple[str, str], tuple[int, int]] = {}
        self._spans = 0

    def track(self, group: str, name: str) -> tuple[int, int]:
        """The track `name` of a group of tracks; the order in which they are first asked for is that of the screen."""
        if group not in self._groups:
            pid = self._groups[group] = len(self._groups) + 1
            self.events.append({"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": group}})
            self.events.append({"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}})
        if (group, name) not in self._tracks:
            pid, tid = self._tracks[group, name] = self._groups[group], len(self._tracks) + 1
            self.events.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}})
            self.events.append({"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": tid}})
        return self._tracks[group, name]

    def slice(self, track: tuple[int, int], name: str, start: float, duration: float, **details) -> None:
        """Something that took from `start` for `duration` microseconds."""
        pid, tid = track
        self.events.append({"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": start, "dur": duration, "args": details})

    def span(self, track: tuple[int, int], name: str, start: float, end: float, **details) -> None:
        """Something that may overlap others of its track."""
        pid, tid = track
        self._spans += 1
        common = {"cat": "span", "name": name, "id": self._spans, "pid": pid, "tid": tid}
        self.events.append({"ph": "b", "ts": start, **common, "args": details})
        self.events.append({"ph": "e", "ts": end, **common, "args": {}})

    def instant(self, track: tuple[int, int], name: str, at: float, **details) -> None:
        """Something that happened at a point of time."""
        pid, tid = track
        self.events.append({"ph": "i", "s": "p", "name": name, "pid": pid, "tid": tid, "ts": at, "args": details})

    def counter(self, group: str, name: str, at: float, value: float) -> None:
        """The value that a counter has from now on."""
        pid, _ = self.track(group, group)
        self.events.append({"ph": "C", "name": name, "pid": pid, "tid": 0, "ts": at, "args": {"value": value}})

    def write(self, path: Path) -> None:
        """Write the file whole or not at all. Raises OSError."""
        document = msgspec.json.encode({"traceEvents": self.events, "displayTimeUnit": "ns", "otherData": self.about})
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(document)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
