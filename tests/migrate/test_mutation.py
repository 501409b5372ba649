"""Is any change of a valid stream refused, or harmless? A recorded migration is replayed with bytes changed, cut, doubled or swapped."""

import socket
import threading

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from migrate_rig import LONG, Machine, Pair, Proxy

from gnomon.errors import GnomonError
from gnomon.migrate import wire
from gnomon.migrate.channel import Channel
from gnomon.migrate.destination import Reception


@pytest.fixture(scope="module")
def stream():
    """The bytes of a migration, and the machine they must make."""
    with Pair(memory=4 << 20, args="pages=40 keys=1 rate=2000") as pair:
        with Proxy(pair.receiver.address) as proxy:
            pair.migrate(proxy.address, after=3, compress="lz4")
        arrival = pair.received()
        arrival.machine.pause()
        return bytes(proxy.recorded), arrival.digest, frames_of(bytes(proxy.recorded))


def frames_of(stream: bytes) -> list[tuple[int, int]]:
    """Where each frame begins and ends."""
    at, found = wire.PREAMBLE.size, []
    while at < len(stream):
        length = int.from_bytes(stream[at + 4 : at + 8], "little")
        found.append((at, at + wire.HEADER.size + length))
        at = found[-1][1]
    return found


class Held(Machine):
    """Does not run what it received, so that it can be looked at."""

    def start(self):
        self.started = True
        return self


def replay(data: bytes):
    """Feed a destination; returns (its error or None, its machine or None)."""
    ours, theirs = socket.socketpair()
    machines = []

    def make(memory, harts, **options):
        machines.append(Held(memory, harts, **options))
        return machines[-1]

    def feed():
        try:
            ours.sendall(data)
            ours.shutdown(socket.SHUT_WR)
            while ours.recv(65536):
                pass
        except OSError:
            pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        Reception(Channel(theirs, LONG, "peer"), make, threading.Event()).run()
        error = None
    except GnomonError as failure:
        error = failure
    finally:
        feeder.join()
        ours.close()
        theirs.close()
    return error, machines[0] if machines else None


def check(data: bytes, digest: str):
    error, machine = replay(data)
    started = machine is not None and getattr(machine, "started", False)
    assert started == (error is None)
    if started:
        assert machine.ram_hash()[1] == digest, "a guest that runs is the guest that was sent"
    else:
        assert error.message and "internal" not in error.message


LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_does_the_recorded_stream_make_the_guest(stream):
    data, digest, _ = stream
    error, machine = replay(data)
    assert error is None and machine.ram_hash()[1] == digest


@LIGHT
@example(0, 0)
@example(6992, 0)  # an offset inside an lz4 block: the pages came out the same
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_is_a_flipped_bit_refused(stream, at, bit):
    data, _, _ = stream
    changed = bytearray(data)
    changed[at % len(data)] ^= 1 << bit
    error, _ = replay(bytes(changed))
    assert error is not None, "every byte of a stream is under a checksum"


@LIGHT
@given(st.integers(0, 10**9))
def test_is_a_truncated_stream_refused(stream, at):
    data, _, _ = stream
    error, machine = replay(data[: at % len(data)])
    assert error is not None
    assert machine is None or not getattr(machine, "started", False)


@LIGHT
@given(st.data())
def test_is_a_stream_whose_frames_are_dropped_doubled_or_swapped_refused(stream, data):
    whole, _, frames = stream
    pieces = [whole[a:b] for a, b in frames]
    n = data.draw(st.integers(0, len(pieces) - 1))
    other = data.draw(st.integers(0, len(pieces) - 1).filter(lambda x: x != n))
    how = data.draw(st.sampled_from(["drop", "double", "swap", "overwrite"]))
    if how == "drop":
        del pieces[n]
    elif how == "double":
        pieces.insert(other, pieces[n])  # never behind the last frame, where nobody listens any more
    elif how == "swap":
        pieces[n], pieces[other] = pieces[other], pieces[n]
    else:
        pieces[n] = pieces[other]
    error, _ = replay(whole[: wire.PREAMBLE.size] + b"".join(pieces))
    assert error is not None


@LIGHT
@given(st.data())
def test_does_a_stream_with_forged_checksums_make_the_guest_or_none(stream, data):
    """The attacker knows xxh3: bytes of a frame are changed and all sums of the frame made right again."""
    whole, digest, frames = stream
    n = data.draw(st.integers(0, len(frames) - 1))
    a, b = frames[n]
    frame = bytearray(whole[a:b])
    kind, flags, length, head, sequence, *_ = wire.HEADER.unpack_from(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    kind, flags, length, head, sequence, *_ = wire.HEADER.unpack_from(frame)
    body = bytes(frame[wire.HEADER.size :])
    forged = wire.HEADER.pack(kind, flags, length, head, sequence, wire.checksum(body[:head]), 0)[: wire.SUMMED]
    forged += wire.OWN_SUM.pack(wire.checksum(forged)) + body
    check(whole[:a] + forged + whole[b:], digest)


@LIGHT
@given(st.binary(max_size=300))
def test_does_noise_after_the_preamble_end_in_one_sentence(noise):
    error, machine = replay(wire.preamble() + noise)
    assert error is not None and machine is None
