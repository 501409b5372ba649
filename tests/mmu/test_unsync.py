"""Guest tables that several vCPUs edit at once: does a fence ever let a stale translation by, is a store to a table ever lost?

The rules one by one are in the checker (unsync/...); what random edits may do to one another on one thread is in test_sv39.py. Here are
real threads, with zapping, recycling and a migration beside them.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from mmu_rig import BASE_GFN, INTERPRETED, SUPERVISOR, A, D, R, Rig, Tables, W, both_worlds, pte, swapped, together

from gnomon.hart.remote import remote_flush
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.arith import mul, shr, wrap
from gnomon.lang.atomics import fetch_add, load_acquire, read_once, store_release
from gnomon.lang.guest_memory import store64
from gnomon.lang.kernel import compile_kernel
from gnomon.mmu import guest_walk
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.slot import index_of_frame
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from hunting import hunt

DATA = 8  # pages of data, from page FIRST_DATA
FIRST_DATA = 40
SLOTS = 16
VA, WINDOW = 5 << 30, 6 << 30
UNSYNC = "guest-tables=unsync"
LEAF = 1 | R | W | A | D
STOP_AT, WRONG_AT, ROUNDS_AT, TOLD_AT = 0, 8, 16, 24
"""Words of the control area: stop, wrong translations, rounds; from TOLD_AT on what each slot leads to: version << 8 | page."""


@kernel
def reach(m, v, va, access):
    """Byte offset an access gets to, -1 for a store to a tracked table, -2 if it was refused. In guest mode."""
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, access, regime)
    while at < 0:
        status = mmu_translate(m, v, va, access)
        if status == XL_TRACKED:
            return -1
        if status != XL_OK:
            return -2
        at = tlb_host(m, v, va, access, regime)
    return at


@kernel
def put_entry(m, v, va, value):
    """Store a PTE, wherever the store goes. Returns 0 if it was refused."""
    at = reach(m, v, va, TLB_WRITE)
    if at == -2:
        return 0
    if at == -1:
        at = tracked_begin(m, v)
        if at < 0:
            return 0
        store64(m, at, value)
        tracked_end(m, v, at, 8)
        return 1
    store64(m, at, value)
    return 1


@kernel
def leads_to(m, v, va, access):
    """Page that `va` leads to, -1 if the pool was exhausted."""
    at = reach(m, v, va, access)
    return index_of_frame(m, at >> 12) if at >= 0 else -1


@kernel
def edit_own(m, v, control, slot, x, window):
    """Remap a slot that is ours alone, fence, and look; now and then let everybody fence, and say what the slot leads to from now on."""
    page = FIRST_DATA + (shr(x, 40) & (DATA - 1))
    told = control + TOLD_AT + slot
    version = (read_once(m, told) >> 8) + 1
    store_release(m, told, version << 8)
    if put_entry(m, v, window + slot * 8, ((BASE_GFN + page) << 10) | LEAF) == 0:
        return 0
    va = VA + slot * 4096
    mmu_sfence(m, v, va, shr(x, 50) & 1)
    found = leads_to(m, v, va, TLB_WRITE)
    if found >= 0 and found != page:
        fetch_add(m, control + WRONG_AT, 1)
    if shr(x, 52) & 3 == 0:
        guest_exit(m, v)
        remote_flush(m, v, 0, -1)
        guest_enter(m, v)
        store_release(m, told, (version << 8) | page)
    return 0


@kernel
def look_at_other(m, v, control, slot):
    """A slot of whomever: once its editor has made us fence it leads where the editor said, until it says otherwise."""
    told = load_acquire(m, control + TOLD_AT + slot)
    found = leads_to(m, v, VA + slot * 4096, TLB_READ)
    if told & 255 and found >= 0 and found != told & 255 and load_acquire(m, control + TOLD_AT + slot) == told:
        fetch_add(m, control + WRONG_AT, 1)
    return 0


@kernel
def edit_tables(m, v, control, number, harts, window):
    """Edit our slots and look at all of them until told to stop. Returns rounds."""
    x = number * 977 + 1
    rounds = 0
    guest_enter(m, v)
    while read_once(m, control + STOP_AT) == 0:
        x = wrap(mul(x, 6364136223846793005) + 1442695040888963407)
        edit_own(m, v, control, number + harts * (shr(x, 36) & 3), x, window)
        look_at_other(m, v, control, shr(x, 28) & (SLOTS - 1))
        rounds += 1
        if read_once(m, v + VCPU.requests):
            guest_exit(m, v)
            guest_enter(m, v)
    guest_exit(m, v)
    fetch_add(m, control + ROUNDS_AT, rounds)
    return rounds


class Editors:
    """`harts` vCPUs on threads, all in one address space, editing one leaf table."""

    def __init__(self, harts: int, design: str):
        compile_kernel(edit_tables)
        self.rig = Rig(64, harts, n_max=64, design=design)
        self.control = self.rig.static(TOLD_AT + SLOTS)
        tables = Tables(self.rig, 10)
        for slot in range(SLOTS):
            tables.map(VA + slot * 4096, FIRST_DATA, LEAF)
        self.table = tables.table(VA, 1)
        tables.map(WINDOW, self.table, LEAF)
        for page in range(DATA):
            self.rig.back(FIRST_DATA + page)
        for v in self.rig.vcpus:
            self.rig.context(SUPERVISOR, tables.satp, v=v)
        self.copy = self.rig.frames()

    def run(self, seconds: float) -> None:
        """Edit for a while, with a migration and a recycler beside it, and its last round after."""
        rig, words = self.rig, self.rig.words
        words[self.control + STOP_AT] = 0
        rig.enable()

        def beside():
            deadline = time.monotonic() + seconds
            try:
                while time.monotonic() < deadline:
                    self.round()
                    rig.recycle(1 + rig.field("zaps") % 3)
                    time.sleep(0.001)
            finally:
                words[self.control + STOP_AT] = 1

        editors = [
            lambda n=n, v=v: edit_tables(rig.m, v, self.control, n, len(rig.vcpus), WINDOW + Tables.slot(VA, 1) * 8)
            for n, v in enumerate(rig.vcpus)
        ]
        together(beside, *editors)
        self.round()

    def round(self) -> None:
        """A round of pre-copy."""
        for page in self.rig.take():
            self.copy[page] = self.rig.words.reshape(-1, PAGE_WORDS)[int(self.rig.backing[page])]


@pytest.mark.parametrize("design", [UNSYNC, "", UNSYNC + ",protector=rmap-bit"])
def test_do_vcpus_that_edit_one_table_see_what_they_fenced(design):
    """Each edits slots of its own and looks at all; a wrong translation after a fence, or a page that differs in the copy, is a failure."""
    editors = Editors(3, design)
    rig = editors.rig

    def look(_):
        """Two seconds. Returns whether there was enough to see."""
        editors.run(2.0)
        return rig.words[editors.control + ROUNDS_AT] > 500 and (UNSYNC not in design or rig.field("syncs") > 0)

    assert hunt(look)
    figures = {name: rig.field(name) for name in ("syncs", "synced_sptes", "unsync_pages", "zaps", "remote_flushes")}
    print(f"\n{design or 'as shipped'}: {int(rig.words[editors.control + ROUNDS_AT])} rounds, {figures}")
    assert rig.words[editors.control + WRONG_AT] == 0
    assert (UNSYNC in design) == (rig.field("syncs") > 0)
    assert np.array_equal(editors.copy, rig.frames())
    rig.clean()


def table_in_a_window(world):
    """A guest whose leaf table, page `table`, is mapped at WINDOW."""
    rig = Rig(64, world=world, design=UNSYNC)
    tables = Tables(rig, 10)
    tables.map(VA, FIRST_DATA)
    table = tables.table(VA, 1)
    tables.map(WINDOW, table)
    rig.context(SUPERVISOR, tables.satp)
    return rig, tables, table


@both_worlds
def test_is_a_store_to_an_unsync_table_logged_once_a_harvest(world):
    """It is a page like any other: after a harvest its first store faults once, fast, and dirties it."""
    rig, _, table = table_in_a_window(world)
    assert rig.access(VA, TLB_READ)[0] == XL_OK
    rig.enable()
    rig.take()
    for value in range(3):
        assert rig.store(WINDOW + 8 * 100, value) == XL_OK
        assert rig.field("unsync_pages") == 1
        assert table in rig.take()
    assert (rig.count("tracked_writes"), rig.count("fast_faults")) == (0, 2)
    rig.sfence()
    assert rig.field("unsync_pages") == 0
    assert not rig.may_be_stored_to(table)
    rig.store(WINDOW + 8 * 100, 7)
    assert (rig.field("unsync_pages"), rig.field("syncs")) == (1, 1)


@both_worlds
def test_does_a_page_that_becomes_a_higher_table_end_unsync(world):
    """The guest's leaf table is linked as a root of another space: from then on it is tracked (U4)."""
    rig, tables, table = table_in_a_window(world)
    rig.access(VA, TLB_READ)
    assert rig.store(WINDOW, 0) == XL_OK
    assert rig.field("unsync_pages") == 1
    rig.context(SUPERVISOR, (8 << 60) + BASE_GFN + table - (1 << 64))
    rig.access(0, TLB_READ)
    assert rig.field("unsync_pages") == 0
    rig.context(SUPERVISOR, tables.satp)
    assert rig.store(WINDOW, 0) == XL_TRACKED
    assert rig.store(WINDOW + 8, 0) == XL_TRACKED


def test_is_a_store_between_the_look_at_an_entry_and_its_accessed_bit_kept():
    """The guest overwrites an entry of an unsync table just before the machine sets A in it: the fault starts anew (E3)."""
    rig = Rig(64, 1, world=INTERPRETED, design=UNSYNC)
    tables = Tables(rig, 10)
    tables.map(VA, FIRST_DATA, 1 | R | W)
    table, slot = tables.table(VA, 1), Tables.slot(VA, 1)
    tables.map(WINDOW, table)
    rig.back(FIRST_DATA + 1)
    rig.context(SUPERVISOR, tables.satp)
    rig.access(WINDOW, TLB_WRITE)
    entry = rig.words[int(rig.backing[table]) * PAGE_WORDS + slot :]
    stored = []

    def overwritten_first(m, at, old, new):
        if not stored:
            stored.append(pte(BASE_GFN + FIRST_DATA + 1, 1 | R | W))
            entry[0] = stored[0]
        found = int(entry[0])
        if found == old:
            entry[0] = new
        return found

    with swapped(guest_walk.set_accessed_dirty, cmpxchg_guest64=overwritten_first):
        status, at = rig.access(VA, TLB_WRITE)
    assert stored and status == XL_OK
    assert rig.peek(table, slot) == stored[0] | A | D
    assert at >> 12 == int(rig.backing[FIRST_DATA + 1])


@pytest.mark.parametrize("links", [1, 3, 40])
def test_are_many_links_to_one_table_and_many_tables_below_one_root_synced(links):
    """One table linked many times, and more tables than a batch of a sync holds; next_unsync finds each, in whatever word of the bitmap."""
    rig = Rig(200, 1, world=INTERPRETED, n_max=200, design=UNSYNC)
    tables = Tables(rig, 10)
    vas = [VA + n * 5 * (2 << 20) for n in range(links)]
    for n, va in enumerate(vas):
        tables.map(va, 150)
        tables.map(WINDOW + n * 4096, tables.table(va, 1))
    rig.back(150)
    rig.back(151)
    shared = VA + (1 << 29)
    for n in range(links):
        rig.poke(
            tables.table(shared + n * (2 << 20), 2), Tables.slot(shared + n * (2 << 20), 2), pte(BASE_GFN + tables.table(vas[0], 1), 1)
        )
    rig.context(SUPERVISOR, tables.satp)
    for n, va in enumerate(vas):
        rig.access(va, TLB_READ)
        rig.access(shared + n * (2 << 20) + (va & 0x1FF000), TLB_READ)
    for n, va in enumerate(vas):
        rig.store(WINDOW + n * 4096 + Tables.slot(va, 1) * 8, pte(BASE_GFN + 151, LEAF))
    assert rig.field("unsync_pages") == links
    rig.sfence()
    assert (rig.field("unsync_pages"), rig.field("syncs")) == (0, links)
    for va in vas:
        assert rig.access(va, TLB_READ)[1] >> 12 == int(rig.backing[151])
