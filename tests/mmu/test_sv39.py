"""Sv39 shadowing: does every access get what a naive walk of the guest's own tables says, as far as the architecture lets a hart be late?

The model is a page-table walker of thirty lines over guest RAM, written from the specification (Privileged, "Sv39", steps 1-10, with
A and D set by the machine), and knows nothing of shadow pages. At each level it may take any value that the entry has held
since the hart's last SFENCE.VMA, and no other: with none since, the outcome is one.
"""

from collections import Counter, defaultdict
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
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
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ, TLB_WRITE
from gnomon.mmu.translate import XL_ACCESS_FAULT, XL_MMIO, XL_OK, XL_PAGE_FAULT, XL_TRACKED
from gnomon.mmu.vcpu import VCPU

V = 1
LEAF = V | R | W | X | A | D
TABLE_PAGES = 6  # pages 0 … 5 are tables (root 0), any of them may point to any
DATA_PAGES = 8  # pages 6 … 13 are data
PAGES = TABLE_PAGES + DATA_PAGES
WINDOW = 0x3F_C000_0000  # the root's entry 255: an identity window on all of it, never edited: tables are written through it


PAGE_FAULT = (XL_PAGE_FAULT, None, None, None)


def naive(rig, held, root: int, va: int, access: int, user: bool, sum_: bool, mxr: bool):
    """What the specification allows: (status, gpa or None, PTE to update, PTE after A/D) of each walk, the one with present values first.

    `held` has the values of each (table, slot) that the hart may still know."""
    va &= (1 << 64) - 1
    if any(((va >> n) & 1) != ((va >> 38) & 1) for n in range(39, 64)):
        yield PAGE_FAULT
    else:
        yield from descend(rig, held, root, 2, va, access, user, sum_, mxr)


def descend(rig, held, table, level, va, access, *mode):
    """naive() from the table of `level` down."""
    if not 0 <= table < rig.pages:
        yield XL_ACCESS_FAULT, None, None, None
        return
    where = table, (va >> (12 + 9 * level)) & 511
    now = rig.peek(*where) & (1 << 64) - 1
    for entry in (now, *sorted(held.get(where, set()) - {now})):
        if not entry & V or (entry & W and not entry & R) or entry >> 54:
            yield PAGE_FAULT
        elif entry & (R | X):
            yield leaf(rig, where, entry, level, va, access, *mode)
        elif entry & (A | D | U) or level == 0:
            yield PAGE_FAULT
        else:
            yield from descend(rig, held, ((entry >> 10) & (1 << 44) - 1) - BASE_GFN, level - 1, va, access, *mode)


def leaf(rig, where, entry, level, va, access, user, sum_, mxr):
    """What a leaf entry says."""
    ppn = (entry >> 10) & (1 << 44) - 1
    if ppn & ((1 << 9 * level) - 1):
        return PAGE_FAULT
    if user != bool(entry & U) and (user or access == TLB_EXEC or not sum_):
        return PAGE_FAULT
    allowed = {TLB_READ: entry & R or (mxr and entry & X), TLB_WRITE: entry & W, TLB_EXEC: entry & X}[access]
    if not allowed:
        return PAGE_FAULT
    after = entry | A | (D if access == TLB_WRITE else 0)
    span = (1 << 12 + 9 * level) - 1
    gpa = (ppn << 12) + (va & span)
    return (XL_OK if 0 <= (gpa >> 12) - BASE_GFN < rig.pages else XL_MMIO), gpa, where, after


def canonical(va):
    return va if va < 1 << 38 else va - (1 << 39)


ADDRESSES = st.builds(
    lambda two, one, zero, offset: canonical(two << 30 | one << 21 | zero << 12 | offset * 8),
    st.sampled_from([0, 0, 0, 1, 1, 2, 256]),
    st.sampled_from([0, 0, 0, 1, 511]),
    st.integers(0, PAGES - 1),
    st.integers(0, 511),
)
ACCESSES = st.tuples(st.integers(0, 1), ADDRESSES, st.sampled_from([TLB_READ, TLB_READ, TLB_WRITE, TLB_WRITE, TLB_EXEC]))
TARGETS = st.integers(BASE_GFN, BASE_GFN + PAGES - 1) | st.sampled_from([BASE_GFN, BASE_GFN - 1, BASE_GFN + PAGES, 0])
_USUAL = [V, V, LEAF, LEAF, LEAF | U, LEAF & ~(A | D), LEAF & ~D, V | R | A, V | X | A, V | R | W]
_ODD = [0, V | G, V | W, V | A, V | D, V | U, V | R | U | A, V | X | U]
FLAGS = st.sampled_from(_USUAL) | st.sampled_from(_USUAL) | st.sampled_from(_ODD) | st.integers(0, 1023)
HIGH = st.sampled_from([0] * 20 + [1 << 54, 1 << 61, 1 << 63])
ENTRIES = st.builds(lambda gfn, flags, high: pte(gfn, flags) | high, TARGETS, FLAGS, HIGH)
SLOTS = st.sampled_from([0, 0, 0, 1, 1, 2, 256]) | st.integers(0, PAGES - 1)
EDITS = st.tuples(st.sampled_from([0, 1, 1, 2, 2, 3, 3, 3, 4, 5]), SLOTS, ENTRIES)
MODES = st.tuples(st.sampled_from([0, 0, 0, 0, 1]), st.booleans(), st.booleans(), st.booleans())


def signed(word):
    return word - (1 << 64) if word >> 63 else word


class ShadowMachine(RuleBasedStateMachine):
    """Random tables, accesses, edits by stores of the guest, fences, context switches and reclaim, on two vCPUs."""

    world = staticmethod(COMPILED)
    design = "guest-tables=unsync"
    met: ClassVar[Counter] = Counter()

    @initialize(modes=st.tuples(MODES, MODES))
    def build(self, modes):
        self.rig = Rig(PAGES, 2, n_max=64, world=self.world, design=self.design)
        self.held = [defaultdict(set), defaultdict(set)]  # by vCPU: values that entries had since its last fence
        for index in range(PAGES):
            self.rig.back(index)
        poke = self.rig.poke
        poke(0, 255, pte(BASE_GFN, LEAF))  # WINDOW, a 1 GiB leaf: guest RAM lies in it at the same offset
        poke(0, 0, pte(BASE_GFN + 1, V))
        poke(0, 1, pte(BASE_GFN + 2, V))
        poke(0, 2, pte(BASE_GFN, LEAF | U))
        poke(1, 0, pte(BASE_GFN + 3, V))
        poke(1, 1, pte(BASE_GFN + 4, V))
        poke(2, 0, pte(BASE_GFN, LEAF))
        for page in range(PAGES):
            poke(3, page, pte(BASE_GFN + page, LEAF | (U if page & 1 else 0)))
            poke(4, page, pte(BASE_GFN + PAGES - 1 - page, V | R | W | X))
        self.modes = list(modes)
        for n in range(2):
            self.set_mode(n)

    def set_mode(self, n):
        root, user, sum_, mxr = self.modes[n]
        self.rig.context(USER if user else SUPERVISOR, satp(BASE_GFN + root), sum_ | mxr << 1, v=self.rig.vcpus[n])

    @rule(n=st.integers(0, 1), mode=MODES)
    def switch(self, n, mode):
        self.modes[n] = mode
        self.set_mode(n)

    @rule(accesses=st.lists(ACCESSES, min_size=3, max_size=20))
    def access(self, accesses):
        for n, va, access in accesses:
            self.access_once(n, va, access)

    def access_once(self, n, va, access):
        rig, v = self.rig, self.rig.vcpus[n]
        allowed = list(naive(rig, self.held[n], self.modes[n][0], va, access, *self.modes[n][1:]))
        where, after = allowed[0][2:]
        before = self.entry(where)
        status, at = rig.access(va, access, v)
        self.met[status] += 1
        places = [gpa for expected, gpa, *_ in allowed if expected == (XL_OK if status == XL_TRACKED else status)]
        assert places, (hex(va), status, allowed)
        if status in (XL_MMIO, XL_TRACKED):
            assert int(rig.words[v + VCPU.fault_gpa]) in places
        if status == XL_TRACKED:
            assert access == TLB_WRITE
            assert rig.words[rig.field("tracked") + (int(rig.words[v + VCPU.fault_gpa]) >> 12) - BASE_GFN]
        elif status == XL_OK:
            reached = {(int(rig.backing[(gpa >> 12) - BASE_GFN]) << 12) + (gpa & 4095): (gpa >> 12) - BASE_GFN for gpa in places}
            assert at in reached
            assert access != TLB_WRITE or rig.may_be_stored_to(reached[at]), "a store to a guest table goes by unseen"
        if after is not None:
            assert self.entry(where) == after or (len(allowed) > 1 and self.entry(where) == before), "A or D was not written back"
            self.remember(where, before)

    def entry(self, where):
        """The entry of a guest table, as an unsigned word."""
        return where and self.rig.peek(*where) & (1 << 64) - 1

    def remember(self, where, before):
        """What an entry held before it changed may be used by both harts until they fence."""
        if self.entry(where) != before:
            for held in self.held:
                held[where].add(before)

    def fence(self, n):
        self.rig.sfence(v=self.rig.vcpus[n])
        self.held[n].clear()

    @invariant()
    def marks_are_exact(self):
        """U1, U4: a bit for each link to an unsync page or to a page with bits, and for nothing else."""
        if not hasattr(self, "rig"):
            return
        words, pages = self.rig.words, self.rig.shadow_pages()
        owners = {int(words[sp + SP.table]): sp for sp in pages}
        unsync = {sp for sp in pages if words[sp + SP.unsync]}
        assert len(unsync) == self.rig.field("unsync_pages")
        assert all(words[sp + SP.role] & 7 == 1 for sp in unsync)
        for sp in pages:
            bits = {n for n in range(512) if int(words[sp + SP.unsync_bitmap + n // 64]) >> (n % 64) & 1}
            assert len(bits) == words[sp + SP.unsync_children]
            table, level = int(words[sp + SP.table]), int(words[sp + SP.role]) & 3
            links = {n: int(words[table + n]) >> 12 << 9 for n in np.flatnonzero(words[table : table + 512]).tolist()} if level > 1 else {}
            below = {n: owners[table] for n, table in links.items()}
            assert bits == {n for n, child in below.items() if child in unsync or words[child + SP.unsync_children]}

    @rule(edits=st.lists(EDITS, min_size=1, max_size=4), n=st.integers(0, 1), after=st.lists(ACCESSES, max_size=8))
    def edit(self, edits, n, after):
        """Stores to tables by a hart in the window's address space, SFENCE.VMA on both, and a look at what that changed."""
        for table, slot, entry in edits:
            if table or slot != 255:
                self.put(n, table, slot, signed(entry))
        for hart in range(2):
            self.fence(hart)
        self.access(after)

    @rule(edits=st.lists(EDITS, min_size=1, max_size=3), n=st.integers(0, 1), after=st.lists(ACCESSES, min_size=1, max_size=8))
    def edit_without_fence(self, edits, n, after):
        """What a hart knew may still be used, what it can know by now may be used too, anything else not."""
        for table, slot, entry in edits:
            if table or slot != 255:
                self.put(n, table, slot, signed(entry))
        self.access(after)

    @rule(n=st.integers(0, 1), after=st.lists(ACCESSES, max_size=6))
    def fence_one(self, n, after):
        """One hart fences: it is up to date, the other need not be."""
        self.fence(n)
        self.access(after)

    @rule(n=st.integers(0, 1), after=st.lists(ACCESSES, max_size=6))
    def fence_the_other(self, n, after):
        """A fence asked of the other hart through SBI."""
        self.rig.remote_fence(self.rig.vcpus[n], 1 - n)
        self.held[1 - n].clear()
        self.access(after)

    @rule(
        slot=st.integers(0, PAGES - 1),
        n=st.integers(0, 1),
        page=st.integers(0, PAGES - 1),
        flags=FLAGS,
        how=st.sampled_from(["whole", "whole elsewhere", "remote", "address"]),
    )
    def remap_and_fence(self, slot, n, page, flags, how):
        """A leaf of a 4 KiB table that is in use changes. A fence of each hart makes both see it, in whatever root it stands."""
        for hart in range(2):
            self.fence(hart)
        kinds = [TLB_READ, TLB_WRITE, TLB_EXEC]
        self.access([(hart, slot << 12, access) for hart in (0, 1) for access in kinds])
        self.put(n, 3, slot, pte(BASE_GFN + page, flags | V | R))
        for hart, v in enumerate(self.rig.vcpus):
            if how == "whole elsewhere":
                self.rig.context(SUPERVISOR, satp(BASE_GFN + 5), v=v)
            if how == "remote":
                self.rig.remote_fence(self.rig.vcpus[1 - hart], hart)
            elif how == "address":
                for va in (slot << 12, canonical(256 << 30) + (slot << 12)):
                    self.rig.sfence(va, 1, v=v)
            else:
                self.rig.sfence(v=v)
            self.set_mode(hart)
        if how != "address" or self.rig.peek(1, 0) & 0x3FF == V:
            self.forget()
            self.access([(hart, slot << 12, access) for hart in (0, 1) for access in kinds])
        for hart in range(2):
            self.fence(hart)

    def forget(self):
        """Both harts know what the tables hold now and nothing else."""
        for held in self.held:
            held.clear()

    def put(self, n, table, slot, value):
        rig, v = self.rig, self.rig.vcpus[n]
        rig.context(SUPERVISOR, satp(BASE_GFN), 0, v=v)
        va = WINDOW + (BASE & 0x3FFF_FFFF) + table * 4096 + slot * 8
        before = self.entry((table, slot))
        rig.store(va, value, v)
        assert rig.peek(table, slot) == value
        self.remember((table, slot), before)
        self.set_mode(n)

    @rule(count=st.integers(1, 30))
    def recycle(self, count):
        self.rig.recycle(count)

    @rule()
    def harvest(self):
        if not self.rig.field("logging"):
            self.rig.enable()
        self.rig.take()

    def teardown(self):
        if hasattr(self, "rig") and "untracked" not in self.design:
            self.rig.clean()


class InterpretedShadowMachine(ShadowMachine):
    world = staticmethod(INTERPRETED)


class TrackedShadowMachine(ShadowMachine):
    design = ""


class UntrackedShadowMachine(ShadowMachine):
    design = "guest-tables=untracked"


_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestIsATableEverSilentlyStale = ShadowMachine.TestCase
TestIsATableEverSilentlyStale.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=_quiet)
TestIsItSoWhenEveryStoreIsEmulated = TrackedShadowMachine.TestCase
TestIsItSoWhenEveryStoreIsEmulated.settings = settings(TestIsATableEverSilentlyStale.settings, max_examples=40)
TestIsItTheSameInterpreted = InterpretedShadowMachine.TestCase
TestIsItTheSameInterpreted.settings = settings(max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=_quiet)


def test_would_a_stale_table_be_noticed():
    """The same machine finds the design that does not write-protect guest tables (E1, K1)."""
    sought = settings(TestIsATableEverSilentlyStale.settings, max_examples=200, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(UntrackedShadowMachine, settings=sought)


def test_does_the_machine_meet_every_outcome():
    """A state machine whose accesses all fault would prove nothing."""
    ShadowMachine.met.clear()
    sought = settings(TestIsATableEverSilentlyStale.settings, max_examples=100, derandomize=True, database=None)
    run_state_machine_as_test(ShadowMachine, settings=sought)
    assert set(ShadowMachine.met) == {XL_OK, XL_MMIO, XL_PAGE_FAULT, XL_ACCESS_FAULT, XL_TRACKED}


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
