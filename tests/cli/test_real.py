"""The real machine through the command line: does a guest on shadow page tables survive what the fake one does?"""

import fcntl
import re
import signal
import threading
import time
from contextlib import suppress

import msgspec
import pytest
from cli_rig import AT_ONCE, LONG, NEVER, REAL, Gnomon, until
from migrate_rig import BACK, FORWARD, Proxy, hold
from trace_format import check_file

from gnomon.cli import control, main
from gnomon.cli.warming import machine_class
from gnomon.errors import GnomonError
from gnomon.lang import cache
from gnomon.migrate.wire import Type

pytestmark = pytest.mark.slow

BUSY = "pages=2048 rate=50 keys=1"


@pytest.fixture(scope="module", autouse=True)
def compiled():
    machine_class()


@pytest.fixture
def gnomon(tmp_path):
    made = Gnomon(tmp_path, REAL)
    yield made
    made.close()


def test_does_a_receiver_that_is_ready_wait_for_nobody_who_compiles():
    """Its machine is made when the source has come, which gives up after 10 s of silence."""
    with open(cache.DIRECTORY / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = threading.Thread(target=machine_class, daemon=True)
        made.start()
        made.join(LONG)
        assert not made.is_alive()


def start(gnomon, *more):
    """Two harts that dirty 50 MB/s each, already at it, until they are told to end."""
    process = gnomon.start("run", "dirty", "--harts", "2", "--memory", "64M", "--name", "vm1", "--append", BUSY, "--json", *more)
    process.until("console")
    return process


def passed(process) -> bool:
    """Whether the guest, told to end, found every page as it had left it."""
    return process.finish() == 0 and "PASS dirty harts=2" in process.text()


def test_does_the_demo_move_a_guest_that_never_stops_writing(gnomon):
    result = gnomon("demo", "--seconds", "2", "--max-downtime", "60s")
    assert result.returncode == 0, result.stderr
    text = result.stdout.decode()
    assert re.search(r"memory identical: 32768 pages, xxh3 [0-9a-f]{16}\n", text)
    assert re.search(r"destination  \| PASS dirty harts=2", text)


def test_does_a_guest_move_there_and_back(gnomon):
    first = start(gnomon)
    second, address = gnomon.receive("--name", "second")
    assert gnomon("migrate", "vm1", address, *AT_ONCE).returncode == 0
    assert first.end() == 0
    second.until("received")
    third, address = gnomon.receive("--name", "third")
    assert gnomon("migrate", "second", address, "--compress", "lz4", *AT_ONCE).returncode == 0
    assert second.end() == 0
    assert passed(third)


@pytest.mark.parametrize(
    "phase",
    [(FORWARD, Type.PAGES), (BACK, Type.ROUND_DONE), (FORWARD, Type.STATE), (BACK, Type.PREPARED)],
    ids=lambda phase: f"{phase[1].name}-{phase[0]}",
)
def test_does_the_guest_pass_its_own_check_when_the_destination_is_killed(gnomon, phase):
    here = start(gnomon)
    there, address = gnomon.receive()
    direction, kind = phase

    def act(data):
        there.kill()
        return b"" if kind is Type.PREPARED else data  # it dies with its sender: a source that gets it may commit, and is rightly in doubt

    with Proxy(address, direction=direction, kind=kind, act=act) as proxy:
        result = gnomon("migrate", "vm1", proxy.address, *AT_ONCE)
        assert proxy.met.is_set()
    assert result.returncode == 1, result.stderr
    assert passed(here)


def test_does_a_lost_ack_leave_a_guest_that_passes_on_the_side_that_is_chosen(gnomon):
    here = start(gnomon)
    there, address = gnomon.receive("--name", "there")
    with Proxy(address, direction=BACK, kind=Type.ACK, act=lambda _: None) as proxy:
        assert gnomon("migrate", "vm1", proxy.address, *AT_ONCE).returncode == 3
    there.says("stays paused and whole here")
    assert gnomon.states() == {"vm1": "in doubt", "there": "in doubt"}
    assert gnomon("discard", "vm1").returncode == 0
    assert here.end() == 0
    assert gnomon("resume", "there").returncode == 0
    assert passed(there)


@pytest.mark.parametrize("log", ["clear", "ring"])
def test_does_a_guest_arrive_whole_whichever_way_its_dirty_pages_are_taken(gnomon, log):
    """The clear form, a batch before it is sent; and the rings of the harts. The plain harvest is every other test's."""
    there, address = gnomon.receive("--name", "there")
    here = start(gnomon)
    result = gnomon("migrate", "vm1", address, "--log", log, "--json", *AT_ONCE)
    assert result.returncode == 0, result.stderr
    assert len(msgspec.json.decode(result.stdout)["rounds"]) >= 2
    assert here.end() == 0
    assert passed(there)


def test_does_the_host_move_and_take_frames_with_no_guest_or_migration_noticing(gnomon, monkeypatch):
    """All of RAM is moved again and again, zero pages are taken back, here, on the way and there: every page is as the guest left it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", gnomon.environment["XDG_RUNTIME_DIR"])
    there, address = gnomon.receive("--name", "there")
    here = start(gnomon)
    result = gnomon("move", "vm1", "0x80000000", "16384", "--json")
    assert result.returncode == 0, result.stderr
    moved = msgspec.json.decode(result.stdout)
    assert (moved["name"], moved["address"], moved["pages"]) == ("vm1", 0x80000000, 16384) and moved["moved"] > 2048
    assert control.ask("vm1", "stats")["mmu"]["pages moved"] == moved["moved"]

    def disturb(name):
        everything = {"address": 0x80000000, "pages": 16384}
        return control.ask(name, "move", everything)["moved"] + control.ask(name, "take-back", everything)["taken_back"]

    with Proxy(address, direction=FORWARD, kind=Type.ROUND_END, act=hold) as proxy:
        moving = gnomon.start("migrate", "vm1", proxy.address, "--json", *AT_ONCE)
        while not proxy.met.is_set():  # all the time while pages are copied
            assert disturb("vm1") > 0
        assert disturb("vm1") > 0 and gnomon.states()["vm1"] == "migrating"
        proxy.release()
        with suppress(GnomonError):  # until it has left
            while True:
                disturb("vm1")
        assert moving.end() == 0, bytes(moving.err)
    assert here.end() == 0
    there.until("received")
    assert disturb("there") > 2048
    assert passed(there)


def test_does_a_guest_share_frames_with_no_migration_noticing(gnomon, monkeypatch):
    """Equal pages of all RAM share frames, again and again, here, on the way and there: every page is as the guest left it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", gnomon.environment["XDG_RUNTIME_DIR"])
    there, address = gnomon.receive("--name", "there")
    here = start(gnomon)
    result = gnomon("share", "vm1", "--json")
    assert result.returncode == 0, result.stderr
    found = msgspec.json.decode(result.stdout)
    assert (found["name"], found["address"], found["pages"]) == ("vm1", 0x80000000, 16384)
    assert found["freed"] > 0 and found["shared_pages"] > found["shared_frames"] > 0
    shared = gnomon("share", "vm1", "0x80000000", "16384")
    assert shared.returncode == 0 and b" pages of vm1 share " in shared.stdout and b" frames are the host's again" in shared.stdout
    counted = control.ask("vm1", "stats")["mmu"]
    assert counted["shared pages"] > 0 and counted["pages merged"] >= counted["shared pages"] - counted["shared frames"]
    with Proxy(address, direction=FORWARD, kind=Type.ROUND_END, act=hold) as proxy:
        moving = gnomon.start("migrate", "vm1", proxy.address, "--json", *AT_ONCE)
        while not proxy.met.is_set():  # all the time while pages are copied
            control.ask("vm1", "share")
        assert control.ask("vm1", "share")["shared_pages"] > 0 and gnomon.states()["vm1"] == "migrating"
        proxy.release()
        with suppress(GnomonError):  # until it has left
            while True:
                control.ask("vm1", "share")
        assert moving.end() == 0, bytes(moving.err)
    assert here.end() == 0
    there.until("received")
    control.ask("there", "share")
    assert passed(there)


def test_does_discard_empty_pages_that_the_guest_gave_up(gnomon):
    """The last page of RAM, which this guest does not use: discarding takes its frame if it has one, and never more than asked."""
    here = start(gnomon)
    last = hex(0x80000000 + (64 << 20) - 4096)
    result = gnomon("take-back", "vm1", last, "--discard", "--json")
    assert result.returncode == 0, result.stderr
    found = msgspec.json.decode(result.stdout)
    assert found["discard"] is True and found["taken_back"] in (0, 1)
    assert passed(here)


def test_does_a_paused_guest_stand_still(gnomon):
    here = start(gnomon)
    assert gnomon("pause", "vm1").returncode == 0
    before = gnomon.stats("vm1")["harts"]
    time.sleep(0.2)
    assert gnomon.stats("vm1")["harts"] == before
    assert gnomon("resume", "vm1").returncode == 0
    until(lambda: gnomon.stats("vm1")["harts"] != before)
    assert passed(here)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_does_ctrl_c_end_a_guest_within_a_second(gnomon, number, code):
    """Nothing else ends it; the second is kept as tests/cli/test_main.py shows."""
    here = start(gnomon)
    here.signal(number)
    assert here.end() == code and main.GRACE < 1
    assert gnomon.states() == {}


def test_does_ctrl_c_end_a_migration_within_a_second(gnomon):
    """At the source: the guest ends, as was asked, and the destination discards what it has."""
    here = start(gnomon)
    there, address = gnomon.receive()
    client = gnomon.start("migrate", "vm1", address, *NEVER)
    until(lambda: gnomon.states()["vm1"] == "migrating")
    here.signal(signal.SIGINT)
    assert here.end() == 130 and main.GRACE < 1
    assert client.end() == 1
    assert there.end() == 1 and b"gnomon: " in there.err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x01\x01\x01" + bytes(60),
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00\x01\x00\x00\x00" + bytes(100),
    ],
    ids=["empty", "script", "cut", "class", "machine"],
)
def test_is_a_file_that_is_no_guest_one_sentence(gnomon, tmp_path, content):
    file = tmp_path / "guest.elf"
    file.write_bytes(content)
    result = gnomon("run", str(file))
    first = result.stderr.decode().splitlines()[0]
    assert result.returncode in (1, 2) and first.startswith("gnomon: ") and "guest.elf" in first and "internal" not in first


def test_does_a_trace_have_the_harts_of_both_sides_and_the_rounds(gnomon, tmp_path):
    there, address = gnomon.receive("--name", "there", "--trace", str(tmp_path / "there.trace"))
    here = start(gnomon, "--trace", str(tmp_path / "here.trace"))
    assert gnomon("migrate", "vm1", address, "--trace", str(tmp_path / "rounds.trace"), *AT_ONCE).returncode == 0
    assert here.end() == 0
    until(lambda: there.text().count("pages written") >= 2, "half a second of guest time")
    assert passed(there)
    checked = {side: check_file(tmp_path / f"{side}.trace") for side in ("here", "there", "rounds")}
    traces = {side: document["traceEvents"] for side, (document, _) in checked.items()}
    assert {"harts/hart 0", "harts/hart 1", "protector/harvests", "migration/rounds"} <= checked["here"][1].keys()
    names = {side: {e["name"] for e in events} for side, events in traces.items()}
    for side in ("here", "there"):
        assert {e["args"]["name"] for e in traces[side] if e["name"] == "thread_name"} >= {"hart 0", "hart 1"}
        speeds = [e["args"]["value"] for e in traces[side] if e["ph"] == "C" and e["name"] == "hart 0 MIPS"]
        assert "running" in names[side] and max(speeds) > 0
    assert any("pages harvested" in name for name in names["here"]) and "round 1" in names["here"] & names["rounds"]
    assert "the guest stands still" in names["rounds"]
