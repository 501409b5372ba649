"""Megapages in random histories: is any right too many, or any page lost, whatever comes in whatever order?"""

from collections import Counter
from typing import ClassVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from megapage_rig import CLEAN, COUNTERS, PAGES, READ_ONLY, REGION, TABLES_AT, WINDOW, at, check, counters
from mmu_rig import BASE_GFN, COMPILED, INTERPRETED, MACHINE, SUPERVISOR, A, D, R, Rig, Tables, W, X, pte

from gnomon.mmu.invalidate import CHANGE_STOPPED, MOVE, TAKE_ZERO, change_frames
from gnomon.mmu.tlb import TLB_EXEC, TLB_READ
from gnomon.mmu.translate import XL_OK, XL_TRACKED
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import KEEP_FREE_PAGES

N_MAX = 40
DESIGNS = ["", "", "", "encoding=levels,guard=fixup", "protector=rmap-bit", "guest-tables=unsync", "pages=small"]


class Megapages(RuleBasedStateMachine):
    """Bare accesses and two guest mappings of the same regions, tracked pages, the log, zap, recycling, on two vCPUs."""

    world = staticmethod(COMPILED)
    met: ClassVar[Counter] = Counter()

    @initialize(design=st.sampled_from(DESIGNS), moving=st.sampled_from([False, False, False, True]))
    def build(self, design, moving):
        self.rig = rig = Rig(PAGES, 2, n_max=N_MAX, world=self.world, design=design)
        self.moving = moving
        self.tables = Tables(rig, TABLES_AT)
        self.tables.map(WINDOW, 0, 1 | R | W | X | A | D, level=2)
        self.tables.map(WINDOW + (2 << 20), REGION, READ_ONLY, level=2)
        self.tables.map(WINDOW + (4 << 20), REGION, CLEAN, level=2)
        self.tables.table(WINDOW + (6 << 20), 1)  # a guest table whose leaves lie anywhere
        self.windows = [(0, True), (REGION, False), (REGION, True)]
        self.tables_made = 0
        self.memory: dict[int, int] = {}
        self.owed: set[int] = set()
        self.logging = False

    def as_guest(self, n, guest):
        self.rig.context(SUPERVISOR if guest else MACHINE, self.tables.satp, v=self.rig.vcpus[n])

    @rule(n=st.integers(0, 1), page=st.integers(0, 2 * REGION - 1) | st.sampled_from([0, 511, 512]), value=st.integers(1, 1 << 30))
    def store(self, n, page, value):
        self.as_guest(n, False)
        status = self.rig.store(at(page), value, self.rig.vcpus[n])
        self.stored(status, page, value)

    @rule(n=st.integers(0, 1), window=st.integers(0, 2), page=st.integers(0, REGION - 1), value=st.integers(1, 1 << 30))
    def store_as_guest(self, n, window, page, value):
        self.as_guest(n, True)
        first, writable = self.windows[window]
        status = self.rig.store(WINDOW + window * (2 << 20) + page * 4096, value, self.rig.vcpus[n])
        if writable:
            self.stored(status, first + page, value)
        else:
            assert status not in (XL_OK, XL_TRACKED), "a store through a read-only mapping"

    def stored(self, status, page, value):
        tracked = int(self.rig.words[self.rig.field("tracked") + page])
        assert status == (XL_TRACKED if tracked else XL_OK)
        self.memory[page] = value
        assert self.rig.peek(page, 0) == value
        self.owed.add(page)

    @rule(n=st.integers(0, 1), guest=st.booleans(), page=st.integers(0, 2 * REGION - 1), kind=st.sampled_from([TLB_READ, TLB_EXEC]))
    def load(self, n, guest, page, kind):
        self.as_guest(n, guest)
        found = self.rig.access(WINDOW + page * 4096 if guest else at(page), kind, self.rig.vcpus[n])
        assert found == (XL_OK, int(self.rig.backing[page]) << 12)

    @rule(page=st.integers(0, 2 * REGION - 1))
    def make_a_guest_table(self, page):
        """The guest's spare level-1 table maps `page`, and another root uses `page` as a table."""
        if self.tables_made < 3 and page not in self.memory:
            self.tables_made += 1
            slot = 100 + self.tables_made
            root = self.tables.root
            self.rig.context(MACHINE)
            assert self.rig.store(at(root) + slot * 8, pte(BASE_GFN + page, 1)) in (XL_OK, XL_TRACKED)
            self.rig.context(SUPERVISOR, self.tables.satp)
            self.rig.access((slot << 30) if slot < 256 else 0, TLB_READ)
            assert self.rig.words[self.rig.field("tracked") + page] == 1
            self.owed.add(root)

    @rule(scarce=st.booleans())
    def toggle(self, scarce):
        """The log off, or on; scarce: with no table to split into but one that is there already."""
        if self.logging:
            self.rig.disable()
        else:
            self.rig.words[self.rig.vm + VM.n_max] = self.rig.field("n_used") + KEEP_FREE_PAGES - 1 if scarce else N_MAX
            self.rig.enable()
            self.rig.words[self.rig.vm + VM.n_max] = N_MAX
            self.owed = set(np.flatnonzero(self.rig.backing).tolist())
        self.logging = not self.logging

    @rule()
    def harvest(self):
        if self.logging:
            taken = self.rig.take()
            assert self.owed <= taken, f"stores that the log does not have: {self.owed - taken}"
            self.owed = set()

    @rule(count=st.integers(1, 8))
    def recycle(self, count):
        self.rig.recycle(count)

    @rule(first=st.integers(0, 2 * REGION - 4), count=st.integers(1, 4), how=st.sampled_from([MOVE, TAKE_ZERO]))
    def change_frames(self, first, count, how):
        """The host moves pages, or takes back those that are zero: a region whose frames are not in a row is never large again."""
        if self.moving:
            assert self.rig.call(change_frames, self.rig.vm, self.rig.t, first, first + count, how) < CHANGE_STOPPED

    @invariant()
    def all_is_as_it_should_be(self):
        if hasattr(self, "rig"):
            check(self.rig)

    def teardown(self):
        if hasattr(self, "rig"):
            for page, value in self.memory.items():
                assert self.rig.peek(page, 0) == value
            self.met.update({name: value for name, value in counters(self.rig).items() if value})
            self.rig.clean()


class InterpretedMegapages(Megapages):
    world = staticmethod(INTERPRETED)


_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestIsAnyRightTooManyOrAnyPageLost = Megapages.TestCase
TestIsAnyRightTooManyOrAnyPageLost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=_quiet)
TestIsItTheSameInterpreted = InterpretedMegapages.TestCase
TestIsItTheSameInterpreted.settings = settings(max_examples=3, stateful_step_count=20, deadline=None, suppress_health_check=_quiet)


def test_does_the_machine_meet_everything():
    """A history without a split, a failed one and a recovery would prove nothing."""
    Megapages.met.clear()
    sought = settings(TestIsAnyRightTooManyOrAnyPageLost.settings, max_examples=30, derandomize=True, database=None)
    run_state_machine_as_test(Megapages, settings=sought)
    assert set(COUNTERS) <= set(Megapages.met)
