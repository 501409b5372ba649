"""The arena: one mapping of words."""

import pytest

from gnomon.lang import PAGE_SIZE, PAGE_WORDS, Arena


@pytest.mark.parametrize("words", [0, -PAGE_WORDS, 1, PAGE_WORDS + 8])
def test_is_a_size_that_is_not_whole_pages_refused_by_name(words):
    with pytest.raises(ValueError, match="whole pages"):
        Arena(words)


def test_is_a_size_the_host_cannot_map_a_memory_error():
    with pytest.raises(MemoryError, match="refused"):
        Arena(1 << 57)


def test_does_a_new_arena_read_as_zero_and_are_words_and_octets_the_same_memory():
    arena = Arena(2 * PAGE_WORDS)
    assert len(arena) == 2 * PAGE_WORDS and not arena.words.any()
    arena.words[PAGE_WORDS] = 0x0102030405060708
    assert arena.octets[PAGE_SIZE] == 8 and arena.octets[PAGE_SIZE + 7] == 1
    assert arena.words.ctypes.data == arena.address


def test_do_released_pages_read_as_zero_and_leave_their_neighbours():
    arena = Arena(3 * PAGE_WORDS)
    arena.words[:] = 7
    arena.release_pages(1, 1)
    assert (arena.words[:PAGE_WORDS] == 7).all() and (arena.words[2 * PAGE_WORDS :] == 7).all()
    assert not arena.words[PAGE_WORDS : 2 * PAGE_WORDS].any()


def test_does_a_large_arena_cost_nothing_until_it_is_touched():
    arena = Arena(1 << 33)  # 64 GiB
    arena.words[1 << 32] = 1
    assert arena.words[(1 << 32) + 1] == 0
