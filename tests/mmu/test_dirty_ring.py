"""Dirty rings: is every store in an entry or a bit, is an entry used again only after its reset, does a full ring hold its vCPU?"""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import BASE, COMPILED, INTERPRETED, Rig, both_worlds

from gnomon.guests import path
from gnomon.mmu.dirty import BUSY
from gnomon.mmu.dirty_ring import harvest_rings, ring_collect, ring_reset, rings_on
from gnomon.mmu.host_access import host_store_begin, host_store_end
from gnomon.mmu.ring import RING_COLLECTED, RING_DIRTY, RING_RESERVED, ring_is_full
from gnomon.mmu.tlb import tlb_flush_all
from gnomon.mmu.vcpu import REQ_RING, VCPU
from gnomon.vm.machine import Machine

PAGES = 300
SIZE = 128


def ringed(world=COMPILED, harts=1, pages=PAGES, size=SIZE):
    """Pages touched, rings on, the first harvest taken."""
    rig = Rig(pages, harts, world=world)
    for index in range(pages):
        rig.store(BASE + index * 4096, 1)
    rig.rings(size)
    rig.enable()
    assert rig.take() == set(range(pages))
    return rig


def flags(rig, number, v=None):
    ring = int(rig.words[(v or rig.v) + VCPU.ring])
    return int(rig.words[ring + 2 * (number % SIZE)])


@both_worlds
def test_is_a_written_page_in_its_vcpus_ring(world):
    """One entry a page and vCPU, none in the bitmap; after the harvest the next store is an entry again."""
    rig = ringed(world, harts=2)
    a, b = rig.vcpus
    rig.store(BASE, 5, v=a)
    rig.store(BASE, 6, v=a)
    rig.store(BASE + 4096, 7, v=b)
    assert (rig.count("ring_dirty", a), rig.count("ring_dirty", b)) == (1, 1)
    assert rig.bits("dirty") == set()
    assert rig.take() == {0, 1}
    rig.store(BASE, 8, v=b)
    assert rig.take() == {0}
    assert rig.take() == set()
    rig.disable()


@both_worlds
def test_does_an_entry_go_through_its_states(world):
    """DIRTY by the vCPU, COLLECTED by the reader, free by the reset, in order and round the end of the ring."""
    rig = ringed(world)
    for turn in range(3 * SIZE):
        rig.store(BASE + turn % PAGES * 4096, turn)
        assert flags(rig, turn) == RING_DIRTY
        assert rig.call(ring_reset, rig.t, rig.vm, rig.v, SIZE) == 0, "not collected yet"
        assert rig.call(ring_collect, rig.vm, rig.v, SIZE) == 1
        assert flags(rig, turn) == RING_COLLECTED
        assert rig.call(ring_reset, rig.t, rig.vm, rig.v, SIZE) == 1
        assert flags(rig, turn) == 0
        rig.call(tlb_flush_all, rig.v)  # which harvest_rings() does, once for all
    assert rig.count("ring_dirty") == rig.count("ring_reset") == 3 * SIZE


@both_worlds
def test_does_a_full_ring_lose_nothing(world):
    """RING_RESERVED before its end the vCPU is asked to leave; beyond the end pages go to the bitmap, and the harvest has them all."""
    rig = ringed(world)
    for index in range(SIZE - RING_RESERVED + 1):
        assert rig.count("requests") & REQ_RING == 0
        rig.store(BASE + index * 4096, 2)
    assert rig.count("requests") & REQ_RING
    assert rig.call(ring_is_full, rig.v) == 1
    for index in range(SIZE - RING_RESERVED + 1, PAGES):
        rig.store(BASE + index * 4096, 2)
    assert rig.bits("dirty") == set(range(SIZE, PAGES))
    assert rig.take() == set(range(PAGES))
    assert rig.call(ring_is_full, rig.v) == 0
    rig.store(BASE, 3)
    assert rig.take() == {0}


@both_worlds
def test_are_stores_of_the_host_in_the_bitmap(world):
    """No vCPU made them; the next harvest has them, and is a transaction."""
    rig = ringed(world)
    at = rig.call(host_store_begin, rig.vm, rig.t, BASE + 3 * 4096)
    rig.words[at // 8] = 9
    rig.call(host_store_end, rig.vm, rig.t, BASE + 3 * 4096, 8)
    rig.store(BASE + 4 * 4096, 9)
    assert rig.bits("dirty") == {3}
    assert rig.harvest() == 2
    assert rig.call(harvest_rings, rig.t, rig.vm) == BUSY
    assert rig.bits("snapshot") == {3, 4}
    rig.merge_back()
    assert rig.take() == {3, 4}


ACTS = st.tuples(st.sampled_from(["store", "harvest", "merge", "recycle"]), st.integers(0, 19), st.integers(0, 1))


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTS, max_size=60))
def test_is_a_page_taken_exactly_when_it_was_written(steps):
    """Random histories against a set, with rings of four entries that overflow all the time; both worlds, equal memory."""
    rigs = [Rig(20, 2, world=world) for world in (COMPILED, INTERPRETED)]
    for rig in rigs:
        for index in range(20):
            rig.store(BASE + index * 4096, 1)
        rig.rings(4)
        rig.enable()
        rig.take()
    written = set()
    for step, page, hart in steps:
        for rig in rigs:
            if step == "store":
                rig.store(BASE + page * 4096, 2, v=rig.vcpus[hart])
            elif step == "harvest":
                assert rig.take() == written
            elif step == "merge":
                rig.harvest()
                assert rig.bits("snapshot") == written
                rig.merge_back()
            else:
                rig.recycle(page % 4)
        written = written | {page} if step == "store" else set() if step == "harvest" else written
    assert (rigs[0].words == rigs[1].words).all()


def test_does_switching_the_log_off_and_on_begin_anew():
    """Entries left in a ring when the log went off are dropped; indices go on."""
    rig = ringed()
    rig.store(BASE, 2)
    rig.disable()
    rig.store(BASE + 4096, 2)
    assert rig.count("ring_dirty") == 1
    rig.call(rings_on, rig.t, rig.vm, SIZE)
    rig.enable()
    assert rig.take() == set(range(PAGES))
    rig.store(BASE + 2 * 4096, 2)
    assert rig.take() == {2}


@pytest.mark.parametrize("entries", [128, 4096])
def test_is_the_copy_of_a_real_guest_whole_and_does_it_wait_when_its_ring_is_full(entries):
    """Two harts write; their pages are taken by rings and copied; after the last harvest the copy is RAM."""
    with Machine(16 << 20, harts=2, console=bytearray().extend) as made:
        made.load(path("dirty"), bootargs="pages=400 rate=0 writes=100000000").start()
        copy = np.zeros((made.pages, 4096), np.uint8)

        def take(log):
            snapshot = log.harvest()
            data, zero = np.zeros((len(snapshot.gfns), 4096), np.uint8), np.zeros(len(snapshot.gfns), np.uint8)
            made.read_pages(snapshot.gfns, data, zero)
            data[zero != 0] = 0
            copy[snapshot.gfns] = data
            snapshot.commit()
            return len(snapshot.gfns)

        with made.dirty_ring(entries) as log:
            again = threading.Event()
            for _ in range(30):
                take(log)
                again.wait(0.02)
            made.pause()
            take(log)
            ram, zero = np.zeros((made.pages, 4096), np.uint8), np.zeros(made.pages, np.uint8)
            made.read_pages(np.arange(made.pages), ram, zero)
            assert (copy == ram).all()
            told = made.stats()["dirty log"]
            assert told["ring entries"] > 0
            if entries == 128:
                assert told["waits for a full ring"] > 0
            made.resume()
        assert made.exit_code is None
