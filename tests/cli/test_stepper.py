"""Can a counterexample be stepped through on a terminal, and is every way out of check and replay the one that was promised?"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

import pytest
from rich.console import Console
from trace_format import check_file

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.check.timeline import Timeline
from gnomon.cli.replay import replay
from gnomon.cli.stepper import Stepper, split_keys
from gnomon.errors import GnomonError

LONG = 240
"""Seconds that nothing here takes, however busy the machine is: who waits as long has met a fault."""


@pytest.fixture(scope="module")
def timeline():
    scenario = build("reuse/middle-level-guard:none")
    return Timeline(scenario, explore(scenario, "sc"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "race.json"
    assert run("check", "tutorial/treiber:naive", "--save", str(path)).returncode == 1
    return path


def run(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gnomon.cli", *words], capture_output=True, text=True, timeout=LONG, **more)


def shown(stepper: Stepper, width: int = 120, height: int = 40) -> str:
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as captured:
        console.print(stepper.frame(width, height))
    return captured.get()


def test_do_keys_move_as_they_say(timeline):
    stepper, numbers = Stepper(timeline), [m.number for m in timeline.lines()]
    for key, at in (("n", 0), ("\x1b[C", 1), (" ", 2), ("p", 1), ("\x1b[A", 0), ("b", None), ("b", None), ("\x1b[B", 0)):
        assert stepper.press(key)
        assert stepper.at == (-1 if at is None else numbers[at])
    stepper.press("G")
    assert stepper.at == numbers[-1]
    stepper.press("n")
    assert timeline.moments[stepper.at].looping, "behind the end it goes round for ever"
    stepper.press("g")
    assert stepper.at == -1
    assert not stepper.press("q") and stepper.press("?")


def test_are_private_accesses_shown_when_asked_for(timeline):
    stepper = Stepper(timeline)
    before = len(stepper.lines)
    stepper.press("a")
    assert len(stepper.lines) == len(timeline.moments) > before


def test_does_the_screen_have_threads_source_and_words(timeline):
    stepper = Stepper(timeline)
    assert "before the first step" in shown(stepper)
    hit = next(m for m in timeline.moments if m.event.kind == "cmpxchg" and m.text.endswith("-W"))
    stepper.at = hit.number
    text = shown(stepper, 160)
    assert "recycler" in text and "harvester" in text and "spte_exchange" in text and "(now L2 table of gfn 4)" in text
    stepper.press("G")
    assert "VIOLATED: progress" in shown(stepper)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (80, 15), (40, 12)])
def test_does_it_fit_whatever_terminal_there_is(timeline, size):
    stepper = Stepper(timeline)
    for _ in range(40):
        stepper.press("n")
    lines = shown(stepper, *size).splitlines()
    assert len(lines) <= max(size[1], 12) and all(len(line) <= size[0] for line in lines)


def test_are_keys_that_come_at_once_told_apart():
    assert split_keys("\x1b[Cnn\x1bOA\x1b[1~q") == ["\x1b[C", "n", "n", "\x1bOA", "\x1b[1~", "q"]
    assert split_keys("\x1b") == ["\x1b"] and split_keys("") == []


def _until(terminal: int, text: str) -> str:
    """What comes out of a terminal until `text` does."""
    seen, ends = b"", time.monotonic() + LONG
    while time.monotonic() < ends:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
            if text in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace")):
                return seen.decode(errors="replace")
    raise AssertionError(f"{text!r} never came: {seen.decode(errors='replace')[-2000:]}")


def test_does_replay_step_on_a_terminal_and_leave_it_as_it_was(saved):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen([sys.executable, "-m", "gnomon.cli", "replay", str(saved)], stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        _until(ours, "before the first step")
        os.write(ours, b"n")
        _until(ours, "programs/treiber.py")
        os.write(ours, b"G")
        _until(ours, "VIOLATED: expectation")
        os.write(ours, b"q")
        assert process.wait(LONG) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_does_replay_print_it_whole_where_there_is_no_terminal(saved, tmp_path):
    result = run("replay", str(saved), "--html", str(tmp_path / "race.html"), "--trace", str(tmp_path / "race.trace"))
    assert result.returncode == 0 and "worker 1" in result.stdout and result.stdout.rstrip().endswith("VIOLATED: expectation")
    assert "<section class=race" in (tmp_path / "race.html").read_text()
    document, slices = check_file(tmp_path / "race.trace")
    assert document["otherData"]["violated"] == "expectation" and slices["threads/worker 1"]
    again = run("check", "tutorial/treiber:naive", "--trace", str(tmp_path / "check.trace"))
    assert again.returncode == 1 and {"threads/worker 0", "threads/worker 1"} <= check_file(tmp_path / "check.trace")[1].keys()


@pytest.mark.parametrize(
    "damage,says",
    [
        (lambda d: "{", "is no schedule of gnomon replay"),
        (lambda d: json.dumps(d | {"digest": "0" * 32}), "was found in other sources: digest 000000000000"),
        (lambda d: json.dumps(d | {"scenario": "no/such"}), "no scenario named 'no/such'"),
        (lambda d: json.dumps(d | {"options": {"NODES": "many"}}), "sets constants to what is no number"),
        (lambda d: json.dumps(d | {"actions": d["actions"][:3]}), "does not end in what it says it violates"),
        (lambda d: json.dumps(d | {"actions": [1, *d["actions"]]}), "drains an empty store buffer"),
    ],
    ids=["cut", "stale", "foreign", "options", "short", "other"],
)
def test_is_a_file_that_cannot_be_replayed_refused_with_the_reason_and_3(saved, tmp_path, damage, says):
    file = tmp_path / "x.json"
    file.write_text(damage(json.loads(saved.read_text())))
    with pytest.raises(GnomonError, match=says) as told:
        replay(file, html=tmp_path / "x.html")
    assert told.value.exit_code == 3 and not (tmp_path / "x.html").exists()


def test_does_the_command_say_so_without_a_traceback(saved, tmp_path):
    (tmp_path / "x.json").write_text(saved.read_text()[:-40])
    result = run("replay", str(tmp_path / "x.json"))
    assert result.returncode == 3 and "is no schedule of gnomon replay" in result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""


def test_is_a_missing_file_or_one_in_the_way_said_before_anything_is_explored(saved, tmp_path):
    assert run("replay", str(tmp_path / "none.json")).returncode == 3
    result = run("check", "tutorial/treiber:naive", "--save", str(saved))
    assert result.returncode == 3 and "exists already" in result.stderr and result.stdout == ""


def test_do_check_and_its_exit_codes_hold_what_they_promise(tmp_path):
    assert run("check", "tutorial/treiber").returncode == 0
    assert run("check", "tutorial/treiber:naive", "--model", "sc").returncode == 1
    stopped = run("check", "harvest/two-vcpus", "--memory", "1M", "--json")
    assert stopped.returncode == 2 and json.loads(stopped.stdout)["reason"] == "memory limit of 1 MiB reached"
    assert json.loads(stopped.stdout)["states"] > 0, "what was found stays"
    unwritable = run("check", "tutorial/treiber:naive", "--html", str(tmp_path / "no" / "such.html"))
    assert unwritable.returncode == 3 and "cannot write" in unwritable.stderr and "VIOLATED" in unwritable.stdout


def test_does_ctrl_c_keep_what_was_found_and_leave_with_2():
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "gnomon.cli", "check", "central/two-vcpus", "--model", "sc"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs)
    try:
        _until(ours, "transitions")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=LONG)
        assert process.returncode == 2 and b"bounded: interrupted" in out and re.search(rb"\([1-9][0-9,]* states", out)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
