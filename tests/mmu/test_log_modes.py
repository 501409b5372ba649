"""The dirty log's modes: what is dirty at first, who protects, and the clear form as a transaction."""

import pytest
from mmu_rig import BASE, Rig, both_worlds

from gnomon.errors import GnomonError
from gnomon.mmu.log_modes import enable_protected
from gnomon.vm.dirty_log import MODES, DirtyLog
from gnomon.vm.machine import Machine

PAGES = 200


def touched(world=lambda kernel: kernel):
    rig = Rig(PAGES, world=world)
    for index in (0, 63, 64, 199):
        rig.store(BASE + index * 4096, index + 1)
    return rig


def log_of(rig, mode):
    return DirtyLog(rig.m, rig.vm, rig.t, rig.pages).choose(mode)


@both_worlds
def test_is_nothing_dirty_and_everything_protected_at_first(world):
    """write-protect: the first harvest is empty, and every store after enable faults and is in the next."""
    rig = touched(world)
    rig.call(enable_protected, rig.t, rig.vm)
    assert rig.bits("dirty") == set()
    faults = rig.count("fast_faults")
    rig.store(BASE, 9)
    rig.store(BASE + 199 * 4096, 9)
    rig.store(BASE + 7 * 4096, 9)
    assert rig.count("fast_faults") == faults + 2
    assert rig.take() == {0, 7, 199}
    rig.disable()
    rig.clean()


@pytest.mark.parametrize("mode", MODES)
def test_is_every_mode_what_it_says(mode):
    """Dirty at first if initially-set; harvest unless manual."""
    rig = touched()
    with log_of(rig, mode) as log:
        first = {0, 63, 64, 199} if mode.endswith("initially-set") else set()
        assert set(log.get().tolist()) == first
        rig.store(BASE + 64 * 4096, 5)
        assert set(log.get().tolist()) == first | {64}
        if mode.startswith("manual"):
            with pytest.raises(GnomonError, match="manual-protect mode"):
                log.harvest()
            assert log.clear(64, [1]) == 1
            assert set(log.get().tolist()) == first - {64}
        else:
            log.harvest().commit()
            assert log.get().tolist() == []
    assert not log.enabled


def test_is_a_clear_a_transaction():
    """What take() took is the snapshot's until it is committed; merged back it is dirty again; a second one has to wait."""
    rig = touched()
    with log_of(rig, "manual-protect,initially-set") as log:
        snapshot = log.take(0, [1 | 1 << 5])
        assert snapshot.gfns.tolist() == [0]
        assert set(log.get().tolist()) == {63, 64, 199}
        with pytest.raises(GnomonError, match="still open"):
            log.take(0, [1])
        rig.store(BASE + 5 * 4096, 1)
        snapshot.merge_back()
        assert set(log.get().tolist()) == {0, 5, 63, 64, 199}


def test_does_a_clear_flush_once():
    """However many words it names."""
    rig = touched()
    with log_of(rig, "manual-protect,initially-set") as log:
        flushes = rig.field("remote_flushes")
        assert log.clear(0, [(1 << 64) - 1] * 4) == 4
        assert rig.field("remote_flushes") == flushes + 1


def test_is_a_wrong_mode_said_in_a_sentence():
    """An unknown one, one that is not the one in use, rings of an odd size, a take from a log that is off."""
    with Machine(8 << 20) as made:
        with pytest.raises(GnomonError, match="no such mode"):
            made.dirty_log("sometimes")
        for entries in (3, 64, 1 << 20):
            with pytest.raises(GnomonError, match="power of two"):
                made.dirty_ring(entries)
        with pytest.raises(GnomonError, match="not enabled"):
            made.dirty_log("manual-protect").take(0, [1])
        with made.dirty_log("manual-protect"), pytest.raises(GnomonError, match="in use: manual-protect"):
            made.dirty_log()
        assert made.dirty_log().mode == "initially-set"


def test_is_a_clear_in_parts_one_transaction():
    """begin() and take_into(): each part is protected when it was taken, all of them are the snapshot's, and merged back together."""
    rig = touched()
    with log_of(rig, "manual-protect,initially-set") as log:
        snapshot = log.begin()
        assert snapshot.gfns.tolist() == []
        assert log.take_into(snapshot, 0, [1]).tolist() == [0]
        with pytest.raises(GnomonError, match="still open"):
            log.begin()
        rig.store(BASE, 1)
        assert set(log.get().tolist()) == {0, 63, 64, 199}
        assert log.take_into(snapshot, 64, [1, 0, 0]).tolist() == [64]
        assert log.take_into(snapshot, 0, [(1 << 64) - 1]).tolist() == [0, 63]
        assert snapshot.gfns.tolist() == [0, 63, 64]
        snapshot.merge_back()
        assert set(log.get().tolist()) == {0, 63, 64, 199}
        with pytest.raises(GnomonError, match="not open any more"):
            log.take_into(snapshot, 0, [1])
        assert log.take(128, [-1 % (1 << 64)] * 2).gfns.tolist() == [199]
