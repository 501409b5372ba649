"""limited: a job in a process of its own, ended when it has had its time or its memory.

Memory is what is resident in the process and its children, looked at LOOKS times a second: an arena is reserved whole and touched in
part, so a limit on addresses (RLIMIT_AS) would refuse machines that need little. No core is dumped (RLIMIT_CORE).
The process dies with the worker's thread that started it, by the kernel's hand: a killed worker leaves nothing running.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

import gnomon
from gnomon.study.here import this_machine, versions, worker
from gnomon.study.sweep import Job, Limits, source_digest

COMMAND = [sys.executable, "-m", "gnomon.study.job"]
LOOKS = 10
SAID_MOST = 400

DONE, FAILED, OUT_OF_TIME, OUT_OF_MEMORY = "done", "failed", "out of time", "out of memory"


class Outcome(msgspec.Struct):
    """What came of a job, and where."""

    key: str
    status: str
    seconds: float
    figures: dict[str, float | str]
    error: str
    machine: dict[str, str]
    versions: dict[str, str]


class OtherSource(Exception):
    """This worker runs another program than the one that asks."""


def work(job: Job, key: str, limits: Limits, source: str) -> Outcome:
    """Do a job on a worker. Raises OtherSource where it would do another one than was asked for."""
    if source_digest() != source:
        raise OtherSource(f"{platform.node()} has gnomon {gnomon.__version__} of other sources: {source_digest()[:12]}, not {source[:12]}")
    began = time.monotonic()
    status, error, answer = _in_process(job, limits)
    figures = msgspec.json.decode(answer, type=dict[str, float | str]) if status == DONE else {}
    return Outcome(key, status, time.monotonic() - began, figures, error, this_machine() | {"worker": worker()}, versions())


def _in_process(job: Job, limits: Limits) -> tuple[str, str, bytes]:
    """(status, error, answer)."""
    ask = {"kind": job.kind, "parameters": job.asked, "memory": limits.memory, "parent": os.getpid()}
    with tempfile.TemporaryDirectory(prefix="gnomon-job-") as place:
        question, said, answer = (Path(place) / name for name in ("question", "said", "answer"))
        question.write_bytes(msgspec.json.encode(ask))
        with open(question, "rb") as stdin, open(said, "wb") as stderr:
            process = subprocess.Popen(
                [*COMMAND, str(answer)], stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        try:
            status, error = _watch(process, limits)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            return status, error, b""
        if process.returncode:
            return FAILED, _last_words(process.returncode, said.read_text(errors="replace").strip()), b""
        return DONE, "", answer.read_bytes()


def _watch(process: subprocess.Popen, limits: Limits) -> tuple[str, str]:
    """Until it ends or must: ("", "") or why it was ended."""
    end = time.monotonic() + limits.seconds
    resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            process.wait(1 / LOOKS)
            return "", ""
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > end:
            return OUT_OF_TIME, f"ended after {limits.seconds:g} s"
        used = _resident(process.pid)
        if used > limits.memory:
            return OUT_OF_MEMORY, f"ended at {used >> 20} MiB of {limits.memory >> 20} MiB"


def _resident(pid: int) -> int:
    """Bytes in memory of a process and its children."""
    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for each in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
    return total


def _last_words(code: int, said: str) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how}: {said.splitlines()[-1][:SAID_MOST]}" if said else how
