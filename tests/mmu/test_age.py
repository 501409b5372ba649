"""Aging without mmu_lock: which pages were accessed, and does it leave everything else alone?"""

from mmu_rig import BASE, COMPILED, SUPERVISOR, A, D, R, Rig, Tables, W, both_worlds, swapped

from gnomon.lang import twin
from gnomon.lang.atomics import cmpxchg
from gnomon.mmu.age import age
from gnomon.mmu.rmap import spte_age
from gnomon.mmu.spte import ACCESSED, WRITABLE
from gnomon.mmu.tlb import TLB_READ, tlb_flush_all
from gnomon.mmu.vm_words import VM
from gnomon.vm.machine import Machine

PAGES = 130


def young(rig):
    """Pages accessed since the last call."""
    out = rig.static(8)
    rig.call(age, rig.t, rig.vm, 0, 3, out)
    return {w * 64 + n for w in range(3) for n in range(64) if int(rig.words[out + w]) >> n & 1}


@both_worlds
def test_is_a_page_young_once_after_it_was_accessed(world):
    """Touched pages are reported once; a page that is accessed through a walk again is reported again, one in a TLB only is not."""
    rig = Rig(PAGES, world=world)
    pages = {0, 63, 64, 129}
    for index in pages:
        rig.store(BASE + index * 4096, index)
    assert young(rig) == pages
    assert young(rig) == set()
    rig.store(BASE, 1)
    assert young(rig) == set(), "no TLB was flushed: no walk saw this access"
    rig.call(tlb_flush_all, rig.v)
    rig.access(BASE, TLB_READ)
    assert young(rig) == {0}


@both_worlds
def test_does_aging_leave_the_log_and_the_data_alone(world):
    """W, D and the dirty bits are as they were; a page whose A is gone is written without a fault of the MMU."""
    rig = Rig(PAGES, world=world)
    rig.store(BASE, 1)
    rig.enable()
    rig.take()
    rig.store(BASE, 2)
    faults = rig.count("fast_faults") + rig.count("slow_faults")
    assert young(rig) == {0}
    assert rig.bits("dirty") == {0}
    rig.call(tlb_flush_all, rig.v)
    rig.store(BASE, 3)
    assert rig.count("fast_faults") + rig.count("slow_faults") == faults
    assert rig.peek(0, 0) == 3
    assert young(rig) == {0}
    rig.clean()


@both_worlds
def test_are_all_aliases_of_a_page_aged(world):
    """A page behind twenty sptes is young if one of them was used."""
    rig = Rig(PAGES, world=world)
    tables = Tables(rig, 40)
    for alias in range(20):
        tables.map((1 << 30) + alias * (2 << 20), 5, 1 | R | W | A | D)
    rig.context(SUPERVISOR, tables.satp)
    for alias in range(20):
        rig.store((1 << 30) + alias * (2 << 20), alias)
    assert 5 in young(rig)
    assert young(rig) == set()
    rig.call(tlb_flush_all, rig.v)
    rig.access((1 << 30) + 7 * (2 << 20), TLB_READ)
    assert young(rig) == {5}
    rig.clean()


def test_does_aging_lose_to_whoever_changes_the_spte():
    """Between its look and its cmpxchg the spte is write-protected: only A goes, W stays taken (I-4)."""
    rig = Rig(PAGES, world=COMPILED)
    rig.store(BASE, 1)
    at = int(rig.words[rig.field("rmap")]) >> 1
    before = int(rig.words[at])
    turns = []

    def meddled(m, word, old, new):
        if not turns:
            rig.words[word] &= ~WRITABLE
        turns.append(old)
        return cmpxchg(m, word, old, new)

    with swapped(spte_age, cmpxchg=meddled):
        assert twin(spte_age)(rig.m, at) == 1
    assert len(turns) == 2
    assert int(rig.words[at]) == before & ~WRITABLE & ~ACCESSED


def test_does_every_protector_age_alike():
    """Under mmu_lock, with a lock a rmap, and without one."""
    for protector in ("lockless", "locked", "rmap-bit"):
        rig = Rig(PAGES, design=f"protector={protector}")
        rig.store(BASE + 4096, 1)
        assert young(rig) == {1}
        assert rig.field("mmu_lock") == 0
        rig.clean()


def test_does_a_machine_say_which_pages_were_accessed():
    """Machine.age() over more than one staging area's worth of bits is exercised by size; here: nothing yet, and the type of the answer."""
    with Machine(8 << 20) as made:
        assert made.age().tolist() == []
        assert int(made.arena.words[made.vm + VM.mmu_lock]) == 0
