"""The dirty bitmap and its summary: is a dirty page found whatever the size of the guest, and is nothing else looked at?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmu_rig import COMPILED, INTERPRETED, Rig, swapped
from test_rmap import LEAF

from gnomon.lang import twin
from gnomon.lang.atomics import read_once
from gnomon.lang.primitive import wrap64
from gnomon.mmu.bitmap import LINE, PLAIN_WORDS, bitmap_size, set_dirty, summary_words
from gnomon.mmu.designs import parse
from gnomon.mmu.dirty import commit, disable_dirty_log, harvest, merge_back, protect_word
from gnomon.mmu.rmap import PROTECT_DIRTY, rmap_add, rmap_top_up, rmap_walk
from gnomon.mmu.spte import HOST_WRITABLE, LARGE, LEVEL_SHIFT, MMU_WRITABLE, PRESENT, WRITABLE
from gnomon.mmu.vm_words import VM
from gnomon.vm.dirty_log import DirtyLog

PLAIN, SUMMED, LONG = 64 * PLAIN_WORDS, 64 * PLAIN_WORDS + 1, 64 * 64 * LINE + 700
"""Pages of the largest bitmap without a summary, of the smallest with one, and of one whose summary has two words."""


def logging(pages, world=COMPILED):
    rig = Rig(pages, world=world)
    rig.words[rig.vm + VM.logging] = 1
    return rig


def mark(rig, page):
    """Log a page as a fault does."""
    rig.call(set_dirty, rig.vm, page // 64, wrap64(1 << page % 64))


def lines(rig, name):
    """Lines that the summary `name` has a bit for."""
    at = rig.field(name)
    words = [int(w) & (1 << 64) - 1 for w in rig.words[at : at + summary_words.py_func((rig.pages + 63) // 64)]]
    return {64 * n + bit for n, word in enumerate(words) for bit in range(64) if word >> bit & 1}


def test_which_bitmaps_have_a_summary():
    """One word is looked at; from the second word on there is a bit for a line of 8, in words of its own."""
    for pages, has in ((1, 0), (PLAIN, 0), (SUMMED, 1), (64 * 64 * LINE, 1), (LONG, 2)):
        rig = Rig(pages)
        assert summary_words.py_func((pages + 63) // 64) == has
        assert bool(rig.field("dirty_lines")) == bool(rig.field("snapshot_lines")) == bool(has)
        assert rig.field("snapshot") == rig.field("dirty") + bitmap_size.py_func(pages)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([PLAIN, SUMMED, 1000, LONG]),
    st.lists(st.tuples(st.sampled_from(["set", "set", "set", "take", "merge", "disable"]), st.integers(0, LONG - 1)), max_size=40),
)
def test_is_the_log_a_set_whatever_its_size(pages, steps):
    """Random histories against a set, in both worlds, with equal memory: no bit without its line, no line left in a closed snapshot."""
    rigs = [logging(pages, world) for world in (COMPILED, INTERPRETED)]
    model: set[int] = set()
    for step, number in steps:
        page = number % pages
        for rig in rigs:
            if step == "set":
                mark(rig, page)
            elif step == "disable":
                rig.call(disable_dirty_log, rig.t, rig.vm)
                rig.words[rig.vm + VM.logging] = 1
            else:
                assert rig.call(harvest, rig.t, rig.vm) == len(model)
                assert rig.bits("snapshot") == model and rig.bits("dirty") == set()
                rig.call(commit if step == "take" else merge_back, rig.vm)
        if step == "set":
            model.add(page)
        elif step != "merge":
            model = set()
        for rig in rigs:
            assert rig.bits("dirty") == model and rig.bits("snapshot") == set()
            if pages > PLAIN:
                assert lines(rig, "dirty_lines") >= {n // (64 * LINE) for n in model} and lines(rig, "snapshot_lines") == set()
    assert (rigs[0].words == rigs[1].words).all()


def test_does_a_harvest_look_only_where_something_is_dirty():
    """Three dirty pages in two lines of a guest of 33,000 pages: the words of those lines are read, and of no other; commit the same."""
    rig = logging(LONG, INTERPRETED)
    pages = {5, 7, LONG - 1}
    for page in pages:
        mark(rig, page)
    looked: set[int] = set()

    def read(m, at):
        looked.add(int(at))
        return read_once(m, at)

    words = (rig.pages + 63) // 64
    for name, kernel, arguments in (("dirty", harvest, (rig.t, rig.vm)), ("snapshot", commit, (rig.vm,))):
        looked.clear()
        with swapped(harvest, read_once=read), swapped(set_dirty, read_once=read):
            twin(kernel)(rig.m, *arguments)
        found = {at - rig.field(name) for at in looked if rig.field(name) <= at < rig.field(name) + words}
        last = words - 1
        assert found == set(range(LINE)) | set(range(last - last % LINE, words)), name
    assert rig.bits("snapshot") == rig.bits("dirty") == set()


def test_which_pages_does_the_log_say_are_dirty():
    """Python's list of a snapshot is in order, of the pages taken alone, also at the ends of words, lines and RAM."""
    rig = Rig(LONG)
    log = DirtyLog(rig.m, rig.vm, rig.t, rig.pages)
    log.enable()
    log.harvest().commit()
    pages = [0, 63, 64, 511, 512, 64 * 64 * LINE - 1, 64 * 64 * LINE, LONG - 1]
    for page in pages:
        mark(rig, page)
    assert log.get().tolist() == pages
    snapshot = log.harvest()
    assert snapshot.gfns.tolist() == pages and snapshot.gfns.dtype == "int64"
    snapshot.commit()
    assert log.harvest().gfns.tolist() == []


# The short way of protect_word() beside the walk that it saves

SPTES = {
    "leaf": LEAF,
    "leaf without W": LEAF & ~WRITABLE,
    "leaf that is no more": LEAF & ~PRESENT,
    "leaf of a guest table": LEAF & ~(WRITABLE | MMU_WRITABLE),
    "read-only memory": LEAF & ~(WRITABLE | MMU_WRITABLE | HOST_WRITABLE),
    "middle": LEAF & ~(HOST_WRITABLE | MMU_WRITABLE) ^ 3 << LEVEL_SHIFT,
    "middle with W of old designs": LEAF & ~(3 << LEVEL_SHIFT) & ~(HOST_WRITABLE | MMU_WRITABLE),
    "large": LEAF ^ 3 << LEVEL_SHIFT | LARGE,
    "nothing": 0,
}


@pytest.mark.parametrize("protector", ["lockless", "locked", "rmap-bit"])
@pytest.mark.parametrize("guard", ["level", "none", "recheck", "mmu-writable", "fixup"])
def test_does_the_short_way_do_what_the_walk_does(guard, protector):
    """Pages of one spte of every kind, of none and of many: protect_word leaves every spte as rmap_walk would, and counts as many."""
    found = []
    for whole in (False, True):
        rig = Rig(64)
        rig.words[rig.vm + VM.design] = parse(f"guard={guard},protector={protector}")
        table, rmap, n = rig.static(512), rig.field("rmap"), 0
        for page, kinds in enumerate([*([kind] for kind in SPTES), [], list(SPTES) * 3]):
            for kind in kinds:
                rig.words[table + n] = SPTES[kind]
                assert rig.call(rmap_top_up, rig.v, rig.t) == 0
                rig.call(rmap_add, rig.v, rmap + page, table + n)
                n += 1
        if whole:
            changed = rig.call(protect_word, rig.t, rig.vm, 0, -1)
        else:
            changed = sum(rig.call(rmap_walk, rig.vm, rmap + page, PROTECT_DIRTY) for page in range(64))
        found.append((changed, rig.words[table : table + n].tolist()))
    assert found[0] == found[1]
    assert (found[0][0] > 0) == (guard != "recheck"), "these sptes are in no table, which only the recheck asks for"
