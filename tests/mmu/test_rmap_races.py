"""rmap: a lockless walk that is stopped before every one of its accesses while a writer does something whole. R-1 … R-6, one by one.

Deterministic: the walk is the interpreted twin, and its load_acquire runs the writer's step (compiled, as under mmu_lock) once, at the
chosen access. Every access of the walk is tried.
"""

import pytest
from mmu_rig import COMPILED, INTERPRETED, swapped
from test_rmap import LEAF, Rmaps

from gnomon.lang import twin
from gnomon.lang.atomics import load_acquire
from gnomon.mmu.designs import parse
from gnomon.mmu.dirty import harvest
from gnomon.mmu.rmap import DESC, DESC_SPTES, PROTECT_DIRTY, RESTART_LIMIT, RESTARTS_SHIFT, rmap_walk
from gnomon.mmu.spte import WRITABLE
from gnomon.mmu.vm_words import VM


def interrupted(rmaps, step, at_access: int, design: str = ""):
    """Walk rmap 0 with `step()` run before load number `at_access`. Returns (result, loads made)."""
    loads = 0
    rmaps.rig.words[rmaps.rig.vm + VM.design] = parse(design)

    def load(m, at):
        nonlocal loads
        if loads == at_access:
            step()
        loads += 1
        return load_acquire(m, at)

    with swapped(rmap_walk, load_acquire=load):
        result = twin(rmap_walk)(rmaps.rig.m, rmaps.rig.vm, rmaps.heads, PROTECT_DIRTY)
    return result, loads


def missed(rmaps, stable) -> list[int]:
    return [n for n in stable if int(rmaps.rig.words[rmaps.table + n]) & WRITABLE]


def everywhere(build, step, stable, design=""):
    """Run the race at every access of the walk. Yields (access, result, stable entries missed)."""
    at, loads = 0, 1
    while at < loads:
        rmaps = build()
        result, loads = interrupted(rmaps, lambda rmaps=rmaps: step(rmaps), at, design)
        yield at, result, missed(rmaps, stable)
        at += 1


def filled(count):
    def build():
        rmaps = Rmaps(COMPILED)
        for n in range(count):
            rmaps.add(0, n)
        return rmaps

    return build


RACES = {
    "one entry becomes many (R-1)": (1, lambda r: [r.add(0, n) for n in range(30, 35)], [0]),
    "the only entry leaves": (1, lambda r: r.remove(0, 0), []),
    "the last entry fills a hole in the head (R-3)": (10, lambda r: r.remove(0, 3), [n for n in range(10) if n != 3]),
    "the last entry fills a hole in a tail (R-3)": (20, lambda r: r.remove(0, 3), [n for n in range(20) if n != 3]),
    "the head descriptor is emptied and freed (R-5)": (
        DESC_SPTES + 2,
        lambda r: [r.remove(0, n) for n in (0, 1)],
        range(2, DESC_SPTES + 2),
    ),
    "a new head descriptor is put in front (R-4)": (DESC_SPTES, lambda r: r.add(0, 40), range(DESC_SPTES)),
    "the head descriptor is reused for another rmap (R-5)": (
        DESC_SPTES + 1,
        lambda r: (r.remove(0, 0), [r.add(1, n) for n in range(40, 44)]),
        range(1, DESC_SPTES + 1),
    ),
    "the head descriptor is freed and reused for the same rmap": (
        DESC_SPTES + 1,
        lambda r: (r.remove(0, 0), r.add(0, 40), r.remove(0, 1)),
        range(2, DESC_SPTES + 1),
    ),
    "everything but one leaves": (2 * DESC_SPTES, lambda r: [r.remove(0, n) for n in range(1, 2 * DESC_SPTES)], [0]),
}


@pytest.mark.parametrize("race", RACES)
def test_is_a_stable_entry_visited_whatever_happens_once(race):
    """R1: an spte that is in the rmap during the whole walk is protected, at whichever access the writer comes in between."""
    count, step, stable = RACES[race]
    tried = 0
    for at, result, lost in everywhere(filled(count), step, stable):
        assert result >= 0
        assert not lost, f"stopped before access {at}: sptes {lost} missed"
        tried += 1
    assert tried >= 1


def test_does_a_forward_walk_miss_a_moved_entry():
    """R-3's mutant, by the same interleavings: low to high misses the entry that moved down behind it; high to low never does."""
    count, step, stable = RACES["the last entry fills a hole in the head (R-3)"]
    lost = {design: [at for at, _, gone in everywhere(filled(count), step, stable, design) if gone] for design in ("", "walk=forward")}
    assert lost[""] == []
    assert lost["walk=forward"], "the forward walk is as good as the right one: then this test sees nothing"


def test_is_a_foreign_marker_a_restart_and_counted():
    """A walker that stood in a descriptor which moved to another rmap ends on that one's marker, and starts anew (R-5)."""
    count, step, stable = RACES["the head descriptor is reused for another rmap (R-5)"]
    restarts = [result >> RESTARTS_SHIFT for _, result, _ in everywhere(filled(count), step, stable)]
    assert max(restarts) == 1
    assert restarts[0] == 0


def test_may_a_stale_entry_be_a_reused_table():
    """R-6: an spte address read before its removal may hold another leaf by now: at worst that one is protected and faults again."""
    rmaps = filled(5)()

    def reuse():
        rmaps.remove(0, 0)
        rmaps.rig.words[rmaps.table] = LEAF ^ 3 << 12

    result, _ = interrupted(rmaps, reuse, 10_000)
    assert result == 5
    rmaps = filled(1)()
    result, _ = interrupted(rmaps, lambda: None, 0)
    assert result == 1


def test_does_the_harvest_finish_under_the_lock_when_restarts_never_end():
    """RESTART_LIMIT foreign markers in a row: the walk gives up, the harvest takes mmu_lock, and nothing is missed."""
    rmaps = Rmaps(INTERPRETED)
    rig = rmaps.rig
    for n in range(4):
        rmaps.add(0, n)
    rig.words[rig.vm + VM.logging] = 1
    rig.words[rig.field("dirty")] = 1
    desc = int(rig.words[rmaps.heads]) >> 1
    marker = int(rig.words[desc + DESC.more])
    loads = 0

    def load(m, at):
        nonlocal loads
        if at == desc + DESC.more and not rig.field("mmu_lock"):
            loads += 1
            return marker + 2
        return load_acquire(m, at)

    with swapped(rmap_walk, load_acquire=load):
        assert twin(harvest)(rig.m, rig.t, rig.vm) == 1
    assert loads == RESTART_LIMIT + 1
    assert rig.field("rmap_locked") == 1
    assert missed(rmaps, range(4)) == []
