"""Machine: its life, its memory, its log, under load: pause and resume, stop, throttle, an exhausted pool, many in one host."""

import threading
import time

import numpy as np
import pytest
from vm_rig import LONG, LOOP, MIB, WFI, dirty_guest, finish, machine, until

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.mem.debug import leak_check
from gnomon.mem.frames import frame_alloc, frame_free
from gnomon.mem.shrinker import shrink_all
from gnomon.mmu.release import run_callbacks
from gnomon.vm.host import Host
from gnomon.vm.machine import Machine


def instructions(made):
    return sum(made.stats()["harts"]["instructions"])


@pytest.mark.parametrize("memory", [0, -4096, 4096, 1 << 20 | 1, 1 << 60])
def test_is_an_impossible_size_refused(memory):
    """Too small, too large, not whole pages."""
    with pytest.raises(GnomonError, match="memory of a machine"):
        Machine(memory)


def test_are_other_wrong_arguments_refused():
    """Harts, designs, shadow pages, throttle."""
    for wrong, match in (
        ({"harts": 0}, "harts"),
        ({"harts": 49}, "harts"),
        ({"design": "x"}, "design"),
        ({"shadow_pages": 3}, "shadow"),
    ):
        with pytest.raises(GnomonError, match=match):
            Machine(8 * MIB, **wrong)
    with machine() as made:
        for percent in (-1, 100):
            with pytest.raises(GnomonError, match="throttle"):
                made.set_throttle(percent)
        with pytest.raises(GnomonError, match="not among"):
            made.read_pages([made.pages], bytearray(4096), bytearray(1))


def test_does_state_name_follow_its_life(program):
    """new, running, paused, running, ended; and stopped for one that was stopped."""
    with machine(program([LOOP])) as made:
        names = [made.state_name]
        made.start()
        names.append(made.state_name)
        made.pause()
        names.append(made.state_name)
        made.resume()
        names.append(made.state_name)
        made.stop()
        names.append(made.state_name)
    assert names == ["new", "running", "paused", "running", "stopped"]
    with machine(program(finish(4))) as made:
        assert made.start().wait(LONG) == 4
        assert (made.state_name, made.exit_code, made.running) == ("ended", 4, False)


@pytest.mark.parametrize("code", [[LOOP], [WFI, LOOP]], ids=["loop", "asleep"])
def test_does_wait_time_out_and_does_stop_end_harts_that_never_end(program, code):
    """Four of them, at work and asleep: wait returns None, and stop returns at all."""
    with machine(program(code), harts=4) as made:
        made.start()
        assert made.wait(0.05) is None
        made.stop()
        assert made.wait(0.05) is None
        made.stop()


def test_is_a_paused_guest_still():
    """Not an instruction and not a byte changes while it is paused, and its memory may be read at leisure."""
    with machine(harts=2) as made:
        dirty_guest(made, pages=200, rate=0, writes=1_000_000).start()
        until(lambda: instructions(made) > 100_000)
        for _ in range(5):
            made.pause()
            before = instructions(made), made.ram_hash()
            time.sleep(0.02)
            assert (instructions(made), made.ram_hash()) == before
            made.resume()
            until(lambda before=before: instructions(made) > before[0])
        made.pause()
        made.pause()
        made.resume()
        made.resume()


@pytest.mark.slow
def test_does_a_guest_survive_being_paused_all_the_time():
    """Two hundred pauses under load; the guest's own check still passes."""
    with machine(harts=2) as made:
        dirty_guest(made, pages=300, rate=0, keys=1).start()
        for _ in range(200):
            seen = instructions(made)
            made.pause()
            made.resume()
            until(lambda seen=seen: instructions(made) > seen)
        made.send_console(b"q")
        assert made.wait(LONG) == 0, made.console
    assert made.console.splitlines()[-1].startswith(b"PASS dirty")


def test_does_the_throttle_slow_the_guest(program):
    """At 90 percent a hart that would never rest has less than half of a processor, and can still be paused. Processor time is counted,
    of which other work on the machine leaves it less, never more."""
    with machine(program([LOOP])) as made:
        made.set_throttle(90)
        made.start()
        until(lambda: instructions(made) > 0)
        clock = time.pthread_getcpuclockid(made._threads._threads[0].ident)
        began, used = time.monotonic(), time.clock_gettime(clock)
        time.sleep(0.3)
        used, took = time.clock_gettime(clock) - used, time.monotonic() - began
        made.pause()
        made.resume()
        made.set_throttle(0)
    assert used < took / 2


# Memory


def test_do_pages_come_back_as_they_were_written():
    """write_pages, clear_pages, read_pages, in any order and with repeats; zero pages are said and left alone."""
    with machine() as made:
        rng = np.random.default_rng(5)
        indices = np.array([3, 2047, 0, 511, 512])
        data = rng.integers(0, 256, len(indices) * 4096, np.uint8)
        made.write_pages(indices, data)
        out, zero = np.full(7 * 4096, 9, np.uint8), np.zeros(7, np.uint8)
        made.read_pages(np.array([*indices, 7, 8]), out, zero)
        assert (out[: len(data)] == data).all()
        assert zero.tolist() == [0, 0, 0, 0, 0, 1, 1]
        assert (out[len(data) :] == 9).all()
        made.clear_pages([3, 7])
        made.read_pages([3, 0, 3], out, zero[:3])
        assert zero[:3].tolist() == [1, 0, 1]


def test_is_the_hash_of_ram_that_of_its_bytes():
    """ram_hash equals xxh3 of all pages in order, however they were backed."""
    import xxhash

    with machine() as made:
        made.write_pages([5, 1500], np.arange(8192, dtype=np.uint64).view(np.uint8)[: 2 * 4096])
        out, zero = np.zeros(made.pages * 4096, np.uint8), np.zeros(made.pages, np.uint8)
        made.read_pages(np.arange(made.pages), out, zero)
        assert made.ram_hash() == (made.pages, xxhash.xxh3_64(out.tobytes()).hexdigest())


def test_are_pages_of_a_running_machine_left_alone(program):
    """Writing and clearing pages, reading and replacing the state need a pause."""
    with machine(program([LOOP])) as made:
        made.start()
        for wrong in (
            lambda: made.write_pages([0], bytes(4096)),
            lambda: made.clear_pages([0]),
            made.get_state,
            lambda: made.set_state(b""),
        ):
            with pytest.raises(GnomonError, match="while the harts run"):
                wrong()


# The log of a running guest


def follow(made, rounds, pause=0.0):
    """Harvest and copy while it runs, then pause, last harvest, copy: the destination's RAM."""
    copy = np.zeros((made.pages, 4096), np.uint8)

    def take():
        snapshot = made.dirty_log().harvest()
        out, zero = np.zeros(len(snapshot.gfns) * 4096, np.uint8), np.zeros(len(snapshot.gfns), np.uint8)
        made.read_pages(snapshot.gfns, out, zero)
        copy[snapshot.gfns] = out.reshape(-1, 4096)
        copy[snapshot.gfns[zero != 0]] = 0
        snapshot.commit()
        return len(snapshot.gfns)

    taken, before = [take()], instructions(made)
    until(lambda: instructions(made) > before + 100_000 or made.exit_code is not None, "a store")
    for _ in range(rounds):
        if made.exit_code is not None:
            break
        time.sleep(pause)
        taken.append(take())
    made.pause()
    taken.append(take())
    return copy, taken


def differing(made, copy):
    out, zero = np.zeros(made.pages * 4096, np.uint8), np.zeros(made.pages, np.uint8)
    made.read_pages(np.arange(made.pages), out, zero)
    return np.flatnonzero((out.reshape(-1, 4096) != copy).any(axis=1)).tolist()


GUESTS = {
    "dirty": ("dirty", "pages=400 rate=0 writes=100000000", {}),
    "dirty, recycled": ("dirty", "pages=400 rate=50 keys=1", {"shadow_pages": 64}),
    "churn": ("churn", "rounds=100000000 every=100", {}),
    "churn, recycled": ("churn", "rounds=100000000 every=100 pages=250", {"shadow_pages": 64}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", GUESTS)
def test_is_the_copy_of_a_real_guest_byte_for_byte(case):
    """A guest on every kind of table writes while its pages are harvested and copied; after the last harvest the copy is its RAM."""
    name, bootargs, shape = GUESTS[case]
    with machine(memory=16 * MIB, harts=2, debug=True, **shape) as made:
        made.load(path(name), bootargs=bootargs).start()
        until(lambda: instructions(made) > 1_000_000)
        for again in range(3):
            with made.dirty_log():
                copy, taken = follow(made, 120, 0.005 if again else 0.0)
                assert differing(made, copy) == []
                assert sum(taken[1:]) > 0
            made.resume()
        assert made.exit_code is None, made.console
        counters = made.stats()["frames"]
        assert (counters["write_after_free"], counters["not_constructed"], counters["double_free"]) == (0, 0, 0)


def test_is_a_short_run_of_dirty_copied_whole():
    """The same in half a second, in every run of the tests; the guest then finishes with its own check right."""
    with machine(harts=2) as made:
        dirty_guest(made, pages=100, rate=0, writes=3000).start()
        with made.dirty_log():
            copy, _ = follow(made, 20)
            assert differing(made, copy) == []
        made.resume()
        assert made.wait(LONG) == 0, made.console


# Memory that runs out, hosts that are shared


@pytest.mark.slow
def test_does_a_guest_wait_unharmed_when_the_pool_is_exhausted():
    """Too few frames for what the guest touches: it waits, is counted, can be paused, looked at and stopped; and with frames again it
    goes on to a right end."""
    host = Host(3000)
    with machine(memory=8 * MIB, host=host) as made:
        hog = []
        dirty_guest(made, pages=600, rate=0, writes=5000)
        while pfn := frame_alloc(host.arena, 0):
            hog.append(pfn)
        for pfn in hog[-60:]:
            frame_free(host.arena, pfn)
        made.start()
        until(lambda: made.stats()["faults"]["out of memory"] > 3, what="an allocation that fails")
        assert made.exit_code is None
        made.pause()
        still = instructions(made)
        made.resume()
        assert made.stats()["mmu"]["failed allocations"] > 0
        for pfn in hog[:-60]:
            frame_free(host.arena, pfn)
        assert made.wait(LONG) == 0, made.console
        assert instructions(made) > still


def test_can_a_starved_guest_be_stopped():
    """Waiting for frames that never come ends with stop()."""
    host = Host(3000)
    with machine(memory=8 * MIB, host=host) as made:
        dirty_guest(made, pages=600, rate=0, writes=5000)
        while frame_alloc(host.arena, 0):
            pass
        made.start()
        until(lambda: made.stats()["faults"]["out of memory"] > 0)
        made.stop()
        assert made.exit_code is None


def test_do_machines_share_a_host_and_give_it_back():
    """Four machines in one pool, each self-checking; cleared, nothing of theirs is left but their static tables."""
    threads = threading.active_count()  # those of other tests in this process too
    host = Host(16000, debug=True)
    made = [Machine(8 * MIB, 2, host=host) for _ in range(4)]
    for n, each in enumerate(made):
        dirty_guest(each, pages=100, rate=0, writes=1000, seed=n + 1).start()
    assert [each.wait(LONG) for each in made] == [0] * 4
    for each in made:
        each.clear()
    spare = host.thread()
    for _ in range(3):
        shrink_all(host.arena, spare)
        for _ in range(100):
            run_callbacks(host.arena, spare, 1000)
    assert leak_check(host.arena) == 0
    host.thread_exit(spare)
    assert threading.active_count() <= threads


def test_does_a_host_that_is_full_say_so():
    """More machines than it has room or thread slots for: a sentence, not a crash."""
    host, made = Host(4000), []
    with pytest.raises(GnomonError, match=r"room|slot"):
        for _ in range(100):
            made.append(Machine(8 * MIB, 8, host=host))
    assert made
    with pytest.raises(GnomonError, match="too small"):
        Host(200)


def test_do_cleared_machines_return_their_thread_slots():
    """A host outlives its machines: a hundred short-lived ones, one after another, need no more slots than one."""
    host = Host(30000)
    for _ in range(100):
        each = Machine(1 * MIB, 1, host=host)
        each.clear()
    assert host.thread() < 3


def test_are_the_statistics_what_people_were_promised():
    """Parts and names of stats(): a user's script relies on them."""
    with machine(harts=2) as made:
        stats = made.stats()
    assert set(stats) == {"design", "faults", "tlb", "mmu", "dirty log", "slabs", "frames", "rcu", "reclaim", "harts"}
    assert {"fast", "slow", "spurious", "guest", "tracked writes", "mmio", "out of memory"} == set(stats["faults"])
    assert {"harvests", "pages harvested", "sptes protected", "rmap restarts"} <= set(stats["dirty log"])
    assert {"shadow pages", "zaps", "recycled", "remote flushes"} <= set(stats["mmu"])
    assert set(stats["slabs"]) == {"shadow page", "rmap descriptor", "page table"}
    assert len(stats["harts"]["instructions"]) == 2
    assert made.config == {"memory": 8 * MIB, "harts": 2, "shadow_pages": 64, "name": None}
