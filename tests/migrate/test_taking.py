"""Does each way to take the dirty pages of a round take all of them, each once, protected before it is copied?"""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.migrate import Options
from gnomon.migrate.taking import LOGS, WORD, by_words, open_log, take_round
from gnomon.vm.machine import Machine


@given(st.sets(st.integers(0, 2000)), st.integers(1, 300))
def test_is_no_word_of_the_bitmap_in_two_parts_and_no_page_left_out(pages, most):
    gfns = np.array(sorted(pages), dtype=np.int64)
    parts = list(by_words(gfns, most))
    assert [page for part in parts for page in part] == sorted(pages)
    words = [set((part // WORD).tolist()) for part in parts]
    assert sum(map(len, words)) == len(set().union(*words)) and all(words)
    assert all(len(part) <= max(most, WORD) for part in parts)


@pytest.mark.parametrize("how", LOGS)
def test_is_the_copy_of_a_guest_that_writes_all_the_time_whole(how):
    """Rounds over a real guest, in batches of 100 pages; the last one with every hart paused makes the copy equal to RAM."""
    with Machine(16 << 20, 2) as made:
        made.load(path("dirty"), bootargs="pages=400 rate=0 writes=100000000")
        copy, sizes = np.zeros((made.pages, 4096), np.uint8), []

        def read(gfns):
            data, zero = np.zeros((len(gfns), 4096), np.uint8), np.zeros(len(gfns), np.uint8)
            made.read_pages(gfns, data, zero)
            data[zero == 1] = 0
            return data

        def take():
            snapshot, batches = take_round(log, how, 100)
            taken = []
            for batch in batches:
                copy[batch] = read(batch)
                taken += batch.tolist()
                sizes.append(len(batch))
            assert sorted(taken) == snapshot.gfns.tolist() and len(set(taken)) == len(taken)
            snapshot.commit()

        made.start()
        while sum(made.stats()["harts"]["instructions"]) < 1_000_000:
            time.sleep(0.002)
        with open_log(made, how) as log:
            for _ in range(5):
                take()
            made.pause()
            take()
            assert np.array_equal(copy, read(np.arange(made.pages)))
        assert 0 < max(sizes) <= 100 and sum(sizes) > 800


def test_is_an_unknown_way_refused_with_those_there_are():
    with pytest.raises(GnomonError, match="no such way to take dirty pages: guess") as told:
        Options(log="guess")
    assert told.value.hint == "one of harvest, clear, ring"
