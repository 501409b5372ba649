"""Is a use after free found by the reduced search wherever the full one finds it, whoever else touches the word that is used?

A free commutes with nobody who still uses the granule, though they share no word. These programs are short scripts, so that one compiled
program runs hundreds of them.
"""

import random
from functools import cache

import pytest

from gnomon.check.explore import explore
from gnomon.check.machine import compile_scenario
from gnomon.check.scenario import Owners, Scenario, call
from gnomon.check.scenarios.stage import LOCKS, QUIET
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.sync.spinlock import spin_lock, spin_unlock

LOCK, FLAG, SCRIPT, OWNER, FIRST = 64, 65, 128, 256, 512
WORDS, GRANULES, GRANULE = 1024, 2, 3
LENGTH = 3
REST, USE, STORE, FREE, BEAR, RAISE, LOWER, NAME = range(8)
ACTS = (USE, USE, STORE, FREE, BEAR, RAISE, LOWER, NAME)
KEPT = (OWNER, OWNER + 1, FIRST, FIRST + 1)


@kernel
def act(m, what, g):
    """One line of a script; of `g`, bit 0 is the granule, bit 1 the word in it, 4 asks for the lock, 8 to look at the flag first."""
    if g & 8 and read_once(m, FLAG) == 0:
        return 0
    at = FIRST + (g & 1) * 8 + (g >> 1 & 1)
    if g & 4:
        spin_lock(m, LOCK)
    if what == USE:
        read_once(m, at)
    elif what == STORE:
        write_once(m, at, 1)
    elif what == FREE:
        write_once(m, OWNER + (g & 1), 0)
    elif what == BEAR:
        write_once(m, OWNER + (g & 1), 2)
    elif what == NAME:
        write_once(m, OWNER + (g & 1), 3)
    elif what == RAISE:
        write_once(m, FLAG, 1)
    elif what == LOWER:
        write_once(m, FLAG, 0)
    if g & 4:
        spin_unlock(m, LOCK)
    return 0


@kernel
def perform(m, at):
    """A script of LENGTH lines."""
    act(m, read_once(m, at), read_once(m, at + 1))
    act(m, read_once(m, at + 2), read_once(m, at + 3))
    act(m, read_once(m, at + 4), read_once(m, at + 5))
    return 0


def staged(*scripts, alive=(1, 1)) -> Scenario:
    s = Scenario("lives", words=WORDS, replace=QUIET, locks=LOCKS)
    for t, script in enumerate(scripts):
        for n, (what, g) in enumerate(script):
            s.store(SCRIPT + 16 * t + 2 * n, what)
            s.store(SCRIPT + 16 * t + 2 * n + 1, g)
        s.thread(f"thread {t}", call(perform, SCRIPT + 16 * t))
    for g in range(GRANULES):
        s.store(OWNER + g, alive[g])
    s.store(FLAG, 1)
    s.memory_safety(Owners(OWNER, FIRST, FIRST + 8 * GRANULES, GRANULE))
    return s


@cache
def compiled(threads):
    return compile_scenario(staged(*[[]] * threads))


def verdicts(model, *scripts, alive=(1, 1)):
    """(verdict, property, ends of a proof) of the full search, of one that merges, of one that leaves out alternatives from the start."""
    found = []
    for reduce, partial_order in ((False, False), (True, False), (True, True)):
        s, program = staged(*scripts, alive=alive), compiled(len(scripts))
        result = explore(s, model, reduce=reduce, partial_order=partial_order, small=1, workers=1, compiled=program, outcomes=KEPT)
        found.append((result.verdict, result.property, frozenset() if result.violated else frozenset(result.outcomes)))
    return found


USED = [("violated", "use after free", frozenset())] * 3


def ends(found):
    """The ends of three proofs that agree."""
    assert [verdict for verdict, *_ in found] == ["proved"] * 3 and found[0] == found[1] == found[2]
    return set(found[0][2])


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("locked", [0, 4], ids=["bare", "locked"])
@pytest.mark.parametrize("use", [USE, STORE])
@pytest.mark.parametrize("before", [(), ((STORE, 0),)], ids=["the free alone", "a store before it"])
def test_is_a_granule_that_is_freed_between_the_look_and_the_use_found(model, locked, use, before):
    """The user looks at the flag, then uses; the other lowers the flag, then frees: too early. Whoever stores to the word or does not."""
    assert verdicts(model, [(use, 8)], [*before, (LOWER, 0), (FREE, locked)]) == USED


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_is_a_use_before_the_granule_is_anybodys_found(model):
    assert verdicts(model, [(USE, 8)], [(LOWER, 0), (RAISE, 0), (BEAR, 4)], alive=(0, 1)) == USED


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_is_it_no_use_after_free_where_one_lock_excludes_both_or_one_thread_does_all(model):
    assert ends(verdicts(model, [(USE, 0), (STORE, 1), (FREE, 1)], [(USE, 2), (STORE, 2), (USE, 0)])) == {(1, 0, 0, 1)}
    assert ends(verdicts(model, [(FREE, 4), (REST, 0), (BEAR, 0)], [(USE, 1), (USE, 5), (STORE, 1)])) == {(2, 1, 0, 0)}


def test_does_a_later_store_to_an_owner_word_never_overtake_one_that_waits():
    """Taken, then named, as frames are: the second changes nothing of the life, the first is in the buffer."""
    found = verdicts("tso", [(BEAR, 0), (NAME, 0), (USE, 0)], [(FREE, 8), (LOWER, 0), (REST, 0)], alive=(0, 1))
    assert found[0] == found[1] == found[2] == USED[0]
    assert ends(verdicts("tso", [(BEAR, 0), (NAME, 0), (STORE, 0)], [(REST, 0)], alive=(0, 1))) == {(3, 1, 1, 0)}


@pytest.mark.parametrize("model", ["sc", "tso"])
def test_do_full_and_reduced_searches_agree_on_random_lives(model):
    dice = random.Random(11)
    seen = set()
    for _ in range(300):
        scripts = [
            [(dice.choice((USE, USE, STORE, FREE, BEAR, RAISE, LOWER)), dice.randrange(16)) for _ in range(LENGTH)] for _ in range(2)
        ]
        alive = (dice.randrange(2), 1)
        found = verdicts(model, *scripts, alive=alive)
        assert found[0] == found[1] == found[2], (scripts, alive)
        seen.add(found[0][0])
    assert seen == {"proved", "violated"}, "scripts that all end alike show nothing"
