"""rmap: is it the multiset it says it is, in both worlds, and does a walk see every entry?"""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mmu_rig import COMPILED, INTERPRETED, Rig, both_worlds

from gnomon.mmu.rmap import (
    CHANGED_MASK,
    DESC,
    DESC_SPTES,
    PROTECT_DIRTY,
    PROTECT_TABLE,
    RESTARTS_SHIFT,
    rmap_add,
    rmap_remove,
    rmap_top_up,
    rmap_walk,
    spte_protect,
)
from gnomon.mmu.spte import (
    ACCESS_ALL,
    ACCESSED,
    HOST_WRITABLE,
    LARGE,
    LEVEL_SHIFT,
    MMU_WRITABLE,
    PRESENT,
    READABLE,
    WRITABLE,
    make_leaf,
    make_nonleaf,
)

HEADS, SPTES = 3, 60
LEAF = int(make_leaf.py_func(77 << 12, ACCESS_ALL))


class Rmaps:
    """Three rmaps over one table of sptes, in one world."""

    def __init__(self, world):
        self.rig = Rig(64, world=world)
        self.table = self.rig.static(512)
        self.heads = self.rig.field("rmap")

    def add(self, head, n):
        self.rig.words[self.table + n] = LEAF
        assert self.rig.call(rmap_top_up, self.rig.v, self.rig.t) == 0
        self.rig.call(rmap_add, self.rig.v, self.heads + head, self.table + n)

    def remove(self, head, n):
        self.rig.words[self.table + n] = 0
        return self.rig.call(rmap_remove, self.rig.t, self.heads + head, self.table + n)

    def walk(self, head, kind=PROTECT_DIRTY):
        return self.rig.call(rmap_walk, self.rig.vm, self.heads + head, kind)

    def entries(self, head):
        """Entries read from the words, and the shape rules: full tails, a marker that names the head, zeroes behind the count."""
        words, found = self.rig.words, []
        value = int(words[self.heads + head])
        if value & 1 == 0:
            return [value >> 1] if value else []
        link, first = value ^ 1, True
        while link & 1 == 0:
            desc = link >> 1
            count = int(words[desc + DESC.count])
            assert count == DESC_SPTES or (first and 0 < count < DESC_SPTES)
            slots = [int(x) for x in words[desc + DESC.sptes : desc + DESC.sptes + DESC_SPTES]]
            assert all(slots[:count]) and not any(slots[count:])
            found += slots[:count]
            link, first = int(words[desc + DESC.more]), False
        assert link == (self.heads + head) << 1 | 1
        return found


class RmapMachine(RuleBasedStateMachine):
    """Random adds, removals and walks against Python lists, compiled and interpreted at once."""

    @initialize()
    def build(self):
        self.worlds = [Rmaps(COMPILED), Rmaps(INTERPRETED)]
        self.model: list[set[int]] = [set() for _ in range(HEADS)]
        self.protected: set[int] = set()

    @rule(head=st.integers(0, HEADS - 1), n=st.integers(0, SPTES - 1))
    def add(self, head, n):
        if not any(n in members for members in self.model):
            for rmaps in self.worlds:
                rmaps.add(head, n)
            self.model[head].add(n)

    @rule(head=st.integers(0, HEADS - 1), first=st.integers(0, SPTES - 1), count=st.integers(1, 30))
    def add_many(self, head, first, count):
        for n in range(first, min(SPTES, first + count)):
            self.add(head, n)

    @rule(head=st.integers(0, HEADS - 1), n=st.integers(0, SPTES - 1))
    def remove(self, head, n):
        there = n in self.model[head]
        if there or not any(n in members for members in self.model):
            for rmaps in self.worlds:
                assert rmaps.remove(head, n) == there
            self.model[head].discard(n)
            self.protected.discard(n)

    @precondition(lambda self: any(self.model))
    @rule(data=st.data())
    def remove_some_of_it(self, data):
        head = data.draw(st.sampled_from([h for h in range(HEADS) if self.model[h]]))
        for n in data.draw(st.lists(st.sampled_from(sorted(self.model[head])), unique=True, max_size=20)):
            self.remove(head, n)

    @rule(head=st.integers(0, HEADS - 1))
    def walk(self, head):
        expected = len(self.model[head] - self.protected)
        for rmaps in self.worlds:
            assert rmaps.walk(head) == expected
        self.protected |= self.model[head]

    @rule(n=st.integers(0, SPTES - 1))
    def fault(self, n):
        if n in self.protected:
            for rmaps in self.worlds:
                rmaps.rig.words[rmaps.table + n] |= WRITABLE
            self.protected.discard(n)

    @invariant()
    def same_entries(self):
        if hasattr(self, "worlds"):
            for head in range(HEADS):
                for rmaps in self.worlds:
                    assert sorted(x - rmaps.table for x in rmaps.entries(head)) == sorted(self.model[head])

    def teardown(self):
        if hasattr(self, "worlds"):
            compiled, interpreted = (rmaps.rig.words for rmaps in self.worlds)
            assert np.array_equal(compiled, interpreted)


TestIsItTheMultisetItSays = RmapMachine.TestCase
TestIsItTheMultisetItSays.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@both_worlds
def test_does_a_walk_clear_only_what_its_kind_says(world):
    """The dirty log takes W of fast-writable leaves; page-table protection takes W and MMU_W, also where W is gone already (I-3)."""
    rmaps = Rmaps(world)
    for n in range(20):
        rmaps.add(0, n)
    spte = lambda n: int(rmaps.rig.words[rmaps.table + n])  # noqa: E731
    assert rmaps.walk(0) == 20
    assert {spte(n) for n in range(20)} == {LEAF & ~WRITABLE}
    assert rmaps.walk(0) == 0
    assert rmaps.walk(0, PROTECT_TABLE) == 20
    assert {spte(n) for n in range(20)} == {LEAF & ~(WRITABLE | MMU_WRITABLE)}


@both_worlds
def test_can_a_walk_ever_hit_a_middle_spte(world):
    """On a reused table the entry may be anything: only a 4 KiB leaf that the host lets write is touched (C10, C11, H2)."""
    rig = Rig(64, world=world)
    at = rig.static(512)
    middle = [int(make_nonleaf.py_func(512 * 9, level)) for level in (2, 3)]
    spared = [0, LEAF & ~PRESENT, LEAF | LARGE, LEAF + (1 << LEVEL_SHIFT), LEAF & ~(HOST_WRITABLE | MMU_WRITABLE | WRITABLE), *middle]
    for word in spared:
        for kind in (PROTECT_DIRTY, PROTECT_TABLE):
            rig.words[at] = word
            assert rig.call(spte_protect, rig.vm, rig.field("rmap"), at, kind, 0) == 0
            assert int(rig.words[at]) == word
    assert READABLE | ACCESSED | PRESENT == LEAF & (READABLE | ACCESSED | PRESENT)


@both_worlds
def test_does_a_walk_give_up_on_a_chain_that_never_ends_right(world):
    """A marker that stays foreign costs RESTART_LIMIT restarts and then -1: the caller takes mmu_lock (Progress)."""
    rmaps = Rmaps(world)
    for n in range(2):
        rmaps.add(0, n)
    desc = int(rmaps.rig.words[rmaps.heads]) >> 1
    rmaps.rig.words[desc + DESC.more] = (rmaps.heads + 1) << 1 | 1
    assert rmaps.walk(0) == -1
    rmaps.rig.words[desc + DESC.more] = rmaps.heads << 1 | 1
    found = rmaps.walk(0)
    assert (found & CHANGED_MASK, found >> RESTARTS_SHIFT) == (0, 0)
