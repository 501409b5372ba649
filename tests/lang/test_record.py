"""Record layouts: fields to constant offsets."""

import pytest

from gnomon.lang import RECORDS, record
from gnomon.lang.fixed import CACHE_WORDS, CACHES_AT, FRAME_WORDS_AT, FRAMES_AT, MAX_CACHES, MAX_THREADS, MMU_AT, RCU_AT, THREADS_AT


def test_do_fields_lie_one_after_another_and_does_size_count_their_words():
    layout = record("TEST_RECORD_LAYOUT", "For this test.", a=1, b=3, c=2)
    assert (layout.a, layout.b, layout.c, layout.size) == (0, 1, 4, 6)
    assert RECORDS["TEST_RECORD_LAYOUT"] is layout


def test_is_a_name_taken_twice_or_a_field_of_no_words_refused():
    record("TEST_RECORD_TWICE", "For this test.", a=1)
    with pytest.raises(ValueError, match="defined twice"):
        record("TEST_RECORD_TWICE", "Again.", a=1)
    with pytest.raises(ValueError, match="needs at least 1"):
        record("TEST_RECORD_EMPTY", "For this test.", a=0)


def test_are_the_fixed_places_disjoint_and_in_the_order_of_the_map():
    places = [64, RCU_AT, FRAMES_AT, MMU_AT, CACHES_AT, CACHES_AT + MAX_CACHES * CACHE_WORDS, THREADS_AT, FRAME_WORDS_AT]
    assert places == sorted(places) and MAX_THREADS >= 1
