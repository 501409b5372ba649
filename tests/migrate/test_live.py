"""A guest that writes all the time moves between two machines: is it the same guest, and the only one?"""

import threading

import msgspec
import pytest
from migrate_rig import NO_DOWNTIME, Pair, finishes

from gnomon.migrate import Cancelled, Ended, Lost, NotConverging, Options, migrate, rounds, source


@pytest.mark.parametrize("compress", ["none", "lz4"])
def test_does_a_guest_that_never_stops_writing_arrive_whole(compress):
    seen = []
    with Pair() as pair:
        report = pair.migrate(compress=compress, after=4, progress=lambda record: seen.append(msgspec.structs.replace(record)))
        arrival = pair.received()
        assert (arrival.pages, arrival.digest) == (report.pages, report.digest)
        assert not pair.source.running and arrival.running
        assert finishes(arrival.machine) == 0
        assert pair.source.exit_code is None
    assert [r.number for r in seen if r.done] == [r.number for r in report.rounds] == [1, 2, 3, 4, 5]
    assert [r.paused for r in report.rounds] == [False] * 4 + [True]
    assert all(s.ended == "committed" for s in pair.source.snapshots)
    assert not pair.source.logging
    assert 0 < report.downtime < report.seconds
    assert report.bytes > sum(r.pages - r.zero for r in report.rounds) * (4096 if compress == "none" else 0)


def test_are_zero_pages_elided_and_do_pages_that_became_zero_arrive_as_zero():
    with Pair(args="pages=1 keys=1 rate=50") as pair:
        machine = pair.source
        machine.pause()
        machine.ram[1000:1800] = 7
        machine.touched[1000:2800] = True  # half of them all zero
        machine.resume()
        first = threading.Event()

        def between(record):
            if record.number == 1 and record.done and not first.is_set():
                first.set()
                machine.ram[1000:1400] = 0
                machine.dirty[1000:1400] = True

        report = pair.migrate(progress=between)
        arrived = pair.received().machine
        assert report.rounds[0].zero >= 1000
        assert report.bytes < 900 * 4200
        assert not arrived.ram[1000:1400].any() and (arrived.ram[1400:1800] == 7).all()
        assert not arrived.touched[1900:2800].any(), "a page that was zero all along stays unallocated"


def test_is_a_paused_guest_still_paused_where_it_arrives():
    with Pair() as pair:
        pair.source.pause()
        pair.migrate()
        arrival = pair.received()
        assert not arrival.running and arrival.machine.state_name == "stopped"
        assert finishes(arrival.machine.start()) == 0


def test_does_a_guest_that_ends_meanwhile_end_here():
    with Pair() as pair:
        with pytest.raises(Ended, match="vm1 ended with exit code 0 before it could be handed over"):
            pair.migrate(progress=lambda _: finishes(pair.source))
        assert pair.source.exit_code == 0
        assert "gave up sending: vm1 ended" in pair.received().message
        assert pair.source.state_name == "ended"


def test_does_a_cancelled_guest_go_on_as_if_nothing_had_been():
    cancel = threading.Event()
    with Pair() as pair:
        with pytest.raises(Cancelled, match="cancelled"):
            pair.migrate(bandwidth=400_000, cancel=cancel, progress=lambda r: cancel.set())
        assert pair.source.running and not pair.source.logging
        assert "gave up sending: the migration of vm1 was cancelled" in pair.received().message
        assert pair.source.snapshots[-1].ended == "merged back"
        assert finishes(pair.source) == 0
        assert not pair.made.running


def test_is_a_guest_that_outruns_its_link_told_about_with_both_numbers(monkeypatch):
    monkeypatch.setattr(rounds, "PATIENCE", 1)
    with Pair() as pair:
        with pytest.raises(NotConverging) as caught:
            pair.migrate(max_downtime=NO_DOWNTIME)
        assert "MB/s, the link carries" in caught.value.message and "--auto-converge" in caught.value.hint
        assert pair.source.running


class Outrun(rounds.Convergence):
    """What is left fits once the guest is slowed, and not before: on a real link that depends on the machine."""

    def estimate(self, dirty):
        return 0.0 if self.throttle else 2 * self.max_downtime


def test_is_a_guest_slowed_until_it_fits_and_set_free_afterwards(monkeypatch):
    monkeypatch.setattr(rounds, "PATIENCE", 1)
    monkeypatch.setattr(source, "Convergence", Outrun)
    with Pair() as pair:
        report = pair.migrate(max_downtime=0.05, auto_converge=True)
        assert [r.throttle for r in report.rounds] == [0, 0, rounds.THROTTLE_FIRST, rounds.THROTTLE_FIRST]
        assert pair.source.throttles == [rounds.THROTTLE_FIRST]
        assert pair.received().machine.throttle == 0
        assert finishes(pair.arrival.machine) == 0


def test_is_a_slowed_guest_that_cannot_go_set_free_again():
    with Pair() as pair:
        pair.source.throttles = []
        pair.receiver.close()
        mover = source.Migration(pair.source, "127.0.0.1:1", Options(), None, threading.Event())
        mover._throttled = True
        with pytest.raises(Lost, match=r"nobody listens on 127.0.0.1:1"):
            mover.run()
        assert pair.source.running


def test_is_a_bandwidth_limit_kept():
    with Pair(args="pages=500 keys=1 rate=2000") as pair:
        pair.source.ram[1:1001, 0] = 1
        pair.source.touched[1:1001] = True
        report = pair.migrate(bandwidth=20_000_000)
        assert report.rounds[0].bytes / report.rounds[0].seconds < 22_000_000


def test_is_a_snapshot_read_only_once_the_vcpus_stand_still_the_last_one():
    """I-8: the last harvest happens with every vCPU paused."""
    with Pair() as pair:
        harvests = []
        log = type(pair.source.dirty_log())
        original = log.harvest
        try:
            log.harvest = lambda self: (harvests.append(self._machine.paused), original(self))[1]
            pair.migrate(after=3)
        finally:
            log.harvest = original
        assert harvests == [False, False, False, True]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compress": "zip"}, "unknown compression 'zip'"),
        ({"bandwidth": 10}, "at least 4096 bytes a second, and this is less: 10"),
        ({"max_downtime": 0.0}, "more than zero seconds"),
    ],
)
def test_is_an_impossible_option_refused_before_anything_happens(options, says):
    from gnomon.errors import GnomonError

    with pytest.raises(GnomonError, match=says) as caught:
        Options(**options)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost", "an address is HOST:PORT"),
        ("localhost:99999", "an address is HOST:PORT"),
        ("127.0.0.1:1", "nobody listens on 127.0.0.1:1: Connection refused"),
        ("no-such-host.invalid:7000", "host 'no-such-host.invalid' cannot be found"),
    ],
)
def test_is_an_address_that_leads_nowhere_one_clear_sentence(address, says):
    from gnomon.errors import GnomonError

    with Pair() as pair, pytest.raises(GnomonError) as caught:
        pair.migrate(address)
    assert says in caught.value.message


def test_is_a_machine_that_has_ended_not_moved():
    with Pair(args="pages=2 ms=1") as pair:
        assert finishes(pair.source) == 0
        with pytest.raises(Ended):
            migrate(pair.source, pair.receiver.address)
