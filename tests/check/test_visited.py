"""Is every state that was entered found again, and no other, however the table of visited states grew?"""

import numpy as np
import pytest

from gnomon.check.visited import LEAST, LINE, Visited, enter, omission_probability, place

TOP = (1 << 64) - 1


def entered(visited: Visited, first: int, second: int) -> bool:
    """Enter a fingerprint. Returns whether it was new."""
    words = visited.table.words
    at = enter(words.ctypes.data, visited.capacity, np.uint64(first), np.uint64(second))
    if at >= 0:
        return False
    words[2 * (-1 - at) + 1] = second
    if len(visited.table.numbers):
        visited.table.numbers[-1 - at] = first & 0xFFFFFFFF
    return True


def spread_over_all(random) -> int:
    return random.integers(1, TOP, dtype=np.uint64)


def all_at_the_end(random) -> int:
    return TOP - int(random.integers(0, 1 << 40, dtype=np.uint64))


def all_at_the_beginning(random) -> int:
    return random.integers(1, 1 << 40, dtype=np.uint64)


def few_firsts(random) -> int:
    return 1 + (int(random.integers(0, 900)) << 54)


@pytest.mark.parametrize("draw", [spread_over_all, all_at_the_end, all_at_the_beginning, few_firsts])
@pytest.mark.parametrize("numbered", [False, True])
def test_does_a_table_that_grows_keep_what_is_in_it(draw, numbered):
    random, visited = np.random.default_rng(7), Visited(1 << 20, numbered)
    known: set[tuple[int, int]] = set()
    for _ in range(3):
        for _ in range(min(visited.room(len(known)), 2500)):
            pair = int(draw(random)), int(random.integers(1, 5, dtype=np.uint64))
            assert entered(visited, *pair) == (pair not in known)
            known.add(pair)
        visited.grow()
    words = visited.table.words.reshape(-1, 2)
    there = words[words[:, 0] != 0]
    assert {(int(a), int(b)) for a, b in there} == known and len(there) == len(known)
    assert not any(entered(visited, *pair) for pair in known)
    if numbered:
        used = words[:, 0] != 0
        assert (visited.table.numbers[used] == words[used, 0] & np.uint64(0xFFFFFFFF)).all()


def test_does_the_search_for_a_state_begin_at_a_cache_line():
    visited = Visited(1 << 20, False)
    assert visited.table.words.ctypes.data % 64 == 0 and visited.capacity == LEAST // 2
    for first in (1, 1 << 33, 1 << 63, TOP):
        at = place(visited.capacity, np.uint64(first))
        assert at % LINE == 0 and 0 <= at < visited.capacity


def test_does_a_table_end_where_its_memory_does():
    visited = Visited(1 << 20, False)
    with pytest.raises(MemoryError):
        for _ in range(40):
            visited.grow()
    assert visited.table.words.nbytes == 16 * visited.capacity >= 1 << 20


def test_does_a_larger_search_leave_out_a_state_more_likely():
    assert 0 < omission_probability(10**7) < omission_probability(10**9) < 1e-19
