"""Pages of the same content lie behind one frame: does a store to one ever reach another, is a frame, a store or a dirty bit ever lost?"""

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import BASE, BASE_GFN, COMPILED, INTERPRETED, SUPERVISOR, A, D, R, Rig, Tables, W, both_worlds, pte, swapped

from gnomon.lang import PAGE_WORDS, twin
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.frames import frame_alloc, frame_alloc_reserve, frame_free
from gnomon.mem.pool import FRAME_FREE, FRAME_TAG_MASK
from gnomon.mmu.age import age_page
from gnomon.mmu.host_access import host_load, host_store_begin, host_store_end
from gnomon.mmu.host_page import host_lookup
from gnomon.mmu.invalidate import MOVE, TAKE_ANY, TAKE_ZERO, change_frames
from gnomon.mmu.region import sharer_after
from gnomon.mmu.setup import vm_clear
from gnomon.mmu.share import FREED, own_page, share_frames
from gnomon.mmu.sharers import MOST_SHARERS
from gnomon.mmu.slot import index_of_frame
from gnomon.mmu.spte import HOST_WRITABLE, MMU_WRITABLE, WRITABLE
from gnomon.mmu.tlb import TLB_READ
from gnomon.mmu.track import tracked_begin
from gnomon.mmu.translate import XL_NOMEM, XL_OK, slow_page_fault
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.vm.pages import BATCH, back_only, back_pages

PAGES = 64


def share(rig, *pairs):
    """(pages merged, frames that came back) of these pairs of pages."""
    if not hasattr(rig, "pairs"):
        rig.pairs = rig.static(2 * BATCH)
    for n, pair in enumerate(pairs):
        rig.words[rig.pairs + 2 * n : rig.pairs + 2 * n + 2] = pair
    found = rig.call(share_frames, rig.vm, rig.t, rig.pairs, len(pairs))
    return found & (FREED - 1), found // FREED


def change(rig, how, first, end=None):
    return rig.call(change_frames, rig.vm, rig.t, first, end or first + 1, how)


def alike(pages, *, world=COMPILED, value=7, design=""):
    """A rig whose first `pages` pages hold the same, each in a frame of its own."""
    rig = Rig(PAGES, world=world, design=design)
    for index in range(pages):
        rig.store(BASE + index * 4096, value)
    share(rig)  # has its words from here on
    return rig


def leaf(rig, index):
    """The only spte in the rmap of page `index`, 0 if there is none."""
    head = int(rig.words[rig.field("rmap") + index])
    assert head & 1 == 0
    return int(rig.words[head >> 1]) if head else 0


def exact(rig):
    """Rings, counts, names and sptes say the same as the frames behind the pages do."""
    with rig.locked():
        after = [rig.call(sharer_after, rig.vm, index) for index in range(rig.pages)]
    order = sorted(range(rig.pages), key=lambda index: rig.backing[index])
    rings = [list(ring) for pfn, ring in groupby(order, key=lambda index: rig.backing[index]) if pfn]
    shared = [ring for ring in rings if len(ring) > 1]
    assert rig.field("shared_pages") == sum(map(len, shared)) and rig.field("shared_frames") == len(shared)
    for ring in rings:
        pfn = int(rig.backing[ring[0]])
        assert rig.call(index_of_frame, pfn) in ring
        if len(ring) == 1:
            assert after[ring[0]] == 0
        else:
            walked, index = [], ring[0]
            while index not in walked:
                walked.append(index)
                index = after[index] - 1
            assert sorted(walked) == ring
    for index in range(rig.pages):
        spte = leaf(rig, index)
        assert not spte or spte >> 12 == rig.backing[index]
        assert after[index] == 0 or spte & (WRITABLE | MMU_WRITABLE | HOST_WRITABLE) == 0
    region = rig.words[rig.field("region_tracked")]
    assert region == rig.field("shared_pages") + rig.words[rig.field("tracked") : rig.field("tracked") + rig.pages].sum()


@both_worlds
def test_do_pages_of_one_frame_come_apart_when_one_is_stored_to(world):
    """Three pages, one frame; a store is seen in its page alone, and the last page has the frame for itself again."""
    rig = alike(3, world=world)
    first, spare = int(rig.backing[0]), rig.pool("free")
    assert share(rig, (0, 1), (0, 2)) == (2, 2)
    assert rig.backing[:3].tolist() == [first] * 3 and rig.pool("free") == spare + 2 - 1, "two frames back, one for the links"
    exact(rig)
    for index in range(3):
        assert rig.access(BASE + index * 4096, TLB_READ) == (XL_OK, first << 12)
    exact(rig)
    for left, index in ((2, 0), (0, 2)):  # the page that the frame is named after goes first
        rig.store(BASE + index * 4096 + 8, index + 1)
        exact(rig)
        assert rig.field("shared_pages") == left
        assert [rig.peek(other, 0) for other in range(3)] == [7, 7, 7]
        assert rig.peek(index, 1) == index + 1 and rig.peek(1, 1) == 0
    assert rig.backing[1] == first
    rig.store(BASE + 4096, 8)
    assert rig.backing[1] == first and rig.field("unshared") == 2
    rig.clean()


@both_worlds
def test_are_pages_that_differ_left_alone(world):
    """A word anywhere, no frame, the same page twice, the same frame already: nothing happens."""
    rig = alike(4, world=world)
    rig.store(BASE + 4096 + 4088, 1)
    frames = rig.backing.tolist()
    assert share(rig, (0, 1), (0, 0), (0, 9), (9, 0)) == (0, 0)
    assert rig.backing.tolist() == frames
    assert share(rig, (2, 3), (3, 2)) == (1, 1)
    exact(rig)
    assert rig.access(BASE + 4096, TLB_READ)[0] == XL_OK
    rig.clean()


@both_worlds
def test_does_the_fast_fault_keep_its_hands_off_a_shared_page(world):
    """While the log is on a leaf without W may get it with no lock: that of a shared page may not, and the un-share is logged."""
    rig = alike(2, world=world)
    share(rig, (0, 1))
    rig.enable()
    rig.take()
    assert rig.access(BASE + 4096, TLB_READ)[0] == XL_OK
    assert leaf(rig, 1) & (WRITABLE | MMU_WRITABLE | HOST_WRITABLE) == 0
    fast = rig.count("fast_faults")
    rig.store(BASE + 4096, 8)
    assert rig.count("fast_faults") == fast
    assert rig.take() == {1}
    rig.store(BASE + 4096, 9)
    assert rig.count("fast_faults") == fast + 1
    assert rig.take() == {1}
    rig.store(BASE, 10)  # alone with the frame now: logged as its own
    assert rig.take() == {0}
    rig.store(BASE, 11)
    assert rig.take() == {0}
    assert (rig.peek(0, 0), rig.peek(1, 0)) == (11, 9)
    rig.clean()


@both_worlds
def test_is_a_page_that_came_to_share_a_frame_no_dirty_page(world):
    """Its content is what it was; only what a fast fault may have made writable and not logged yet is logged."""
    rig = alike(3, world=world)
    rig.enable()
    rig.take()
    share(rig, (0, 1))
    assert rig.take() == set()
    rig.store(BASE + 2 * 4096, 7)
    rig.words[rig.field("dirty")] = 0
    share(rig, (0, 2))
    assert rig.bits("dirty") == {2}


def test_is_a_full_pool_no_loss_to_a_store_to_a_shared_page():
    """No frame to un-share with: the store says so and changes nothing, loads go on, and it succeeds when there is memory."""
    rig = alike(2)
    share(rig, (0, 1))
    rig.access(BASE, TLB_READ)
    taken = []
    while pfn := rig.call(frame_alloc, rig.t):
        taken.append(pfn)
    assert rig.store(BASE + 4096, 8) == XL_NOMEM
    assert rig.call(host_store_begin, rig.vm, rig.t, BASE) == -1 and rig.field("mmu_lock") == 0
    assert rig.access(BASE, TLB_READ)[0] == XL_OK
    exact(rig)
    rig.call(frame_free, taken.pop())
    assert rig.store(BASE + 4096, 8) == XL_OK
    assert (rig.peek(0, 0), rig.peek(1, 0)) == (7, 8)
    for pfn in taken:
        rig.call(frame_free, pfn)
    rig.clean()


def test_does_sharing_need_no_frame_above_the_minimum():
    """The links of a region take a frame, below the watermark too, because one comes back; without any, nothing is shared."""
    rig = alike(3)
    taken = []
    while pfn := rig.call(frame_alloc_reserve):
        taken.append(pfn)
    assert share(rig, (0, 1)) == (0, 0)
    exact(rig)
    rig.call(frame_free, taken.pop())
    assert share(rig, (0, 1), (0, 2)) == (2, 2)
    exact(rig)
    for pfn in taken:
        rig.call(frame_free, pfn)
    assert rig.store(BASE, 8) == XL_OK and [rig.peek(index, 0) for index in range(3)] == [8, 7, 7]
    rig.clean()


@both_worlds
def test_do_firmware_and_the_loader_store_to_a_frame_of_their_own(world):
    """host_store, and whole pages written or cleared: the other page does not see it."""
    rig = alike(6, world=world)
    share(rig, *((0, index) for index in range(1, 6)))
    at = rig.call(host_store_begin, rig.vm, rig.t, BASE + 4096)
    rig.words[at // 8] = 8
    rig.call(host_store_end, rig.vm, rig.t, BASE + 4096, 8)
    stage = rig.static(2 * BATCH)
    rig.words[stage] = 2
    assert rig.call(back_pages, rig.vm, rig.t, stage, 1) == 1
    rig.words[int(rig.words[stage + BATCH]) * PAGE_WORDS] = 9
    rig.words[stage] = 3
    rig.call(back_only, rig.vm, rig.t, stage, 1)
    assert rig.words[stage + BATCH] == 0 == rig.backing[3], "a page that shall be zero needs no frame"
    exact(rig)
    assert [rig.call(host_load, rig.vm, BASE + index * 4096, 8) for index in range(6)] == [7, 8, 9, 0, 7, 7]
    rig.clean()


@both_worlds
def test_do_move_and_take_back_touch_the_share_of_their_page_alone(world):
    """A page that moves has a frame of its own; a frame is the host's again when the last page gives it up."""
    rig = alike(4, world=world, value=0)
    share(rig, (0, 1), (0, 2), (0, 3))
    first, spare = int(rig.backing[0]), rig.pool("free")
    assert change(rig, MOVE, 0) == 1
    assert rig.backing[0] != first and rig.backing[1:4].tolist() == [first] * 3
    exact(rig)
    assert change(rig, TAKE_ZERO, 1) == 0 and rig.backing[1] == 0, "two pages have the frame still"
    exact(rig)
    assert change(rig, TAKE_ANY, 2, 4) == 1, "the last of them"
    assert rig.pool("free") == spare and int(rig.words[FRAME_WORDS_AT + first]) & FRAME_TAG_MASK == FRAME_FREE
    exact(rig)
    rig.clean()


@both_worlds
def test_is_a_guest_table_never_shared(world):
    """Two tables of the same bytes stay two; a page that shares a frame has its own before it is read as a table."""
    rig = Rig(PAGES, world=world)
    tables = Tables(rig, 10)
    va = 5 << 30
    tables.map(va, 40, 1 | R | W)
    twins = list(range(10, tables.next))
    for index in twins:  # a copy of each table, elsewhere
        for offset in range(PAGE_WORDS):
            if value := rig.peek(index, offset):
                rig.poke(index + 20, offset, value)
        rig.back(index + 20)
    assert share(rig, *((index + 20, index) for index in twins)) == (len(twins), len(twins))
    rig.context(SUPERVISOR, tables.satp)
    assert rig.store(va, 7) == XL_OK
    exact(rig)
    assert rig.field("shared_pages") == 0
    assert all(rig.backing[index] != rig.backing[index + 20] for index in twins)
    leaf_table, slot = tables.table(va, 1), tables.slot(va, 1)
    assert rig.peek(leaf_table, slot) ^ rig.peek(leaf_table + 20, slot) == A | D, "set in the table alone"
    assert share(rig, *((index + 20, index) for index in twins)) == (0, 0)
    tables.map(6 << 30, leaf_table, 1 | R | W | A | D)
    rig.store((6 << 30) + tables.slot(va, 1) * 8, pte(BASE_GFN + 41, 1 | R | W | A | D))
    rig.sfence()
    rig.store(va, 9)
    assert (rig.peek(40, 0), rig.peek(41, 0)) == (7, 9)
    rig.clean()


def test_does_a_tracked_store_give_up_its_turn_when_the_page_is_shared():
    """tracked_begin at a page that came to share a frame since its fault: in guest mode again, no lock held."""
    rig = alike(2)
    share(rig, (0, 1))
    rig.call(guest_enter, rig.v)
    rig.words[rig.v + VCPU.fault_gpa] = BASE
    assert rig.call(tracked_begin, rig.v) == -1
    assert rig.field("mmu_lock") == 0 and rig.count("mode") & 1
    rig.call(guest_exit, rig.v)


def test_is_a_fault_that_looked_its_page_up_before_a_merge_tried_again():
    """I-13: the frame that went back to the pool is not mapped."""
    rig = alike(2)
    rig.recycle(64)
    interpreted = Rig(PAGES, world=INTERPRETED)
    for index in range(3):
        interpreted.store(BASE + index * 4096, 7)
    interpreted.recycle(64)
    interpreted.access(BASE + 2 * 4096, TLB_READ)
    real, gone = twin(host_lookup), []

    def lookup(m, vm, v, t, index):
        found = real(m, vm, v, t, index)
        if not gone:
            gone.append(int(interpreted.backing[1]))
            assert share(interpreted, (0, 1)) == (1, 1)
        return found

    with swapped(slow_page_fault, host_lookup=lookup):
        status, at = interpreted.access(BASE + 4096, TLB_READ)
    assert gone and status == XL_OK
    assert at >> 12 == interpreted.backing[0] != gone[0]
    interpreted.clean()


def test_has_a_frame_no_more_sharers_than_it_may():
    """The ring is full at MOST_SHARERS, so that every walk of one is short."""
    rig = Rig(MOST_SHARERS + 4)
    for index in range(rig.pages):
        rig.back(index)
    found = share(rig, *((0, index) for index in range(1, rig.pages)))
    assert found == (MOST_SHARERS - 1, MOST_SHARERS - 1)
    assert rig.field("shared_pages") == MOST_SHARERS
    exact(rig)
    rig.clean()


def test_is_no_region_mapped_large_that_has_a_shared_page():
    """A large spte goes when a page of its region comes to share a frame, and none comes before the page has its own again."""
    rig = Rig(1024, n_max=64)
    rig.store(BASE, 0)
    rig.store(BASE + (512 << 12), 0)
    assert rig.field("large_sptes") == 2
    assert share(rig, (5, 700)) == (1, 1)
    assert rig.field("large_sptes") == 0
    rig.store(BASE, 1)
    rig.access(BASE + (512 << 12), TLB_READ)
    assert rig.field("large_sptes") == 0
    rig.store(BASE + (700 << 12), 1)
    assert rig.field("shared_pages") == 0 and rig.peek(5, 0) == 0
    rig.enable()
    rig.disable()
    rig.store(BASE, 2)
    rig.store(BASE + (512 << 12), 2)
    assert rig.field("large_sptes") == 1, "the first region has the frames in a row that it had"
    rig.clean()


@both_worlds
def test_does_aging_tell_the_pages_of_one_frame_apart(world):
    """Each page has its own sptes in its own rmap: who was not looked at is not young."""
    rig = alike(2, world=world)
    share(rig, (0, 1))
    for index in range(2):
        rig.access(BASE + index * 4096, TLB_READ)
        rig.call(age_page, rig.t, rig.vm, rig.field("rmap") + index)
    rig.sfence()
    rig.access(BASE + 4096, TLB_READ)
    assert [rig.call(age_page, rig.t, rig.vm, rig.field("rmap") + index) for index in range(2)] == [0, 1]


def test_is_a_shared_frame_freed_once_with_its_machine():
    """vm_clear: every frame is the pool's again, none twice."""
    rig = alike(5)
    share(rig, (0, 1), (0, 2), (3, 4))
    rig.call(vm_clear, rig.vm, rig.t)
    assert rig.pool("double_free") == 0
    rig.clean()


ACTS = ["store", "zero", "load", "share", "share", "own", "move", "take", "discard", "recycle", "harvest"]
STEPS = st.tuples(st.sampled_from(ACTS), st.integers(0, 15), st.integers(0, 15))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=50))
def test_do_both_worlds_keep_every_page_whatever_is_shared(steps):
    """Random histories against a plain list of words and a copy by the log; equal memory compiled and interpreted."""
    rigs = [Rig(16, world=world) for world in (COMPILED, INTERPRETED)]
    for rig in rigs:
        rig.enable()
    words, copy = [0] * 16, [0] * 16
    for number, (step, page, other) in enumerate(steps, 1):
        end = min(16, page + 1 + other % 4)
        answers = []
        for rig in rigs:
            if step in ("store", "zero"):
                answers.append(rig.store(BASE + page * 4096, number % 3 if step == "store" else 0))
            elif step == "load":
                status, at = rig.access(BASE + page * 4096, TLB_READ)
                answers.append((status, int(rig.words[at // 8])))
                assert answers[-1] == (XL_OK, words[page])
            elif step == "share":
                answers.append(share(rig, (page, other)))
            elif step == "own":
                with rig.locked():
                    answers.append(rig.call(own_page, rig.vm, rig.t, page))
            elif step == "recycle":
                answers.append(rig.recycle(1 + other))
            elif step == "harvest":
                answers.append(rig.take())
            else:
                answers.append(change(rig, {"move": MOVE, "take": TAKE_ZERO, "discard": TAKE_ANY}[step], page, end))
            exact(rig)
        assert answers[0] == answers[1], step
        if step in ("store", "zero"):
            words[page] = number % 3 if step == "store" else 0
        elif step == "discard":
            words[page:end] = [0] * (end - page)
        elif step == "harvest":
            for index in answers[0]:
                copy[index] = words[index]
        assert [rigs[0].peek(index, 0) for index in range(16)] == words
    for index in rigs[0].take():
        copy[index] = words[index]
    assert copy == words
    rigs[1].take()
    assert (rigs[0].words == rigs[1].words).all()
    rigs[0].clean()
