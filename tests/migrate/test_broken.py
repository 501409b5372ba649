"""Whatever breaks, wherever it breaks: is there one guest, whole, and does each side say what it is?"""

import socket
import threading
from contextlib import contextmanager

import pytest
from migrate_rig import BACK, BEFORE_COMMIT, FORWARD, FRAMES, LONG, NO_DOWNTIME, Pair, Proxy, goes_on, hold

from gnomon.errors import GnomonError
from gnomon.migrate import InDoubt, Lost, Receiver, Refused, WireError, destination, wire
from gnomon.migrate.wire import Type

AFTER_COMMIT = [f for f in FRAMES if f not in BEFORE_COMMIT]


def name(frame):
    return f"{frame[1].name}-{frame[0]}"


def flipped(at):
    def act(data):
        data = bytearray(data)
        data[at % len(data)] ^= 0x10
        return bytes(data)

    return act


def cut(_):
    return None


@contextmanager
def broken(act, direction, kind, *, nth=1, **more):
    """A pair after a migration that met this fault: yields it, what the source said and what the destination said.

    A peer that stalls is only noticed by somebody's patience. That is short at first; where the machine is so slow that it ended before
    the frame came by, nothing has been tried yet, and a longer one is taken."""
    for patience in (1.0, 4.0, 16.0, 64.0, LONG) if act is hold else (LONG,):
        with Pair(timeout=patience) as pair:
            with Proxy(pair.receiver.address, direction=direction, kind=kind, act=act, nth=nth) as proxy:
                with pytest.raises(GnomonError) as caught:
                    pair.migrate(proxy.address, **more)
                theirs = pair.received()
            if proxy.met.is_set():
                yield pair, caught.value, theirs
                return
    raise AssertionError(f"no {kind.name} frame came by")


@pytest.mark.parametrize("frame", BEFORE_COMMIT, ids=name)
@pytest.mark.parametrize(
    "act", [cut, flipped(2), flipped(40), flipped(-1), hold], ids=["cut", "flip-head", "flip-body", "flip-end", "stall"]
)
def test_does_the_guest_go_on_here_when_it_breaks_before_commit(frame, act):
    with broken(act, *frame) as (pair, error, theirs):
        assert not isinstance(error, InDoubt)
        assert isinstance(error, (Lost, Refused, WireError)), error
        assert pair.source.running, "the guest is unharmed"
        assert not pair.source.logging and all(s.ended for s in pair.source.snapshots)
        assert isinstance(theirs, GnomonError) and not isinstance(theirs, destination.InDoubt), theirs
        assert pair.made is None or not pair.made.running
        assert goes_on(pair.source)


@pytest.mark.parametrize("frame", AFTER_COMMIT, ids=name)
@pytest.mark.parametrize("act", [cut, flipped(2), hold], ids=["cut", "flip", "stall"])
def test_does_only_one_side_ever_run_when_it_breaks_after_commit(frame, act):
    with broken(act, *frame) as (pair, error, theirs):
        if frame[1] is Type.COMMIT and isinstance(error, Refused):
            assert act is not hold, "the destination saw the damage, discarded the guest and said so: no doubt is left"
            assert pair.source.running and goes_on(pair.source) and not pair.made.running
            return
        assert isinstance(error, InDoubt), error
        assert pair.source.paused and not pair.source.running
        assert "stays paused and whole here" in error.message and "resume" in error.hint and "discard" in error.hint
        assert error.exit_code == 3
        if frame[1] is Type.STARTED:
            assert theirs.running and goes_on(theirs.machine)
            assert "most likely runs it" in error.message
            return
        if frame[1] is Type.COMMIT:
            assert not isinstance(theirs, destination.InDoubt), "it never heard COMMIT, so it discards"
            pair.source.resume()
            assert goes_on(pair.source)
            return
        assert isinstance(theirs, destination.InDoubt), theirs
        assert "stays paused and whole here" in theirs.message
        assert not pair.made.running
        # the person decides: here the destination
        assert goes_on(theirs.arrival.machine.start())


@pytest.mark.parametrize("frame", [(BACK, Type.ACK), (FORWARD, Type.RELEASE)], ids=name)
def test_can_the_person_decide_for_the_source_instead(frame):
    with broken(cut, *frame) as (pair, _, theirs):
        theirs.arrival.machine.stop()
        pair.source.resume()
        assert goes_on(pair.source)


def test_does_a_second_attempt_succeed_after_one_that_broke():
    with broken(cut, FORWARD, Type.STATE) as (pair, *_), Pair() as other:
        pair.migrate(other.receiver.address)
        assert goes_on(other.received().machine)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_does_the_guest_go_on_when_the_connection_breaks_in_any_round(nth):
    with broken(cut, FORWARD, Type.ROUND_END, nth=nth, max_downtime=NO_DOWNTIME) as (pair, error, _):
        assert isinstance(error, Lost)
        assert pair.source.snapshots[-1].ended == "merged back"
        assert goes_on(pair.source)


def test_is_the_time_that_the_guest_stands_still_bounded_when_the_peer_stalls():
    """PREPARED never comes: only its own deadline ends the pause."""
    with broken(hold, BACK, Type.PREPARED) as (pair, error, _):
        assert isinstance(error, Lost) and "before the pause had to end" in error.message
        assert pair.source.running and goes_on(pair.source)


def test_is_it_bounded_too_when_the_peer_trickles():
    """A byte now and then is progress each time, and would hold the guest for minutes: the bytes never stop, and the pause ends."""

    def trickle(data):
        for at in range(len(data) - 1):
            proxy._ends[0].sendall(data[at : at + 1])
            if given_up.wait(patience / 3):
                return None
        raise AssertionError("the pause never ended")

    for patience in (1.0, 4.0, 16.0, 64.0):
        given_up = threading.Event()
        with Pair(timeout=patience) as pair, Proxy(pair.receiver.address, direction=BACK, kind=Type.PREPARED, act=trickle) as proxy:
            with pytest.raises(Lost) as caught:
                pair.migrate(proxy.address)
            given_up.set()
            if proxy.met.is_set():  # else the machine was too slow to come that far
                assert "is too slow: " in caught.value.message and "before the pause had to end" in caught.value.message
                assert pair.source.running and goes_on(pair.source)
                return
    raise AssertionError("PREPARED never came")


def test_does_a_source_hear_why_it_was_refused():
    with Pair() as pair:
        pair.receiver._make = lambda *_, **__: (_ for _ in ()).throw(MemoryError("only 3 frames are left"))
        with pytest.raises(Refused, match="refused vm1: no machine can be made here for vm1: only 3 frames are left"):
            pair.migrate()
        assert pair.source.running


def test_does_a_destination_that_cannot_start_give_the_guest_back():
    with Pair() as pair:
        original = pair._make

        def lame(*about, **more):
            machine = original(*about, **more)
            machine.start = lambda: (_ for _ in ()).throw(GnomonError("no thread is left"))
            return machine

        pair.receiver._make = lame
        with pytest.raises(Refused, match="no thread is left"):
            pair.migrate()
        assert pair.source.running and goes_on(pair.source)


def test_is_memory_that_differs_at_the_end_never_handed_over():
    """The hash is the last line: a page that the dirty log lost is found here."""
    with Pair() as pair:
        log = type(pair.source.dirty_log())
        original = log.harvest

        def loses_one(self):
            found = original(self)
            if self._machine.paused:
                self._machine.ram[3000] = 9
                self._machine.touched[3000] = True
            return found

        log.harvest = loses_one
        try:
            with pytest.raises(GnomonError, match="memory or state differs after the copy: 4096 pages with xxh3"):
                pair.migrate()
        finally:
            log.harvest = original
        assert pair.source.running
        assert "memory or state differs" in pair.received().message


# A receiver and a stranger -------------------------------------------------------------------------------------------------------


def strange(data: bytes, *, timeout=LONG) -> GnomonError:
    """What a receiver says to these bytes and the end of the connection, which does not come where it is to run out of patience."""
    with Receiver("127.0.0.1:0", machine=None, timeout=timeout) as receiver:
        found = []

        def wait():
            try:
                receiver.receive()
            except GnomonError as error:
                found.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        host, _, port = receiver.address.rpartition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(data)
            if timeout == LONG:
                sock.shutdown(socket.SHUT_WR)
            thread.join(LONG)
        assert not thread.is_alive()
    return found[0]


def hello(**changes) -> bytes:
    about = {
        "session": bytes(16),
        "name": "vm1",
        "software": "0",
        "page": 4096,
        "memory": 1 << 20,
        "harts": 1,
        "shadow_pages": 64,
        "running": True,
    }
    body = wire.encode(wire.Hello(**{**about, **changes}))
    return wire.preamble() + wire.pack_header(Type.HELLO, 0, len(body), body, 0) + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not speak Gnomon's migration protocol"),
        (wire.preamble(9), "speaks version 9 of the migration protocol and this Gnomon speaks version 1"),
        (wire.preamble()[:5], "closed the connection after 5 of 12 bytes of the preamble"),
        (wire.preamble(), "closed the connection too early"),
        (wire.preamble() + wire.pack_header(Type.COMMIT, 0, 0, b"", 0), "sent COMMIT where HELLO belongs"),
        (wire.preamble() + wire.pack_header(Type.PAGES, 0, 16, bytes(16), 0), "sent PAGES where HELLO belongs"),
        (hello(memory=1 << 62), "the guest has 4611686018427387904 bytes of memory and this host has"),
        (hello(memory=5), "is a multiple of 4096 bytes, and this one says 5"),
        (hello(memory=0), "is a multiple of 4096 bytes, and this one says 0"),
        (hello(harts=0), "1 to 64 harts, and this one says 0"),
        (hello(harts=10**9), "1 to 64 harts, and this one says 1000000000"),
        (hello(shadow_pages=10**12), "shadow pages, and this one says 1000000000000"),
        (hello(shadow_pages=8), "has 64 to 256 shadow pages, and this one says 8"),
        (hello(page=65536), "in pages of 65536 bytes, and pages here are 4096"),
        (hello(session=b"x"), "named by 16 bytes, not by 1"),
        (hello(name="x" * 100), "at most 64 printable characters"),
        (hello(name="a\x1b[2J"), "at most 64 printable characters"),
    ],
)
def test_does_a_receiver_say_what_is_wrong_with_a_stranger(data, says):
    assert says in strange(data).message


def test_does_a_receiver_end_when_a_source_connects_and_says_nothing():
    assert "stalls: it sent nothing for 0.5 s" in strange(b"", timeout=0.5).message


def test_does_a_source_hear_of_another_version():
    with Pair() as pair:
        original = wire.preamble
        try:
            wire.preamble = lambda version=3: wire.PREAMBLE.pack(wire.MAGIC, version, 0)
            with pytest.raises(WireError, match="speaks version 3 of the migration protocol and this Gnomon speaks version 1"):
                pair.migrate()
        finally:
            wire.preamble = original
        assert pair.source.running


def test_does_a_port_in_use_say_so():
    with Receiver("127.0.0.1:0") as first, pytest.raises(GnomonError, match="Address already in use") as caught:
        Receiver(first.address)
    assert "port 0" in caught.value.hint
