"""A named machine: pause, resume, stats, stop, migrate, and what each refuses."""

import re
import signal
import time

import msgspec
from cli_rig import AT_ONCE, BUSY, NEVER, until

TABLE = re.compile(r"round +pages +zero +sent MB +time ms +MB/s +dirtied MB/s +slowed %")


def test_does_a_paused_machine_stand_still_until_resumed(gnomon):
    gnomon.run("vm1")
    assert gnomon("pause", "vm1").returncode == 0
    assert gnomon.states() == {"vm1": "paused"}
    before = gnomon.stats("vm1")["harts"]
    time.sleep(0.2)
    assert gnomon.stats("vm1")["harts"] == before
    assert gnomon("resume", "vm1").returncode == 0
    assert gnomon.states() == {"vm1": "running"}
    until(lambda: gnomon.stats("vm1")["harts"] != before)


def test_does_stop_end_it(gnomon):
    process = gnomon.run("vm1")
    assert gnomon("stop", "vm1").returncode == 0
    assert process.end() == 0
    assert process.events()[-1] == {"event": "stopped"}
    assert gnomon.states() == {}


def test_are_stats_a_table_or_json(gnomon):
    gnomon.run("vm1")
    assert msgspec.json.decode(gnomon("stats", "vm1", "--json").stdout)["faults"] == {"slow": 12, "fast": 34}
    assert re.search(rb"faults +fast +34\n", gnomon("stats", "vm1").stdout)


def test_is_ps_a_table_with_what_one_needs(gnomon):
    process = gnomon.run("vm1")
    lines = gnomon("ps").stdout.decode().splitlines()
    assert lines[0].split() == ["name", "pid", "state", "harts", "memory", "since"]
    assert lines[1].split()[:6] == ["vm1", str(process.pid), "running", "2", "16", "MiB"]


def test_does_a_machine_not_in_doubt_refuse_to_be_discarded(gnomon):
    process = gnomon.run("vm1")
    result = gnomon("discard", "vm1")
    assert result.returncode == 1
    assert b"vm1 is not in doubt, it is running" in result.stderr and b"gnomon stop vm1" in result.stderr
    assert process.alive


def test_does_a_guest_move_between_processes_and_finish_there(gnomon):
    there, address = gnomon.receive("--name", "there")
    assert gnomon.states() == {"there": "waiting"}
    assert b"there has no guest yet" in gnomon("pause", "there").stderr
    here = gnomon.run("vm1")
    moved = gnomon("migrate", "vm1", address, *AT_ONCE)
    assert moved.returncode == 0, moved.stderr
    text = moved.stdout.decode()
    assert TABLE.match(text) and "\x1b" not in text
    pages, digest = re.search(r"memory identical: (\d+) pages, xxh3 ([0-9a-f]{16})", text).groups()
    assert f"vm1 now runs on {address}" in text
    assert here.end() == 0
    assert b"vm1 now runs on" in here.err and here.events()[-1] == {"event": "moved", "to": address}
    received = there.until("received")
    assert (str(received["pages"]), received["digest"]) == (pages, digest)
    assert gnomon.states() == {"there": "running"}
    assert there.finish() == 0
    assert there.text().endswith("fake: PASS\n")


def test_is_the_report_one_json_document(gnomon):
    _, address = gnomon.receive()
    gnomon.run("vm1")
    words = ("migrate", "vm1", address, "--json", "--compress", "lz4", "--bandwidth", "50M", *AT_ONCE)
    report = msgspec.json.decode(gnomon(*words).stdout)
    assert set(report) == {"name", "peer", "rounds", "seconds", "downtime", "bytes", "pages", "digest", "rate"}
    assert report["rounds"][-1]["paused"] and report["rounds"][0]["number"] == 1


def test_does_an_unnamed_receiver_take_the_name_that_comes(gnomon):
    there, address = gnomon.receive()
    here = gnomon.run("vm1")
    assert gnomon("migrate", "vm1", address, *AT_ONCE).returncode == 0
    assert here.end() == 0
    there.until("received")
    assert gnomon.states() == {"vm1-2": "running"}


def test_does_a_paused_guest_arrive_paused_and_go_on_when_told(gnomon):
    there, address = gnomon.receive("--name", "there")
    here = gnomon.run("vm1")
    gnomon("pause", "vm1")
    assert gnomon("migrate", "vm1", address, *AT_ONCE).returncode == 0
    assert here.end() == 0
    there.says("gnomon resume there goes on")
    assert gnomon.states() == {"there": "paused"}
    assert gnomon("resume", "there").returncode == 0
    assert gnomon.states() == {"there": "running"}


def test_is_a_machine_on_the_move_left_alone(gnomon):
    _, address = gnomon.receive()
    here = gnomon.run("vm1", append=BUSY)
    here.says("fake: 2048 pages written")
    client = gnomon.start("migrate", "vm1", address, "--auto-converge", *NEVER)
    until(lambda: gnomon.states()["vm1"] == "migrating")
    for command in ("pause", "resume", "discard"):
        result = gnomon(command, "vm1")
        assert result.returncode == 1 and b"vm1 is migrating" in result.stderr
    assert b"vm1 is migrating" in gnomon("migrate", "vm1", address).stderr
    client.signal(signal.SIGINT)
    assert client.end() == 130
    until(lambda: gnomon.states()["vm1"] == "running", "Ctrl-C in the client's terminal cancels, and the guest goes on: it")
    assert here.alive


def test_does_stop_also_end_a_machine_on_the_move(gnomon):
    there, address = gnomon.receive()
    here = gnomon.run("vm1", append=BUSY)
    here.says("fake: 2048 pages written")
    client = gnomon.start("migrate", "vm1", address, "--auto-converge", *NEVER)
    until(lambda: gnomon.states()["vm1"] == "migrating")
    assert gnomon("stop", "vm1").returncode == 0
    assert here.end() == 0
    assert client.end() == 1 and b"cancelled" in client.err
    assert there.end() == 1 and b"gave up sending" in there.err


def test_does_migrating_to_nobody_leave_the_guest_running(gnomon):
    here = gnomon.run("vm1")
    result = gnomon("migrate", "vm1", "127.0.0.1:1")
    assert result.returncode == 1
    assert b"gnomon: nobody listens on 127.0.0.1:1" in result.stderr and b"hint: start a receiver there first" in result.stderr
    assert gnomon.states() == {"vm1": "running"} and here.alive


def test_is_the_demo_right_from_end_to_end(gnomon):
    words = ("demo", "--dirty", "500", "--seconds", "1", "--memory", "16M", "--max-downtime", "60s")
    result = gnomon(*words)
    assert result.returncode == 0, result.stderr
    text = result.stdout.decode()
    assert "memory identical: 4096 pages, xxh3 " in text and TABLE.search(text)
    assert "destination  | fake: PASS" in text
    assert text.endswith("found every page as it had left it: exit code 0\n")
    report = msgspec.json.decode(gnomon(*words, "--json").stdout)
    assert report["holds"] and report["exit_code"] == 0


WRONG = [
    (("move", "vm1", "0x80000800"), b"a page begins at a multiple of 0x1000: 0x80000800", b"page at 0x80000000"),
    (("move", "vm1", "0x7ffff000"), b"1 pages from 0x7ffff000 on end at 0x80000000, and RAM is 0x80000000 to 0x81000000", b"4096 pages"),
    (("take-back", "vm1", "0x80fff000", "2"), b"2 pages from 0x80fff000 on end at 0x81001000", b"4096 pages from 0x80000000 on"),
    (("move", "vm1", "0x80000000", "0"), b"the least is one page: 0", b""),
    (("move", "vm1", "here"), b"not an address: here", b"0x80200000"),
    (("share", "vm1", "0x80000800"), b"a page begins at a multiple of 0x1000: 0x80000800", b"page at 0x80000000"),
    (("share", "vm1", "0x81000000"), b"1 pages from 0x81000000 on end at 0x81001000, and RAM is 0x80000000 to 0x81000000", b"4096 pages"),
    (("share", "vm1", "0x80fff000", "2"), b"2 pages from 0x80fff000 on end at 0x81001000", b"4096 pages from 0x80000000 on"),
    (("share", "vm1", "0x80000000", "0"), b"the least is one page: 0", b""),
    (("share", "vm1", "there"), b"not an address: there", b"0x80200000"),
]


def test_are_pages_that_a_machine_does_not_have_refused_in_a_sentence(gnomon):
    gnomon.run("vm1")
    for words, says, hint in WRONG:
        result = gnomon(*words)
        assert result.returncode == 2, result.stderr
        assert says in result.stderr and hint in result.stderr and b"Traceback" not in result.stderr
    result = gnomon("move", "vm2", "0x80000000")
    assert result.returncode == 1 and b"no machine is named vm2" in result.stderr
    assert gnomon.states() == {"vm1": "running"}
    gnomon.receive("--name", "there")
    assert b"there has no guest yet" in gnomon("move", "there", "0x80000000").stderr
