"""Sv39 shadowing: does every access get what a naive walk of the guest's own tables says, at every moment?

The model is a page-table walker of thirty lines over guest RAM, written from the specification (Privileged, "Sv39", steps 1-10, with
A and D set by the machine), and knows nothing of shadow pages.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from mmu_rig import (
    BASE,
    BASE_GFN,
    COMPILED,
    INTERPRETED,
    SUPERVISOR,
    USER,
    A,
    D,
    G,
    R,
    Rig,
    Tables,
    U,
    W,
    X,
    both_worlds,
    pte,
    satp,
)

from gnomon.lang import PAGE_WORDS
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE
from gnomon.mmu.translate import XL_ACCESS_FAULT, XL_MMIO, XL_OK, XL_PAGE_FAULT
from gnomon.mmu.vcpu import VCPU

V = 1
LEAF = V | R | W | X | A | D
TABLE_PAGES = 6  # pages 0 … 5 are tables (root 0), any of them may point to any
DATA_PAGES = 8  # pages 6 … 13 are data
PAGES = TABLE_PAGES + DATA_PAGES
WINDOW = 0x3F_C000_0000  # the root's entry 255: an identity window on all of it, never edited: tables are written through it


def naive(rig, root: int, va: int, access: int, user: bool, sum_: bool, mxr: bool):
    """What the specification says: (status, gpa or None, PTE address to update, PTE after A/D)."""
    if (va << 25 & (1 << 64) - 1) >> 63 != (va >> 38) & 1 or any(((va >> n) & 1) != ((va >> 38) & 1) for n in range(39, 64)):
        return XL_PAGE_FAULT, None, None, None
    table = root
    for level in (2, 1, 0):
        if not 0 <= table < rig.pages:
            return XL_ACCESS_FAULT, None, None, None
        slot = (va >> (12 + 9 * level)) & 511
        entry = rig.peek(table, slot) & (1 << 64) - 1
        if not entry & V or (entry & W and not entry & R) or entry >> 54:
            return XL_PAGE_FAULT, None, None, None
        ppn = (entry >> 10) & (1 << 44) - 1
        if entry & (R | X):
            break
        if entry & (A | D | U) or level == 0:
            return XL_PAGE_FAULT, None, None, None
        table = ppn - BASE_GFN
    if ppn & ((1 << 9 * level) - 1):
        return XL_PAGE_FAULT, None, None, None
    if user != bool(entry & U) and (user or access == TLB_EXEC or not sum_):
        return XL_PAGE_FAULT, None, None, None
    allowed = {TLB_READ: entry & R or (mxr and entry & X), TLB_WRITE: entry & W, TLB_EXEC: entry & X}[access]
    if not allowed:
        return XL_PAGE_FAULT, None, None, None
    after = entry | A | (D if access == TLB_WRITE else 0)
    span = (1 << 12 + 9 * level) - 1
    gpa = (ppn << 12) + (va & span)
    return (XL_OK if 0 <= (gpa >> 12) - BASE_GFN < rig.pages else XL_MMIO), gpa, (table, slot), after


def canonical(va):
    return va if va < 1 << 38 else va - (1 << 39)


ADDRESSES = st.builds(
    lambda two, one, zero, offset: canonical(two << 30 | one << 21 | zero << 12 | offset * 8),
    st.sampled_from([0, 1, 2, 256]),
    st.sampled_from([0, 1, 511]),
    st.integers(0, PAGES - 1) | st.just(511),
    st.integers(0, 511),
)
TARGETS = st.integers(BASE_GFN, BASE_GFN + PAGES - 1) | st.sampled_from([BASE_GFN - 1, BASE_GFN + PAGES, 0, BASE_GFN & ~0x3FFFF])
FLAGS = st.sampled_from(
    [V, V | G, LEAF, LEAF | U, V | R, V | X | A, V | R | W, V | R | W | U, V | W, 0, V | A, V | R | U | A]
) | st.integers(0, 1023)
HIGH = st.sampled_from([0] * 12 + [1 << 54, 1 << 61, 1 << 63])
ENTRIES = st.builds(lambda gfn, flags, high: pte(gfn, flags) | high, TARGETS, FLAGS, HIGH)
SLOTS = st.sampled_from([0, 1, 2, 256, 511]) | st.integers(0, PAGES - 1)


def signed(word):
    return word - (1 << 64) if word >> 63 else word


class ShadowMachine(RuleBasedStateMachine):
    """Random tables, accesses, edits through tracked stores, fences, context switches and reclaim, on two vCPUs."""

    world = staticmethod(COMPILED)

    @initialize(regime=st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def build(self, regime):
        self.rig = Rig(PAGES, 2, n_max=64, world=self.world)
        for index in range(PAGES):
            self.rig.back(index)
        self.rig.poke(0, 255, pte(BASE_GFN & ~0x3FFFF, LEAF))  # 1 GiB leaf: guest RAM lies in it at the same offset
        self.modes = [None, None]
        for n in range(2):
            self.switch(n, 0, *regime)

    @rule(n=st.integers(0, 1), root=st.integers(0, 1), user=st.booleans(), sum_=st.booleans(), mxr=st.booleans())
    def switch(self, n, root, user, sum_, mxr):
        self.modes[n] = (root, user, sum_, mxr)
        self.rig.context(USER if user else SUPERVISOR, satp(BASE_GFN + root), sum_ | mxr << 1, v=self.rig.vcpus[n])

    @rule(n=st.integers(0, 1), va=ADDRESSES, access=st.sampled_from([TLB_READ, TLB_WRITE, TLB_EXEC]))
    def access(self, n, va, access):
        rig, v = self.rig, self.rig.vcpus[n]
        root, *mode = self.modes[n]
        expected, gpa, where, after = naive(rig, root, va & (1 << 64) - 1, access, *mode)
        status, at = rig.access(va, access, v)
        assert status == expected, (hex(va), status, expected)
        if status == XL_OK:
            pfn = int(rig.backing[(gpa >> 12) - BASE_GFN])
            assert at == (pfn << 12) + (gpa & 4095)
        if status == XL_MMIO:
            assert int(rig.words[v + VCPU.fault_gpa]) == gpa
        if where and status == XL_OK and not self.is_table_leaf(gpa, access):
            assert rig.peek(*where) & (1 << 64) - 1 == after, "A or D was not written back"

    def is_table_leaf(self, gpa, access):
        return False

    @rule(table=st.integers(0, TABLE_PAGES - 1), slot=SLOTS, entry=ENTRIES, n=st.integers(0, 1), whole=st.booleans())
    def edit(self, table, slot, entry, n, whole):
        """A store to a table by a hart in the window's address space, then SFENCE.VMA on both."""
        if table == 0 and slot == 255:
            return
        self.put(n, table, slot, signed(entry))
        for v in self.rig.vcpus:
            self.rig.sfence(v=v)

    @rule(data=st.data(), level=st.integers(1, 3), page=st.integers(TABLE_PAGES, PAGES - 1), flags=FLAGS, n=st.integers(0, 1))
    def map_one(self, data, level, page, flags, n):
        """A sane mapping: walks that succeed, so that there is something to be stale."""
        two, one, zero = data.draw(st.sampled_from([0, 1, 256])), data.draw(st.sampled_from([0, 1])), data.draw(st.integers(0, PAGES - 1))
        self.put(n, 0, two, pte(BASE_GFN + 1 + two % 2, V))
        if level == 3:
            self.put(n, 0, two, pte(BASE_GFN & ~0x3FFFF, flags | V | R))
        elif level == 2:
            self.put(n, 1 + two % 2, one, pte(BASE_GFN & ~0x1FF, flags | V | R))
        else:
            self.put(n, 1 + two % 2, one, pte(BASE_GFN + 3 + one, V))
            self.put(n, 3 + one, zero, pte(BASE_GFN + page, flags | V | R))
        for v in self.rig.vcpus:
            self.rig.sfence(v=v)

    def put(self, n, table, slot, value):
        rig, v = self.rig, self.rig.vcpus[n]
        rig.context(SUPERVISOR, satp(BASE_GFN), 0, v=v)
        va = WINDOW + (BASE & 0x3FFF_FFFF) + table * 4096 + slot * 8
        rig.store(va, value, v)
        assert rig.peek(table, slot) == value
        root, user, sum_, mxr = self.modes[n]
        rig.context(USER if user else SUPERVISOR, satp(BASE_GFN + root), sum_ | mxr << 1, v=v)

    @precondition(lambda self: hasattr(self, "rig"))
    @rule(count=st.integers(1, 30))
    def recycle(self, count):
        self.rig.recycle(count)

    @rule()
    def harvest(self):
        if not self.rig.field("logging"):
            self.rig.enable()
        self.rig.take()

    def teardown(self):
        if hasattr(self, "rig"):
            self.rig.clean()


class InterpretedShadowMachine(ShadowMachine):
    world = staticmethod(INTERPRETED)


_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestIsATableEverSilentlyStale = ShadowMachine.TestCase
TestIsATableEverSilentlyStale.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=_quiet)
TestIsItTheSameInterpreted = InterpretedShadowMachine.TestCase
TestIsItTheSameInterpreted.settings = settings(max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=_quiet)


@pytest.mark.parametrize("access", [TLB_READ, TLB_WRITE, TLB_EXEC])
def test_is_a_non_canonical_address_a_page_fault(access):
    """Also when its low 39 bits are mapped and writable, where a walk that only looks at those would fix it for ever."""
    rig = Rig(64)
    tables = Tables(rig, 10)
    tables.map(5 << 30, 40)
    rig.context(SUPERVISOR, tables.satp)
    assert rig.access(5 << 30, access)[0] == XL_OK
    for high in (1 << 39, 1 << 63, -1 << 40):
        va = (5 << 30 | high) if high < 1 << 63 else (5 << 30 | high) - (1 << 64)
        assert rig.access(va, access)[0] == XL_PAGE_FAULT


@both_worlds
def test_is_a_store_seen_through_every_alias_and_logged_once_a_harvest(world):
    """Twenty aliases of a page: after a harvest the first store through any of them is a fault, and dirties the one page."""
    rig = Rig(128, world=world)
    tables = Tables(rig, 60)
    for alias in range(20):
        tables.map((1 << 30) + alias * (2 << 20), 5)
    rig.context(SUPERVISOR, tables.satp)
    rig.enable()
    for alias in range(20):
        rig.store((1 << 30) + alias * (2 << 20), alias)
    rig.take()
    for alias in range(20):
        rig.store((1 << 30) + alias * (2 << 20) + 8, alias)
        assert rig.take() == {5}
        assert rig.peek(5, 1) == alias
    assert rig.count("fast_faults") == 20


def test_is_the_abi_of_the_model_that_of_the_mmu():
    """The constants the naive walker was written with."""
    assert (PAGE_WORDS, LEAF) == (512, 0xCF)
