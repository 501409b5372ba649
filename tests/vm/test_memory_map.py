"""memory_map: is every page in the state it is in, and does looking stay cheap and harmless?"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from vm_rig import MIB, machine, until

from gnomon import guests
from gnomon.mmu.rmap import DESC, DESC_SPTES, RMAP_LOCKED
from gnomon.mmu.spte import MMU_WRITABLE, PRESENT, WRITABLE
from gnomon.mmu.vm_words import VM
from gnomon.vm import memory_map
from gnomon.vm.memory_map import LETTERS, STATES, MemoryMap

WORDS = 1 << 14
BACKING, RMAP, BITMAP, SPTES, DESCS = 1024, 2048, 3072, 4096, 8192


class Words:
    """An arena that only has words: one VM record at 0 of `pages` pages."""

    def __init__(self, pages):
        self.words = np.zeros(WORDS, dtype=np.int64)
        self.words[VM.pages], self.words[VM.backing], self.words[VM.rmap], self.words[VM.dirty] = pages, BACKING, RMAP, BITMAP

    def set_page(self, page, framed, mapping, dirty, locked=False):
        """`mapping`: the sptes of the page, None for a head that leads nowhere; `locked`: a walker of protector=rmap-bit is in it."""
        words = self.words
        words[BACKING + page] = 7 if framed else 0
        if dirty:
            words[BITMAP + page // 64] |= np.int64(np.uint64(1 << page % 64).view(np.int64))
        if mapping is None:
            words[RMAP + page] = (1 << 40) | 1
        elif len(mapping) == 1:
            words[SPTES + page] = mapping[0]
            words[RMAP + page] = (SPTES + page) << 1
        elif mapping:
            desc = DESCS + 64 * page
            for n, spte in enumerate(mapping):
                words[desc + 32 + n] = spte
                words[desc + DESC.sptes + n] = desc + 32 + n
            words[RMAP + page] = (desc << 1) | 1
        if locked:
            words[RMAP + page] |= RMAP_LOCKED


def naive(framed, mapping, dirty, locked):
    if dirty and framed:
        return "dirty"
    if mapping is not None and any(spte & PRESENT and spte & WRITABLE for spte in mapping):
        return "writable"
    if mapping is None or mapping:
        return "protected"
    return "unmapped" if framed else "untouched"


sptes = st.lists(st.sampled_from([0, PRESENT, PRESENT | WRITABLE | MMU_WRITABLE, PRESENT | MMU_WRITABLE, WRITABLE]), max_size=DESC_SPTES)
pages = st.lists(st.tuples(st.booleans(), st.one_of(st.none(), sptes), st.booleans(), st.booleans()), min_size=1, max_size=100)


@given(pages, st.integers(1, 200))
def test_is_every_page_in_the_state_that_one_look_at_its_words_tells(described, cells):
    arena = Words(len(described))
    for page, one in enumerate(described):
        arena.set_page(page, *one)
    picture = MemoryMap(arena, 0, len(described)).picture(cells)
    expected = [naive(*one) for one in described]
    assert picture["counts"] == {state: expected.count(state) for state in STATES}
    assert picture["logged"] == sum(dirty for _, _, dirty, _ in described)
    count = len(picture["cells"])
    assert count == len(picture["dirty"]) == min(cells, len(described))
    for cell in range(count):
        here = [state for page, state in enumerate(expected) if page * count // len(expected) == cell]
        others = [state for state in here if state != "dirty"]
        shown = STATES[LETTERS.index(picture["cells"][cell])]
        assert shown == "dirty" if not others else others.count(shown) == max(others.count(state) for state in others)
        assert int(picture["dirty"][cell]) == -(-9 * here.count("dirty") // len(here))


def test_is_a_page_that_lost_its_frame_taken_back():
    arena = Words(4)
    arena.set_page(1, True, [PRESENT], False)
    map_of = MemoryMap(arena, 0, 4)
    assert map_of.picture(4)["cells"] == ".p.."
    arena.words[BACKING + 1] = arena.words[RMAP + 1] = 0
    assert map_of.picture(4)["cells"] == ".x.."


def test_is_every_page_of_a_large_guest_looked_at_in_turn(monkeypatch):
    monkeypatch.setattr(memory_map, "MOST_LOOKED_AT", 16)
    arena = Words(100)
    arena.set_page(37, True, [], False)
    map_of = MemoryMap(arena, 0, 100)
    pictures = [map_of.picture(10) for _ in range(7)]
    assert max(picture["looked"] for picture in pictures) <= 16
    assert sum(picture["looked"] for picture in pictures) == 100
    assert [picture["counts"]["unmapped"] for picture in pictures].count(1) == 1


def test_does_a_real_guest_go_through_the_states():
    with machine(memory=16 * MIB, harts=2) as made:
        assert made.memory_map(64)["counts"]["untouched"] == 4096
        made.load(guests.path("dirty"), bootargs="pages=400 keys=1")
        assert made.memory_map(64)["counts"]["unmapped"] > 0, "loaded, and not run yet"
        made.start()
        until(lambda: made.memory_map(64)["counts"]["writable"] > 800)
        with made.dirty_log() as log:
            log.harvest().commit()
            seen = set()

            def states():
                seen.update(state for state, count in made.memory_map(64)["counts"].items() if count)
                return {"dirty", "protected"} <= seen

            until(states)
            made.pause()
            assert made.memory_map(64)["logged"] == log.peek_count() == made.memory_map(64)["counts"]["dirty"]
