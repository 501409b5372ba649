"""The numbers beside the design: does a protector leave its read section as often as it is told, does a barrier come when it is due?"""

import pytest
from mmu_rig import BASE, INTERPRETED, Rig, both_worlds, swapped

from gnomon.lang import twin
from gnomon.mmu.dirty import harvest
from gnomon.mmu.rmap import rmap_walk, spte_exchange
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import recycle
from gnomon.sync.rcu import rcu_read_lock, rcu_read_unlock

PAGES = 200
WORDS = (64, 64, 64, 8)
"""Pages of each word of the bitmap."""


def sections(section: int) -> list[int]:
    """How many rmaps a harvest of PAGES dirty pages walks in each of its read sections, by the walk or by its short way for one spte."""
    rig = Rig(PAGES, world=INTERPRETED, design="pages=small")
    rig.enable()
    for index in range(PAGES):
        rig.store(BASE + index * 4096, index)
    rig.words[rig.vm + VM.section] = section
    walked, inside = [], 0
    real_lock, real_unlock, real_walk, real_exchange = (twin(k) for k in (rcu_read_lock, rcu_read_unlock, rmap_walk, spte_exchange))

    def lock(m, t):
        nonlocal inside
        inside += 1
        walked.append(0)
        return real_lock(m, t)

    def unlock(m, t):
        nonlocal inside
        inside -= 1
        return real_unlock(m, t)

    def walk(m, vm, head, how):
        assert inside == 1, "an rmap walked outside a read section, or in two"
        walked[-1] += 1
        return real_walk(m, vm, head, how)

    def exchange(m, at, spte, new):
        assert inside == 1, "an spte protected outside a read section, or in two"
        walked[-1] += 1
        return real_exchange(m, at, spte, new)

    with swapped(harvest, rcu_read_lock=lock, rcu_read_unlock=unlock, rmap_walk=walk, spte_exchange=exchange):
        assert rig.harvest() == PAGES
    assert inside == 0 and sum(walked) == PAGES
    rig.commit()
    rig.clean()
    return [count for count in walked if count]


@pytest.mark.parametrize("section", [1, 7, 64, 130])
def test_does_a_protector_leave_its_section_every_so_many_rmaps(section):
    """section=N: a grace period waits for N rmaps at most, across words of the bitmap too."""
    found = sections(section)
    assert max(found) == section and len(found) == -(-PAGES // section)


def test_is_a_section_a_word_or_the_whole_slot_when_it_is_told_so():
    """0 is the 64 pages of a word, -1 the slot, however large."""
    assert tuple(sections(0)) == WORDS
    assert sections(-1) == [PAGES]


def deferred_by(rig, count: int) -> int:
    """Pages deferred after `count` more were zapped by the vCPU's thread."""
    with rig.locked():
        rig.call(recycle, rig.vm, rig.threads[0], count)
    return rig.field("deferred")


@both_worlds
def test_does_every_so_many_zapped_pages_a_slow_fault_wait_until_they_are_free(world):
    """barrier-every=6: five deferred pages change nothing, the sixth makes the next slow fault leave none deferred, and it begins anew."""
    rig = Rig(64, world=world, n_max=200, design="reclaim=call-rcu-throttled,pages=small")
    rig.words[rig.vm + VM.barrier_every] = 6
    zapped, barriers = 0, 0
    for turn in range(24):
        rig.store(BASE + turn * 4096, turn)  # a slow fault: it links the tables that were zapped
        due = zapped >= 6
        barriers += due
        assert rig.field("barriers") == barriers
        if due:
            assert rig.field("deferred") == 0, "the barrier left pages deferred"
            zapped = 0
        before = rig.field("zaps")
        deferred_by(rig, 2)
        zapped += rig.field("zaps") - before
        assert rig.field("since_barrier") == zapped
    assert barriers >= 3
    rig.clean()


def test_is_there_no_barrier_unless_it_is_asked_for():
    """0, as shipped: the same zaps, no barrier."""
    rig = Rig(64, world=INTERPRETED, n_max=200, design="reclaim=call-rcu-throttled,pages=small")
    for turn in range(24):
        rig.store(BASE + turn * 4096, turn)
        deferred_by(rig, 2)
    assert rig.field("barriers") == 0 and rig.field("since_barrier") == rig.field("zaps") > 12
    rig.clean()
