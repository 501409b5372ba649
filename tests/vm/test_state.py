"""State: does a guest go on elsewhere as if nothing had happened, and are damaged bytes refused whole?"""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vm_rig import LONG, MIB, dirty_guest, finish, machine, until

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.vm.machine import Machine


def move(source, target):
    """All of a paused machine into another."""
    out, zero = np.zeros(source.pages * 4096, np.uint8), np.zeros(source.pages, np.uint8)
    source.read_pages(np.arange(source.pages), out, zero)
    present = np.flatnonzero(zero == 0)
    target.write_pages(present, out.reshape(-1, 4096)[present])
    target.set_state(source.get_state())
    assert source.ram_hash() == target.ram_hash()


RUNS = {
    "dirty": ("dirty", "pages=200 rate=0 writes=20000"),
    "churn": ("churn", "rounds=1500 every=100"),
    "hashmap": ("hashmap", "rounds=60000"),
    "sbi": ("sbi", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_does_a_guest_go_on_in_another_machine(name):
    """Stopped in the middle three times and moved each time, with its memory and state: its own check still passes at the end."""
    guest, bootargs = RUNS[name]
    source = Machine(16 * MIB, 2)
    source.load(path(guest), bootargs=bootargs).start()
    console = bytearray()
    for _ in range(3):
        target = Machine(16 * MIB, 2, console=console.extend)
        until(lambda machine=source: sum(machine.stats()["harts"]["instructions"]) > 50_000 or machine.exit_code is not None)
        source.pause()
        if source.exit_code is None:
            move(source, target)
            source.stop()
            source = target.start()
        else:
            target.stop()
    assert source.wait(LONG) == 0, console
    source.stop()


def test_is_the_state_the_same_after_a_round_trip():
    """get_state of the copy is get_state of the original, the clock apart."""
    import msgspec

    with machine(harts=2) as source, machine(harts=2) as target:
        dirty_guest(source, pages=50, rate=0, writes=100000).start()
        until(lambda: sum(source.stats()["harts"]["instructions"]) > 50_000)
        source.pause()
        began = time.monotonic_ns()
        target.set_state(source.get_state())
        first, second = (msgspec.msgpack.decode(m.get_state()) for m in (source, target))
        took = time.monotonic_ns() - began
        assert abs(first.pop("guest_ns") - second.pop("guest_ns")) <= took  # the guest's time goes on where it stopped
        assert first == second


@pytest.fixture(scope="module")
def pair():
    source, target = Machine(8 * MIB, 1), Machine(8 * MIB, 1)
    source.load(path("isa/alu"))
    yield source.get_state(), target
    source.stop()
    target.stop()


def unchanged_or_taken(target, data):
    words = target.arena.words
    regions = [(target.vm, 4096), *((v, 1024) for v in target.vcpus)]
    before = [words[at : at + size].copy() for at, size in regions]
    try:
        target.set_state(data)
    except ValueError:
        assert all(np.array_equal(words[at : at + size], old) for (at, size), old in zip(regions, before, strict=True))
        return False
    return True


_tries = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_tries
@given(st.data())
def test_are_damaged_bytes_refused_with_nothing_changed(pair, data):
    """Bytes replaced anywhere: ValueError and the machine as it was, or a state that fits."""
    good, target = pair
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    unchanged_or_taken(target, bytes(bad))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_are_impossible_values_refused(pair, data):
    """Well-formed bytes with a value replaced by an extreme one."""
    import msgspec

    good, target = pair
    state = msgspec.msgpack.decode(good)
    extreme = st.sampled_from([-(1 << 63), -1, 0, 1, 3, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
    where = data.draw(st.sampled_from(["devices", "hart", "guest_ns", "version", "rings"]))
    if where == "devices":
        state["devices"][data.draw(st.sampled_from(sorted(state["devices"])))] = data.draw(extreme)
    elif where == "hart":
        fields = state["harts"][0]["fields"]
        values = fields[data.draw(st.sampled_from(sorted(fields)))]
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(extreme)
    elif where == "rings":
        state[data.draw(st.sampled_from(["input", "output"]))] = bytes(data.draw(st.sampled_from([0, 256, 257, 1024, 1025])))
    else:
        state[where] = data.draw(extreme)
    unchanged_or_taken(target, msgspec.msgpack.encode(state))


def test_is_a_truncated_state_refused(pair):
    """Every prefix."""
    good, target = pair
    assert not any(unchanged_or_taken(target, good[:size]) for size in range(0, len(good), 7))
    assert unchanged_or_taken(target, good)


def test_is_a_state_of_another_number_of_harts_refused(pair, program):
    """One sentence that says how many."""
    with machine(program(finish()), harts=2) as made, pytest.raises(ValueError, match="1 harts, the machine has 2"):
        made.set_state(pair[0])
    assert issubclass(GnomonError, Exception)
