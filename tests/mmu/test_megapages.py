"""Megapages: does the guest see the same RAM, with no right too many, whatever is mapped large, split, collapsed and tracked meanwhile?"""

import time

import pytest
from megapage_rig import CLEAN, PAGES, READ_ONLY, REGION, TABLES_AT, WINDOW, at, check, counters
from mmu_rig import BASE_GFN, COMPILED, INTERPRETED, MACHINE, SUPERVISOR, A, D, R, Rig, Tables, W, both_worlds, pte, swapped

from gnomon.lang import twin
from gnomon.mem.slab import slab_alloc
from gnomon.mmu.megapage import split_large
from gnomon.mmu.shadow_page import sp_alloc
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE
from gnomon.mmu.translate import XL_NOMEM, XL_OK, XL_TRACKED
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import KEEP_FREE_PAGES
from gnomon.study.stress.stage import Stress
from hunting import hunt

# What large sptes are good for


@both_worlds
def test_does_one_fault_map_two_mebibytes(world):
    """512 pages in one slow fault; a region that is not all RAM, and small pages, take one each."""
    faults = {}
    for design in ("", "pages=small"):
        rig = Rig(PAGES, world=world, design=design)
        for index in range(0, PAGES, 8):
            rig.store(at(index), index)
            assert rig.access(at(index), TLB_EXEC) == (XL_OK, int(rig.backing[index]) << 12)
        faults[design] = rig.count("slow_faults")
        assert [rig.peek(index, 0) for index in range(0, PAGES, 8)] == list(range(0, PAGES, 8))
        check(rig)
        rig.clean()
    assert faults == {"": 2 + 8, "pages=small": PAGES // 8}


@both_worlds
def test_is_a_region_split_for_the_log_and_recovered_after_it(world):
    """Enabling leaves no large spte, forbids nothing and logs every page; disabling gives the large sptes back at the next fault."""
    rig = Rig(PAGES, world=world)
    for index in (0, REGION, REGION + 7):
        rig.store(at(index), index)
    slow = rig.count("slow_faults")
    assert counters(rig) == {"large_sptes": 2, "large_maps": 2, "splits": 0, "split_failures": 0, "recoveries": 0}
    rig.enable()
    check(rig)
    assert counters(rig)["large_sptes"] == 0 and counters(rig)["splits"] == 2
    assert rig.take() == set(range(2 * REGION))
    for index in (0, 1, REGION - 1, REGION):
        rig.store(at(index), 1)
    assert rig.take() == {0, 1, REGION - 1, REGION}
    assert rig.count("slow_faults") == slow, "a page was lost in the split"
    rig.disable()
    check(rig)
    assert counters(rig)["recoveries"] == 2
    for index in range(0, 2 * REGION, 100):
        rig.store(at(index), 2)
    assert counters(rig)["large_sptes"] == 2 and rig.count("slow_faults") == slow + 2
    check(rig)
    rig.clean()


def test_is_a_guest_megapage_mapped_large_with_the_guests_own_rights():
    """Read-only stays read-only, D is set by the first store, and a PTE rewritten takes the large spte with it."""
    rig = Rig(PAGES)
    tables = Tables(rig, TABLES_AT)
    tables.map(WINDOW, 0, READ_ONLY, level=2)
    tables.map(WINDOW + (2 << 20), REGION, CLEAN, level=2)
    tables.map(WINDOW + (4 << 20), tables.table(WINDOW, 2), 1 | R | W | A | D)
    rig.context(SUPERVISOR, tables.satp)
    other = WINDOW + (2 << 20)
    assert rig.access(WINDOW + 5 * 4096, TLB_READ) == (XL_OK, int(rig.backing[5]) << 12)
    assert rig.access(WINDOW, TLB_WRITE)[0] not in (XL_OK, XL_TRACKED)
    assert rig.access(other, TLB_READ)[0] == XL_OK
    assert rig.store(other + 9 * 4096, 9) == XL_OK and rig.peek(REGION + 9, 0) == 9
    assert rig.field("large_sptes") == 2
    check(rig)
    assert rig.store(WINDOW + (4 << 20) + tables.slot(WINDOW, 2) * 8, pte(BASE_GFN + REGION, 1 | R | A)) == XL_TRACKED
    assert rig.field("large_sptes") == 1
    rig.sfence(WINDOW, 1)
    for page in (0, 5, 511):
        assert rig.access(WINDOW + page * 4096, TLB_READ) == (XL_OK, int(rig.backing[REGION + page]) << 12)
    check(rig)
    rig.clean()


def test_does_a_gibibyte_of_the_guest_become_large_sptes():
    """A guest superpage of level 3: one large spte for each 2 MiB that is touched, and small ones where a guest table lies."""
    rig = Rig(PAGES)
    tables = Tables(rig, TABLES_AT)
    tables.rig.poke(tables.root, 511 & (WINDOW >> 30), pte(BASE_GFN, 1 | R | W | A | D))
    rig.context(SUPERVISOR, tables.satp)
    for index in (3, REGION + 3):
        assert rig.store(WINDOW + index * 4096, index) == XL_OK and rig.peek(index, 0) == index
    assert rig.store(WINDOW + tables.root * 4096, rig.peek(tables.root, 0)) == XL_TRACKED
    assert rig.field("large_sptes") == 2
    check(rig)
    rig.clean()


def test_is_a_large_mapping_gone_when_a_page_of_it_becomes_a_guest_table():
    """M1: a store to the table comes to us, although its region was mapped large and the TLB had it."""
    rig = Rig(PAGES)
    tables = Tables(rig, 40)
    for page in (40, 41, 42, 43):
        rig.store(at(page), 0)
    tables.map(WINDOW, 7, 1 | R | W | A | D)
    rig.store(at(7), 1)
    assert rig.field("large_sptes") == 1
    rig.context(SUPERVISOR, tables.satp)
    assert rig.access(WINDOW, TLB_READ)[0] == XL_OK
    assert rig.field("large_sptes") == 0
    rig.context(MACHINE)
    assert rig.store(at(tables.table(WINDOW, 1)) + tables.slot(WINDOW, 1) * 8, pte(BASE_GFN + 8, 1 | R | A)) == XL_TRACKED
    assert rig.store(at(9), 9) == XL_OK and rig.field("large_sptes") == 0
    rig.context(SUPERVISOR, tables.satp)
    rig.sfence()
    assert rig.access(WINDOW, TLB_READ) == (XL_OK, int(rig.backing[8]) << 12)
    check(rig)
    rig.clean()


# Want of memory


def test_is_a_store_logged_when_there_was_no_table_to_split_into():
    """The large spte loses W at enable, which is counted; loads go on; the first store splits it once there is memory (I-23)."""
    rig = Rig(PAGES, world=INTERPRETED)
    rig.store(at(0), 1)
    with swapped(sp_alloc, slab_alloc=lambda m, t, cache: 0):
        rig.enable()
        assert counters(rig)["split_failures"] == 1 and counters(rig)["large_sptes"] == 1
        check(rig)
        assert rig.take() == set(range(REGION))
        assert rig.access(at(3), TLB_READ) == (XL_OK, int(rig.backing[3]) << 12)
        assert rig.store(at(3), 3) == XL_NOMEM and rig.peek(3, 0) == 0 and rig.take() == set()
        assert counters(rig)["split_failures"] == 2
    assert rig.store(at(3), 3) == XL_OK and rig.peek(3, 0) == 3
    assert rig.take() == {3}
    assert counters(rig)["splits"] == 1 and counters(rig)["large_sptes"] == 0
    check(rig)
    rig.clean()


@both_worlds
def test_does_n_max_end_eager_splitting(world):
    """Where no shadow page is left below n_max the large spte stays, without W; the store's fault recycles, maps small, and logs."""
    rig = Rig(3 * REGION, world=world)
    for index in (0, REGION, 2 * REGION):
        rig.store(at(index), 1)
    rig.words[rig.vm + VM.n_max] = rig.field("n_used") + KEEP_FREE_PAGES + 1  # two more, not three
    rig.enable()
    assert counters(rig)["split_failures"] == 1 and counters(rig)["large_sptes"] == 1
    rig.take()
    assert rig.store(at(2 * REGION + 3), 3) == XL_OK and rig.take() == {2 * REGION + 3}
    check(rig)
    rig.clean()


@pytest.mark.parametrize("granted", [0, 1, 5, 511])
def test_is_nothing_lost_when_the_pool_runs_dry_in_the_middle_of_a_split(granted):
    """A second alias needs a descriptor a page; only `granted` are to be had: the other pages come back by faults, and are logged."""
    rig = Rig(PAGES, world=INTERPRETED)
    tables = Tables(rig, TABLES_AT)
    tables.map(WINDOW, 0, 1 | R | W | A | D, level=2)
    rig.store(at(0), 1)
    rig.context(SUPERVISOR, tables.satp)
    rig.store(WINDOW, 2)
    assert rig.field("large_sptes") == 2
    left, real = granted, twin(slab_alloc)

    def scarce(m, t, cache):
        nonlocal left
        left -= 1
        return real(m, t, cache) if left >= 0 else 0

    with swapped(split_large, slab_alloc=scarce):
        rig.enable()
    assert counters(rig) | {"large_sptes": 0, "splits": 2, "split_failures": 1} == counters(rig)
    check(rig)
    assert rig.take() == set(range(REGION)) | set(range(TABLES_AT, TABLES_AT + 2))
    for index in (1, 100, 510):
        for va in (WINDOW + index * 4096, at(index)):
            rig.context(SUPERVISOR if va >= WINDOW else MACHINE, tables.satp)
            rig.take()
            assert rig.store(va, va) == XL_OK and rig.peek(index, 0) == va
            assert rig.take() == {index}
    check(rig)
    rig.clean()


def test_are_both_worlds_equal_to_the_last_word():
    """Map, split, store, collapse, map: the same memory, compiled and interpreted."""
    rigs = [Rig(PAGES, world=world) for world in (COMPILED, INTERPRETED)]
    for rig in rigs:
        for _ in range(2):
            rig.store(at(5), 5)
            rig.enable()
            rig.store(at(REGION), 6)
            rig.take()
            rig.store(at(5), 7)
            rig.disable()
        rig.store(at(5), 8)
    assert (rigs[0].words == rigs[1].words).all()


# Real threads


def test_is_a_write_lost_while_regions_are_split_and_collapsed():
    """vCPUs store all the time while the log goes off and on: collapsed under them, split under them, zapped under them. Whenever it has
    been on for a last harvest with every vCPU parked, the copy is RAM."""
    stress = Stress(pages=2 * REGION, n_max=64, churns=("zap", "recycle", "shrink"), seed=5)
    stress.rig.enable()

    def turn_log(turn):
        """Off and on. Returns whether that has been often enough."""
        stress.set(iteration=4 + 2 * turn)
        stress.resume()
        stress.rig.disable()
        time.sleep(0.03)
        stress.rig.enable()
        stress.take()
        time.sleep(0.03)
        stress.pause()
        stress.take()
        assert not len(stress.lost()), f"turn {turn}: pages {stress.lost()[:5]} were lost"
        return turn >= 8 and stress.rig.field("splits") > 5

    with stress.running():
        hunt(turn_log)
    check(stress.rig)
    assert (stress.get("wrong"), stress.get("stuck")) == (0, 0)
    assert stress.rig.field("splits") > 5 and stress.get("stores") > 0
    assert stress.rig.remains() == []
