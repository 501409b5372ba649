"""The host moves pages of a running guest and takes frames back: does the guest, or its migration, ever notice?"""

import threading

import numpy as np
import pytest
from vm_rig import LONG, LOOP, MIB, machine, ram_of, take, until

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.mem.frames import frame_alloc, frame_free


def disturbed(made, stop, seed=1):
    """Move spans of pages and take zero ones back until `stop`; returns (moved, taken back) when joined."""
    found = [0, 0]

    def work():
        random = np.random.default_rng(seed)
        while not stop.is_set():
            first = int(random.integers(0, made.pages))
            span = np.arange(first, min(first + int(random.integers(1, 200)), made.pages))
            found[0] += made.move_pages(span)
            found[1] += made.take_back(span)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, found


GUESTS = {"dirty": "pages=400 keys=1", "churn": "rounds=400 every=100", "sort": ""}


@pytest.mark.parametrize("name", GUESTS)
def test_does_a_guest_pass_its_own_check_while_its_pages_move(name):
    """dirty, churn on page tables of its own, and sort: code, data and tables are moved under them."""
    with machine(path(name), memory=16 * MIB, harts=2, bootargs=GUESTS[name], debug=True) as made:
        stop = threading.Event()
        thread, found = disturbed(made, stop)
        made.start()
        until(lambda: found[0] > 1000 or made.exit_code is not None)
        made.send_console(b"q")  # which ends `dirty`; the others end by themselves
        assert made.wait(LONG) == 0
        stop.set()
        thread.join(LONG)
        assert name != "dirty" or found[0] > 1000
        counters = made.stats()
        assert counters["mmu"]["pages moved"] == found[0]
        assert (counters["frames"]["write_after_free"], counters["frames"]["double_free"]) == (0, 0)


def test_is_ram_what_it_was_after_every_page_moved():
    """Same bytes, same hash, other frames; zero pages lose theirs."""
    with machine(memory=8 * MIB) as made:
        everything = np.arange(made.pages)
        content = np.random.default_rng(3).integers(0, 255, (made.pages, 4096), dtype=np.uint8)
        content[::3] = 0
        made.write_pages(everything, content)
        before, frames = made.ram_hash(), made._backing.copy()
        assert made.move_pages(everything) == made.pages
        assert made.ram_hash() == before
        assert (made._backing != frames).any()
        assert made.take_back(everything) == len(content[::3])
        assert made.ram_hash() == before
        assert made.take_back([1], discard=True) == 1
        assert made.ram_hash() != before
        assert made.take_back(everything) == 0


def test_are_wrong_pages_and_an_exhausted_pool_said_in_a_sentence(program):
    """An index beyond RAM, and no frame to move to: nothing is lost, and the guest goes on."""
    with machine(program([LOOP])) as made:
        with pytest.raises(GnomonError, match="not among"):
            made.move_pages([made.pages])
        made.start()
        t = made.host.thread()
        taken = []
        while pfn := frame_alloc(made.arena, t):
            taken.append(pfn)
        with pytest.raises(GnomonError, match="exhausted: 0 of 1 pages"):
            made.move_pages([0])
        for pfn in taken:
            frame_free(made.arena, pfn)
        assert made.move_pages([0]) == 1
        seen = sum(made.stats()["harts"]["instructions"])
        until(lambda: sum(made.stats()["harts"]["instructions"]) > seen)
        made.host.thread_exit(t)


def test_does_a_copy_stay_whole_while_pages_move():
    """A migration's rounds over a guest whose pages move all the time: the copy is RAM, byte for byte."""
    with machine(path("dirty"), memory=16 * MIB, harts=2, bootargs="pages=400 rate=0 writes=100000000") as made:
        stop = threading.Event()
        copy = np.zeros((made.pages, 4096), dtype=np.uint8)

        made.start()
        thread, found = disturbed(made, stop, seed=2)
        until(lambda: found[0] > 0)
        with made.dirty_log() as log:
            for _ in range(6):
                take(made, log, copy)
            made.pause()
            take(made, log, copy)
            stop.set()
            thread.join(LONG)
            assert (copy == ram_of(made, np.arange(made.pages))).all()
