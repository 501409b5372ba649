"""Races of the MMU that real threads meet once in a blue moon, made to happen: one side is stopped at a chosen access (twins), or a
vCPU is simply left where an interrupt could leave it. Deterministic."""

from mmu_rig import BASE, SUPERVISOR, A, D, R, Rig, Tables, W, X, swapped, together

from gnomon.lang import twin
from gnomon.lang.atomics import cmpxchg, store_release
from gnomon.mmu.dirty import harvest
from gnomon.mmu.fast_fault import FAST_FIXED, FAST_NOT, fast_page_fault
from gnomon.mmu.leaf import publish
from gnomon.mmu.rmap import page_rmap_add, rmap_walk
from gnomon.mmu.slot import mark_dirty, mark_frame_dirty
from gnomon.mmu.spte import ACCESSED, DIRTY, MMU_WRITABLE, PRESENT, WRITABLE, make_leaf
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE
from gnomon.mmu.track import zap_entries
from gnomon.mmu.translate import XL_OK
from gnomon.mmu.vcpu import REQ_ROOTS, VCPU, flush_remote_tlbs, guest_enter, guest_exit, request_all
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import hardware_walk, leaf_of
from gnomon.mmu.zap import flush_if_stale


def space(rig, first=10, va=5 << 30, page=40, bits=1 | R | W | X | A | D):
    tables = Tables(rig, first)
    tables.map(va, page, bits)
    rig.back(page)
    rig.context(SUPERVISOR, tables.satp)
    return tables, va


# I-7, deterministically: the harvest comes at each point of the publish


class HarvestBefore:
    """Stands in for accesses: a whole harvest comes before number `stop` of them. `seen` is how many there were."""

    def __init__(self, rig, stop):
        self.rig, self.stop, self.seen = rig, stop, 0

    def __call__(self, real):
        def step(*arguments):
            if self.seen == self.stop:
                self.rig.take()
            self.seen += 1
            return real(*arguments)

        return step


def publish_race(design):
    """Run a whole harvest before each access of a slow fault's publish. Returns where a write would go untracked."""
    lost, stop = [], 0
    while True:
        rig = Rig(64, design=design)
        table = rig.static(512)
        rig.back(3)
        rig.words[rig.vm + VM.logging] = 1
        leaf = int(make_leaf.py_func(int(rig.backing[3]) << 12, R | W))
        count = HarvestBefore(rig, stop)
        steps = {"page_rmap_add": count(twin(page_rmap_add)), "mark_dirty": count(twin(mark_dirty))}
        with swapped(publish, store_release=count(store_release), **steps):
            twin(publish)(rig.m, rig.vm, rig.v, table, 3, leaf)
        if count.seen <= stop:
            return lost
        if int(rig.words[table]) & WRITABLE and 3 not in rig.bits("dirty"):
            lost.append(stop)
        stop += 1


def test_is_spte_rmap_bitmap_the_order_that_loses_nothing():
    """I-7: whenever the harvest comes in between, a writable spte has its dirty bit in the end; with the bit first it has not."""
    assert publish_race("") == []
    assert publish_race("publish=bitmap-first")


def fast_race(design):
    """The same for the fast fault: a harvest before each of cmpxchg and the dirty bit."""
    lost = []
    for stop in (0, 1):
        rig = Rig(64, design=design)
        rig.store(BASE, 1)
        rig.enable()
        rig.take()
        count = HarvestBefore(rig, stop)
        names = {"cmpxchg": count(cmpxchg), "mark_frame_dirty": count(twin(mark_frame_dirty))}
        with swapped(fast_page_fault, **names):
            assert twin(fast_page_fault)(rig.m, rig.v, BASE, TLB_WRITE, 1) == FAST_FIXED
        spte = int(rig.words[leaf_word(rig, BASE)])
        if spte & WRITABLE and 0 not in rig.bits("dirty"):
            lost.append(stop)
    return lost


def leaf_word(rig, va, slot=0):
    return rig.call(leaf_of, rig.words[rig.v + VCPU.root + slot], va, TLB_READ)


def test_does_the_fast_fault_log_after_it_made_the_page_writable():
    """F3: a harvest between the two takes nothing and protects nothing wrongly; the bit comes and is taken by the next."""
    assert fast_race("") == []
    assert fast_race("publish=bitmap-first") == [1]
    assert fast_race("fast-fault=drop-dirty")


def test_does_a_harvest_that_loses_its_cmpxchg_look_again():
    """I-4: between the protector's look and its cmpxchg the walker sets A and D: W still goes, and A and D stay."""
    rig = Rig(64)
    rig.store(BASE, 1)
    rig.enable()
    at = leaf_word(rig, BASE)
    rig.words[at] &= ~(ACCESSED | DIRTY)
    meddled = []

    def meddle(m, word, old, new):
        if word == at and not meddled:
            meddled.append(word)
            rig.words[at] |= ACCESSED | DIRTY
        return cmpxchg(m, word, old, new)

    with swapped(rmap_walk, cmpxchg=meddle):
        assert twin(harvest)(rig.m, rig.t, rig.vm) == 1
    spte = int(rig.words[at])
    assert meddled
    assert spte & (WRITABLE | ACCESSED | DIRTY) == ACCESSED | DIRTY


# Roots and tables that are gone


def test_is_a_root_used_after_its_page_became_something_else():
    """F4: a hart outside guest mode still names a root whose table was freed and whose frame is the guest's own RAM by now.

    The guest has written words there that look like sptes; nothing may follow them."""
    rig = Rig(128, n_max=64)
    tables, va = space(rig)
    assert rig.access(va, TLB_WRITE)[0] == XL_OK
    root = int(rig.words[rig.v + VCPU.root + 1])
    rig.recycle(64)
    rig.recycle(64)
    assert int(rig.words[rig.v + VCPU.requests]) & REQ_ROOTS
    rig.settle()
    victim = rig.static(512)
    rig.words[root : root + 512] = victim << 3 | PRESENT | WRITABLE | 3 << 10
    before = rig.words[victim : victim + 512].copy()
    regime = int(rig.words[rig.v + VCPU.data_regime])
    assert rig.call(fast_page_fault, rig.v, va, TLB_WRITE, regime) in (FAST_NOT, 2)
    assert (rig.words[victim : victim + 512] == before).all()
    assert tables.root == 10


def test_does_a_lockless_walk_take_a_leaf_for_a_table():
    """S-1: the table a walker stands in may be reused for another level inside its read section. The level in the spte stops it:
    else it would read the guest's own RAM as a page table (C11)."""
    rig = Rig(64)
    tables, va = space(rig)
    assert rig.access(va, TLB_WRITE)[0] == XL_OK
    root = int(rig.words[rig.v + VCPU.root + 1])
    frame = int(rig.backing[40]) << 12
    evil = make_leaf.py_func(frame, R | W | X)
    rig.words[frame // 8 : frame // 8 + 512] = evil
    middle = root + ((va >> 30) & 511)
    was = int(rig.words[middle])
    for level_of_entry in (1, 2):
        rig.words[middle] = (evil & ~(3 << 10)) | level_of_entry << 10
        assert rig.call(leaf_of, root, va, TLB_WRITE) == 0
    rig.words[middle] = was
    assert rig.call(leaf_of, root, va, TLB_WRITE) != 0
    assert tables.root == 10


def test_whose_log_gets_the_bit_when_a_table_went_to_another_machine():
    """Two machines share a pool. A's vCPU stands in a table that is freed and reused by B: its cmpxchg hits B's leaf (I-6 across
    machines). B's page did become writable, so B's log must say so."""
    a = Rig(64, n_max=64)
    b = Rig(64, host=a.host)
    for rig in (a, b):
        rig.store(BASE, 1)
        rig.store(BASE + 7 * 4096, 1)
        rig.enable()
        rig.take()
    target = leaf_word(b, BASE + 7 * 4096)
    with swapped(fast_page_fault, leaf_of=lambda *_: target):
        assert twin(fast_page_fault)(a.m, a.v, BASE, TLB_WRITE, 1) == FAST_FIXED
    assert int(b.words[target]) & WRITABLE
    assert b.bits("dirty") == {7}
    assert a.bits("dirty") == set()


# Flushes


def test_can_two_flushes_and_as_many_zaps_hide_a_stale_translation():
    """Z3: a flush that began before some zaps may end after another one did and as many zaps followed. What counts as clean is what the
    flush saw when it began, so those zaps stay counted."""
    rig = Rig(64, 2)
    tables, va = space(rig)
    table = tables.table(va, 1)
    slot = tables.slot(va, 1)

    def zap_one():
        rig.access(va, TLB_READ)
        with rig.locked():
            rig.call(zap_entries, rig.vm, rig.t, table, slot * 8, 8)

    zap_one()
    during = []

    def another_flush_and_a_zap(m, vm, bits):
        if not during:
            during.append(1)
            rig.call(flush_remote_tlbs, vm)
            zap_one()
        return twin(request_all)(m, vm, bits)

    with swapped(flush_remote_tlbs, request_all=another_flush_and_a_zap):
        twin(flush_remote_tlbs)(rig.m, rig.vm)
    flushes = rig.field("remote_flushes")
    rig.call(flush_if_stale, rig.vm, 0)
    assert rig.field("remote_flushes") == flushes + 1, "a zap that the flush did not cover was counted clean"
    rig.call(flush_if_stale, rig.vm, 0)
    assert rig.field("remote_flushes") == flushes + 1


def test_is_a_shadow_page_freed_while_a_hart_may_walk_it():
    """Z2: zapping waits for the hart in guest mode; the table is not anybody else's before it left."""
    rig = Rig(64, 2)
    _, va = space(rig)
    rig.access(va, TLB_WRITE)
    rig.call(guest_enter, rig.v)
    order = []

    def hart():
        regime = int(rig.words[rig.v + VCPU.data_regime])
        while not rig.count("requests"):
            pass
        rig.call(hardware_walk, rig.v, va, TLB_READ, regime)  # the old tables or none, never another's
        order.append("left")
        rig.call(guest_exit, rig.v)

    def zapper():
        rig.recycle(64)
        order.append("freed")

    together(hart, zapper)
    assert order == ["left", "freed"]


def test_is_a_page_writable_by_dirty_log_bits_when_it_becomes_a_table():
    """I-3: W is gone for the dirty log but MMU_W is not, and a TLB may hold W: page-table protection must flush, and take MMU_W."""
    rig = Rig(64)
    tables, va = space(rig)
    tables.map(va + 4096, 30, 1 | R | W | A | D)  # page 30 is data now …
    rig.enable()
    rig.store(va + 4096, 0)
    rig.take()
    flushes = rig.field("remote_flushes")
    rig.poke(tables.root, 7, (0x80000 + 30) << 10 | 1)  # … and a table of another region
    assert rig.access(7 << 30, TLB_READ)[0] == 2
    assert rig.field("remote_flushes") > flushes
    assert rig.store(va + 4096, 0) == 4  # XL_TRACKED
    at = rig.call(leaf_of, rig.words[rig.v + VCPU.root + 1], va + 4096, TLB_READ)
    assert int(rig.words[at]) & (WRITABLE | MMU_WRITABLE) == 0
