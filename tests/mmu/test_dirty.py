"""The dirty log as a transaction: what a harvest takes, what commit and merge_back do with it, the clear form, and the last round."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import BASE, COMPILED, INTERPRETED, Rig, both_worlds, together

from gnomon.errors import GnomonError
from gnomon.mmu.dirty import BUSY, count_dirty
from gnomon.mmu.log_modes import clear_begin, clear_dirty_log
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.vm.dirty_log import DirtyLog

PAGES = 200  # not a multiple of 64: the last word is partial
STEPS = ["write", "read", "take", "merge", "clear", "toggle", "recycle"]


def touched(world=COMPILED, pages=(0, 1, 63, 64, 127, 199), **shape):
    rig = Rig(PAGES, world=world, **shape)
    for index in pages:
        rig.store(BASE + index * 4096, index + 1)
    return rig, set(pages)


def clear(rig, w, bits):
    """The clear form for the pages `bits` of word `w`: the pages that were dirty."""
    assert rig.call(clear_begin, rig.vm) == 0
    rig.words[rig.field("snapshot") + w] = bits
    count = rig.call(clear_dirty_log, rig.t, rig.vm, w, 1)
    taken = rig.bits("snapshot")
    rig.commit()
    assert len(taken) == count
    return taken


@both_worlds
def test_does_the_first_harvest_return_every_page_that_was_ever_touched(world):
    """Enabling makes all pages with a frame dirty; a page never touched reads as zero and is not among them."""
    rig, pages = touched(world)
    rig.enable()
    assert rig.take() == pages
    assert rig.take() == set()


@both_worlds
def test_is_a_page_dirty_exactly_when_it_was_written_since(world):
    """Reads do not dirty, a second write of a round does not fault, the first one of the next does."""
    rig, _ = touched(world)
    rig.enable()
    rig.take()
    rig.access(BASE, TLB_READ)
    rig.access(BASE + 63 * 4096, TLB_READ)
    assert rig.take() == set()
    for _ in range(3):
        rig.store(BASE + 63 * 4096, 7)
    rig.store(BASE + 150 * 4096, 8)
    faults = rig.count("fast_faults")
    assert faults == 1
    assert rig.take() == {63, 150}
    rig.store(BASE + 63 * 4096, 9)
    assert rig.count("fast_faults") == faults + 1
    assert rig.take() == {63}


@both_worlds
def test_is_a_snapshot_a_transaction(world):
    """BUSY while one is open; merge_back returns every page, commit forgets them, writes in between are in the next (H2)."""
    rig, pages = touched(world)
    rig.enable()
    assert rig.harvest() == len(pages)
    assert rig.harvest() == BUSY
    assert rig.bits("snapshot") == pages
    rig.store(BASE + 64 * 4096, 5)
    rig.store(BASE + 5 * 4096, 5)
    rig.merge_back()
    assert rig.take() == pages | {5}
    assert rig.harvest() == 0
    rig.commit()
    assert rig.bits("snapshot") == rig.bits("dirty") == set()


@both_worlds
def test_does_the_clear_form_forget_exactly_its_bits(world):
    """clear_dirty_log takes and protects the bits asked for, and leaves those that were set in the snapshot."""
    rig, _ = touched(world)
    rig.enable()
    assert clear(rig, 0, 1 << 1 | 1 << 5) == {1}
    assert rig.bits("dirty") == {0, 63, 64, 127, 199}
    assert clear(rig, 0, -1) == {0, 63}
    assert rig.call(count_dirty, rig.vm) == 3
    rig.store(BASE + 4096, 1)
    assert 1 in rig.bits("dirty")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "read", "take", "merge", "clear", "toggle", "recycle"]), st.integers(0, PAGES - 1)), max_size=40
    )
)
def test_do_both_worlds_log_the_same(steps):
    """Random histories, compiled and interpreted: same pages taken, and equal memory to the last word."""
    rigs = [Rig(PAGES, world=world) for world in (COMPILED, INTERPRETED)]
    for step, page in steps:
        answers = []
        for rig in rigs:
            answer = None
            if step in ("write", "read"):
                answer = rig.access(BASE + page * 4096, TLB_WRITE if step == "write" else TLB_READ)
            elif step == "take":
                answer = rig.take()
            elif step == "merge":
                answer = rig.harvest()
                rig.merge_back()
            elif step == "clear":
                answer = clear(rig, page // 64, 0x5555_5555_5555_5555)
            elif step == "toggle":
                rig.disable() if rig.field("logging") else rig.enable()
            else:
                answer = rig.recycle(page % 8)
            answers.append(answer)
        assert answers[0] == answers[1], step
    assert (rigs[0].words == rigs[1].words).all()


def test_does_a_harvest_allocate_nothing():
    """Frames ever handed out and slab objects are the same before and after."""
    rig, pages = touched()
    rig.enable()
    before = rig.pool("allocated"), rig.pool("free"), rig.waiting()
    for _ in range(5):
        assert rig.harvest() >= 0
        rig.merge_back()
    assert rig.take() == pages
    assert (rig.pool("allocated"), rig.pool("free"), rig.waiting()) == before


def test_does_a_harvest_wait_for_a_hart_in_guest_mode():
    """H1: it returns only when no hart can use a translation from before. One in guest mode is waited for; one outside is not."""
    rig, _ = touched()
    rig.enable()
    rig.call(guest_enter, rig.v)
    order = []

    def hart():
        while not rig.count("requests"):
            pass
        order.append("hart leaves")
        rig.call(guest_exit, rig.v)

    def harvester():
        rig.take()
        order.append("harvest returns")

    together(harvester, hart)
    assert order == ["hart leaves", "harvest returns"]
    assert rig.store(BASE, 3) == 0
    assert rig.bits("dirty") == {0}


def test_is_the_last_round_complete():
    """I-8: with every hart out of guest mode and out of its fault path, one more harvest and copy make the destination whole."""
    rig, pages = touched()
    rig.enable()
    copy = {index: rig.peek(index, 0) for index in rig.take()}
    for index in (0, 64, 130):
        rig.store(BASE + index * 4096, 4711 + index)
    copy |= {index: rig.peek(index, 0) for index in rig.take()}
    assert copy == {index: rig.peek(index, 0) for index in pages | {130}}
    assert rig.take() == set()


def test_does_disabling_forget_and_enabling_begin_anew():
    """Nothing is left of the old log; protected pages are writable again at their next fault, unlogged."""
    rig, pages = touched()
    rig.enable()
    rig.harvest()
    rig.disable()
    assert rig.bits("dirty") == rig.bits("snapshot") == set()
    rig.store(BASE, 1)
    assert rig.bits("dirty") == set()
    rig.enable()
    assert rig.take() == pages


# The Python side


def log_of(rig):
    return DirtyLog(rig.m, rig.vm, rig.t, rig.pages)


def test_does_the_log_say_what_it_is_asked_wrongly():
    """One sentence each: harvest of a log that is off, a second open snapshot, a snapshot closed twice, a clear that is not aligned."""
    rig, pages = touched()
    log = log_of(rig)
    with pytest.raises(GnomonError, match="not enabled"):
        log.harvest()
    with log:
        snapshot = log.harvest()
        assert set(snapshot.gfns.tolist()) == pages
        with pytest.raises(GnomonError, match="still open"):
            log.harvest()
        snapshot.merge_back()
        for close in (snapshot.commit, snapshot.merge_back):
            with pytest.raises(GnomonError, match="already"):
                close()
        for first, words in ((1, 1), (-64, 1), (63, 1), (256, 1), (0, 5), (192, 2)):
            with pytest.raises(GnomonError, match="64-page"):
                log.clear(first, [0] * words)
    assert not log.enabled


def test_is_clear_then_copy_a_whole_protocol():
    """get has no effect; clear before the copy, copy after: a write in between is dirty again."""
    rig, pages = touched()
    with log_of(rig) as log:
        assert set(log.get().tolist()) == set(log.get().tolist()) == pages
        assert log.peek_count() == len(pages)
        assert log.clear(0, [(1 << 64) - 1] * 4) == len(pages)
        rig.store(BASE + 199 * 4096, 9)
        assert log.get().tolist() == [199]
        assert log.clear(192, [1 << 7]) == 1
        assert log.clear(192, [1 << 7]) == 0


def test_can_a_snapshot_from_before_a_disable_spoil_a_later_one():
    """The old snapshot was forgotten with the log: closing it must not commit the new one's pages."""
    rig, pages = touched()
    log = log_of(rig)
    log.enable()
    old = log.harvest()
    log.disable()
    log.enable()
    new = log.harvest()
    old.commit()
    new.merge_back()
    assert set(log.harvest().gfns.tolist()) == pages
    assert int(rig.words[rig.v + VCPU.mode]) % 2 == 0
