"""kill -9, in every phase, in real processes: is there always one guest, whole, and never two that run?

Proxies between the two processes recognise the frames; when the one of the phase passes, the victim is killed before it goes on."""

import time

import pytest
from cli_rig import AT_ONCE, Gnomon
from migrate_rig import BACK, FORWARD, Proxy

from gnomon.migrate.wire import Type

BEFORE_COMMIT = [
    (FORWARD, Type.HELLO, 1),
    (BACK, Type.WELCOME, 1),
    (FORWARD, Type.PAGES, 1),
    (FORWARD, Type.ROUND_END, 1),
    (BACK, Type.ROUND_DONE, 1),
    (FORWARD, Type.STATE, 1),
    (FORWARD, Type.FINISH, 1),
    (BACK, Type.PREPARED, 1),
]


def name(phase):
    return f"{phase[1].name}-{phase[0]}"


def migrate_through(gnomon: Gnomon, victim, phase, address):
    """Migrate vm1; kill `victim` when the frame of `phase` comes by, before it is passed on. Returns the client's result."""
    direction, kind, nth = phase

    def act(data):
        victim.kill()
        # PREPARED dies with its sender: a source that gets it may have sent COMMIT before it sees the death, and is in doubt, rightly
        return b"" if kind is Type.PREPARED else data

    with Proxy(address, direction=direction, kind=kind, nth=nth, act=act) as proxy:
        result = gnomon("migrate", "vm1", proxy.address, *AT_ONCE)
        assert proxy.met.is_set()
    return result


@pytest.mark.parametrize("phase", BEFORE_COMMIT, ids=name)
def test_does_the_guest_go_on_when_the_destination_is_killed_before_commit(gnomon, phase):
    there, address = gnomon.receive()
    here = gnomon.run("vm1")
    result = migrate_through(gnomon, there, phase, address)
    assert result.returncode == 1 and result.stderr.startswith(b"gnomon: "), result.stderr
    assert gnomon.states() == {"vm1": "running"}
    assert here.finish() == 0 and here.text().endswith("fake: PASS\n"), "its own check of every page"


@pytest.mark.parametrize("phase", [(FORWARD, Type.COMMIT, 1), (BACK, Type.ACK, 1), (FORWARD, Type.RELEASE, 1)], ids=name)
def test_does_the_guest_wait_whole_when_the_destination_is_killed_after_commit(gnomon, phase):
    there, address = gnomon.receive()
    here = gnomon.run("vm1")
    result = migrate_through(gnomon, there, phase, address)
    assert result.returncode == 3
    assert b"so vm1 stays paused and whole here" in result.stderr and b"gnomon resume vm1" in result.stderr
    here.says("stays paused and whole here")
    assert gnomon.states() == {"vm1": "in doubt"}
    for command in ("pause", "stop"):
        assert gnomon(command, "vm1").returncode == 1
    assert gnomon.states() == {"vm1": "in doubt"}
    assert gnomon("resume", "vm1").returncode == 0
    assert here.finish() == 0 and here.text().endswith("fake: PASS\n"), "its own check of every page"


def test_does_the_destination_own_the_guest_once_it_started(gnomon):
    """Killed after STARTED left it, the guest dies with its owner: the source does not run it again by itself."""
    there, address = gnomon.receive()
    here = gnomon.run("vm1")
    result = migrate_through(gnomon, there, (BACK, Type.STARTED, 1), address)
    assert result.returncode == 0
    assert here.end() == 0


@pytest.mark.parametrize("phase", BEFORE_COMMIT, ids=name)
def test_does_the_destination_discard_when_the_source_is_killed_before_commit(gnomon, phase):
    there, address = gnomon.receive()
    here = gnomon.run("vm1")
    result = migrate_through(gnomon, here, phase, address)
    assert result.returncode == 1 and b"gnomon: " in result.stderr
    assert there.end() == 1
    assert b"what had arrived is discarded" in there.err or b"closed the connection" in there.err
    assert "console" not in [e["event"] for e in there.events()], "it never ran there"


@pytest.mark.parametrize("phase", [(BACK, Type.ACK, 1)], ids=name)
def test_does_the_destination_wait_whole_when_the_source_is_killed_before_release(gnomon, phase):
    there, address = gnomon.receive("--name", "there")
    here = gnomon.run("vm1")
    migrate_through(gnomon, here, phase, address)
    there.says("stays paused and whole here")
    assert gnomon.states() == {"there": "in doubt"}
    assert there.alive and there.text() == ""
    assert gnomon("resume", "there").returncode == 0
    assert there.finish() == 0 and there.text().endswith("fake: PASS\n")


@pytest.mark.parametrize("decide", ["source", "destination"])
def test_does_a_lost_ack_leave_both_whole_and_paused_until_someone_decides(gnomon, decide):
    there, address = gnomon.receive("--name", "there")
    here = gnomon.run("vm1")
    with Proxy(address, direction=BACK, kind=Type.ACK, act=lambda _: None) as proxy:
        result = gnomon("migrate", "vm1", proxy.address, *AT_ONCE)
    assert result.returncode == 3
    there.says("stays paused and whole here")
    assert gnomon.states() == {"vm1": "in doubt", "there": "in doubt"}
    time.sleep(0.3)
    assert there.text() == ""
    owner, other = ((here, "vm1"), (there, "there")) if decide == "source" else ((there, "there"), (here, "vm1"))
    assert gnomon("discard", other[1]).returncode == 0
    assert other[0].end() == 0
    assert gnomon("resume", owner[1]).returncode == 0
    assert owner[0].finish() == 0 and owner[0].text().endswith("fake: PASS\n")
