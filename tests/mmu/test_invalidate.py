"""The host moves pages and takes frames back under the guest: is the old frame ever used again, is a store or a dirty bit ever lost?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import BASE, BASE_GFN, COMPILED, INTERPRETED, SUPERVISOR, A, D, R, Rig, Tables, W, both_worlds, pte, swapped

from gnomon.lang import PAGE_WORDS, twin
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.frames import frame_alloc, frame_free
from gnomon.mem.pool import FRAME_FREE, FRAME_TABLE, FRAME_TAG_MASK
from gnomon.mmu.host_access import host_load, host_store_begin, host_store_end
from gnomon.mmu.host_page import host_lookup
from gnomon.mmu.invalidate import CHANGE_STOPPED, MOVE, TAKE_ANY, TAKE_ZERO, change_frames
from gnomon.mmu.leaf import LEAF_RETRY, set_leaf
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE
from gnomon.mmu.track import tracked_begin
from gnomon.mmu.translate import XL_OK, slow_page_fault
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM

PAGES = 64


def change(rig, how, first, end=None):
    return rig.call(change_frames, rig.vm, rig.t, first, end or first + 1, how)


def tag(rig, pfn):
    return int(rig.words[FRAME_WORDS_AT + pfn]) & FRAME_TAG_MASK


@both_worlds
def test_does_a_page_keep_its_content_in_another_frame(world):
    """After a move the guest reads what it wrote, from the new frame; the old one is in the pool."""
    rig = Rig(PAGES, world=world)
    rig.store(BASE + 5 * 4096, 4711)
    old, spare = int(rig.backing[5]), rig.pool("free")
    assert change(rig, MOVE, 5) == 1
    new = int(rig.backing[5])
    assert new != old and tag(rig, old) == FRAME_FREE and rig.pool("free") == spare
    assert rig.peek(5, 0) == 4711
    status, at = rig.access(BASE + 5 * 4096, TLB_READ)
    assert status == XL_OK and at >> 12 == new
    rig.store(BASE + 5 * 4096, 4712)
    assert rig.peek(5, 0) == 4712
    rig.clean()


@both_worlds
def test_is_a_frame_taken_back_only_when_it_is_zero(world):
    """A page with a word in it stays; a zero page loses its frame, reads as zero, and gets a frame again when it is written."""
    rig = Rig(PAGES, world=world)
    rig.store(BASE, 1)
    rig.store(BASE + 4096, 0)
    assert change(rig, TAKE_ZERO, 0, 3) == 1
    assert rig.backing[0] != 0 and rig.backing[1] == 0
    rig.store(BASE + 4096 + 8, 9)
    assert rig.frames()[1, :2].tolist() == [0, 9]
    assert rig.peek(0, 0) == 1
    rig.clean()


@both_worlds
def test_is_a_page_that_is_discarded_logged(world):
    """Its content changes, so a migration has to send it again; a page that moves or was zero has not changed."""
    rig = Rig(PAGES, world=world)
    for index in range(3):
        rig.store(BASE + index * 4096, index)
    rig.enable()
    rig.take()
    change(rig, MOVE, 0)
    change(rig, TAKE_ZERO, 0, 2)
    assert rig.take() == set()
    assert change(rig, TAKE_ANY, 2) == 1
    assert rig.take() == {2}
    assert rig.access(BASE + 2 * 4096, TLB_READ)[0] == XL_OK and rig.peek(2, 0) == 0


@both_worlds
def test_is_a_page_that_is_writable_when_it_moves_in_the_log(world):
    """M2: W may have been set by a fast fault that has not logged yet, so the move logs it."""
    rig = Rig(PAGES, world=world)
    rig.store(BASE, 1)
    rig.enable()
    rig.take()
    rig.store(BASE, 2)
    rig.words[rig.field("dirty")] = 0
    change(rig, MOVE, 0)
    assert rig.bits("dirty") == {0}


def test_does_a_full_pool_leave_every_page_whole():
    """A move without a frame to be had changes nothing, says so, and the guest goes on."""
    rig = Rig(PAGES)
    for index in range(4):
        rig.store(BASE + index * 4096, index + 1)
    taken = []
    while pfn := rig.call(frame_alloc, rig.t):
        taken.append(pfn)
    assert change(rig, MOVE, 0, 4) == CHANGE_STOPPED
    assert [rig.peek(index, 0) for index in range(4)] == [1, 2, 3, 4]
    rig.call(frame_free, taken.pop())
    assert change(rig, MOVE, 0, 4) == 4, "each moves into the frame that the one before left"
    for index in range(4):
        rig.store(BASE + index * 4096, index + 5)
    assert [rig.peek(index, 0) for index in range(4)] == [5, 6, 7, 8]
    for pfn in taken:
        rig.call(frame_free, pfn)
    rig.clean()


def test_can_a_frame_become_a_page_table_while_a_hart_remembers_the_page():
    """C13's condition: the frame of a page that the TLB held is a page table afterwards, and no store of the guest reaches it."""
    rig = Rig(8192, n_max=64, frames=14000, design="pages=small")  # a large spte takes no table
    rig.store(BASE, 1)
    old = int(rig.backing[0])
    assert change(rig, MOVE, 0) == 1
    spare = []
    while tag(rig, old) == FRAME_FREE:  # the pool is emptied until the next table takes the frame
        for index in range(512 * len(spare) + 512, 512 * len(spare) + 1024, 64):
            rig.access(BASE + index * 4096, TLB_WRITE)
        spare.append(old)
        assert len(spare) < 14, "no table ever took the frame"
    assert tag(rig, old) == FRAME_TABLE
    before = rig.words[old * PAGE_WORDS : (old + 1) * PAGE_WORDS].copy()
    rig.store(BASE, 2)
    assert (rig.words[old * PAGE_WORDS : (old + 1) * PAGE_WORDS] == before).all()
    assert rig.peek(0, 0) == 2


def test_is_a_fault_that_looked_its_page_up_before_a_move_tried_again():
    """I-13: the frame that was found is not mapped; the next try finds the new one."""
    rig = Rig(PAGES, world=INTERPRETED)
    rig.store(BASE, 1)
    rig.recycle(64)
    real, moved = twin(host_lookup), []

    def lookup(m, vm, v, t, index):
        found = real(m, vm, v, t, index)
        if not moved:
            moved.append(int(rig.backing[0]))
            change(rig, MOVE, 0)
        return found

    rig.store(BASE + 4096, 1)
    change(rig, MOVE, 0)
    with swapped(slow_page_fault, host_lookup=lookup):
        status, at = rig.access(BASE, TLB_WRITE)
    assert moved and status == XL_OK
    assert at >> 12 == rig.backing[0] != moved[0]
    rig.clean()


def test_is_nothing_mapped_while_the_host_changes_the_frame():
    """Inside the window a leaf of the range is refused, and one beyond it is not."""
    rig = Rig(PAGES)
    rig.store(BASE, 1)
    for name, value in (("invalidate_first", 0), ("invalidate_end", 2), ("invalidating", 1)):
        rig.words[rig.vm + getattr(VM, name)] = value
    table = rig.static(8)
    with rig.locked():
        assert rig.call(set_leaf, rig.vm, rig.v, rig.threads[0], table, 1, R | W, TLB_WRITE) == LEAF_RETRY
        assert rig.words[table] == 0
        assert rig.call(set_leaf, rig.vm, rig.v, rig.threads[0], table, 2, R | W, TLB_WRITE) == 0
        assert rig.words[table] != 0


@both_worlds
def test_are_guest_tables_followed_when_they_move(world):
    """A page of guest tables moves and keeps its shadows; a store to it is seen through the new frame; discarded, it maps nothing."""
    rig = Rig(PAGES, world=world)
    tables = Tables(rig, 10)
    va, window = 5 << 30, 6 << 30
    tables.map(va, 40, 1 | R | W | A | D)
    leaf = tables.table(va, 1)
    tables.map(window, leaf, 1 | R | W | A | D)
    rig.context(SUPERVISOR, tables.satp)
    rig.store(va, 7)
    zaps = rig.field("zaps")
    assert change(rig, MOVE, 10, tables.next) == tables.next - 10
    assert rig.field("zaps") == zaps
    rig.store(va + 8, 8)
    assert rig.frames()[40, :2].tolist() == [7, 8]
    rig.store(window + tables.slot(va, 1) * 8, pte(BASE_GFN + 41, 1 | R | W | A | D))
    rig.sfence()
    rig.store(va, 9)
    assert (rig.peek(40, 0), rig.peek(41, 0)) == (7, 9)
    assert change(rig, TAKE_ANY, leaf) == 1
    rig.sfence()
    assert rig.store(va, 10) != XL_OK, "the table is all zero now"
    assert rig.field("zaps") > zaps
    rig.clean()


@both_worlds
def test_do_firmware_stores_find_the_page_wherever_it_is(world):
    """host_load and host_store follow a page that moves, and bring one back that was taken."""
    rig = Rig(PAGES, world=world)
    rig.store(BASE + 64, 5)
    for how in (MOVE, TAKE_ANY):
        change(rig, how, 0)
        assert rig.call(host_load, rig.vm, BASE + 64, 8) == (5 if how == MOVE else 0)
        at = rig.call(host_store_begin, rig.vm, rig.t, BASE + 64)
        assert at >> 12 == rig.backing[0] != 0
        rig.words[at // 8] = 6
        rig.call(host_store_end, rig.vm, rig.t, BASE + 64, 8)
        assert rig.call(host_load, rig.vm, BASE + 64, 1) == 6
    assert rig.call(host_store_begin, rig.vm, rig.t, BASE - 8) == -1
    rig.clean()


def test_does_a_tracked_store_give_up_its_turn_when_the_frame_is_gone():
    """tracked_begin without a frame: in guest mode again, no lock held."""
    rig = Rig(PAGES)
    rig.store(BASE, 0)
    change(rig, TAKE_ZERO, 0)
    rig.call(guest_enter, rig.v)
    rig.words[rig.v + VCPU.fault_gpa] = BASE
    assert rig.call(tracked_begin, rig.v) == -1
    assert rig.field("mmu_lock") == 0 and rig.count("mode") & 1
    rig.call(guest_exit, rig.v)


ACTS = ["store", "zero", "move", "take", "discard", "recycle", "harvest"]
STEPS = st.tuples(st.sampled_from(ACTS), st.integers(0, 15), st.integers(1, 6))


@settings(max_examples=30, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_do_both_worlds_keep_every_page_whatever_the_host_does(steps):
    """Random histories against a plain list of words; same answers and equal memory compiled and interpreted."""
    rigs = [Rig(16, world=world) for world in (COMPILED, INTERPRETED)]
    for rig in rigs:
        rig.enable()
    words = [0] * 16
    for number, (step, page, count) in enumerate(steps, 1):
        end = min(16, page + count)
        answers = []
        for rig in rigs:
            if step in ("store", "zero"):
                answers.append(rig.store(BASE + page * 4096, number if step == "store" else 0))
            elif step == "recycle":
                answers.append(rig.recycle(count))
            elif step == "harvest":
                answers.append(rig.take())
            else:
                answers.append(change(rig, {"move": MOVE, "take": TAKE_ZERO, "discard": TAKE_ANY}[step], page, end))
        assert answers[0] == answers[1], step
        if step in ("store", "zero"):
            words[page] = number if step == "store" else 0
        elif step == "discard":
            words[page:end] = [0] * (end - page)
        assert [rigs[0].peek(index, 0) for index in range(16)] == words
    assert (rigs[0].words == rigs[1].words).all()
    rigs[0].clean()


@pytest.mark.parametrize("how", [MOVE, TAKE_ANY])
def test_are_frames_neither_lost_nor_doubled(how):
    """A thousand changes later the pool has what it had, and no two pages share a frame."""
    rig = Rig(PAGES)
    for index in range(PAGES):
        rig.store(BASE + index * 4096, index + 1)
    for n in range(1000):
        change(rig, how, n % PAGES)
        rig.store(BASE + n % PAGES * 4096, n)
    assert len(set(rig.backing.tolist())) == PAGES
    rig.clean()
