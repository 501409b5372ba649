"""shards: does an exploration over many workers find what one process finds, whoever dies, forgets or comes late?"""

import importlib
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fake_cluster import FakeCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.check.explore import explore
from gnomon.check.machine import compile_scenario
from gnomon.check.oracle import choose
from gnomon.check.portion import futures_of
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.catalog import build
from gnomon.check.shard import Shard, owner, renumber, wrap
from gnomon.check.timeline import Timeline
from gnomon.cli.check_commands import check
from gnomon.errors import GnomonError
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.study import shard_fleet, shard_job, shard_task
from gnomon.study.job import checked
from gnomon.study.limited import DONE, FAILED, OUT_OF_TIME
from gnomon.study.shards import MOST_SHARDS, explore_sharded
from gnomon.study.sweep import Job, Limits

sys.path.insert(0, str(Path(__file__).parents[2]))
random_kernels = importlib.import_module("tests.check.random_kernels")
explore_module = importlib.import_module("gnomon.check.explore")

SHARED, PRIVATE = 128, 136
PROGRESS, PLAIN = "mmu/handshake", "tutorial/treiber"  # with and without edges of the state graph
LARGE = "refine/handshake-specification"  # more transitions than a search has that is small
SAME = ("verdict", "property", "states", "transitions", "steps", "ends", "outcomes", "reason")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(shard_fleet, "LOOK", 0.0)
    monkeypatch.setattr(shard_fleet, "FEW", 1)  # a task a thread, also where levels are small
    monkeypatch.setattr(shard_task, "_held", {})
    monkeypatch.setattr(shard_task, "_scenarios", {})


def sharded(cluster, name, model="sc", shards=5, **options):
    return explore_sharded(cluster, name, build(name), model, shards=shards, **options)


def program(made, model):
    compiled = compile_scenario(made)
    return made, compiled, futures_of(made, compiled, model)


def facts(result):
    return {name: getattr(result, name) for name in SAME} | {"length": len(result.schedule)}


@pytest.mark.parametrize(
    "name,model",
    [
        ("tutorial/treiber", "sc"),
        ("tutorial/treiber", "tso"),
        ("tutorial/treiber:naive", "sc"),
        ("mmu/handshake", "tso"),
        ("mmu/handshake:no-entry-barrier", "tso"),
    ],
)
@pytest.mark.parametrize("shards", [1, 7])
def test_does_it_find_what_one_process_finds(name, model, shards):
    one = explore(build(name), model, workers=1, small=1)
    many = sharded(FakeCluster(3), name, model, shards, small=1)
    assert facts(many) == facts(one)
    assert many.digest == one.digest
    if many.violated:
        Timeline(build(name), many).confirm()


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("batch", range(3))
def test_do_random_programs_get_the_same_verdict(batch, model, monkeypatch):
    """Locks that are none, endless waiting, outcomes: on workers that die, forget and join now and then."""
    monkeypatch.setattr(explore_module, "PATIENCE", 0)
    for seed in range(6 * batch, 6 * batch + 6):
        made = random_kernels.random_program(seed)
        monkeypatch.setattr(shard_task, "_build", lambda asked, model, made=made: (program(made, model), ""))
        outcomes = random_kernels.setup_words()
        for how in ({"small": 1}, {"partial_order": False}, {"reduce": False}):
            one = explore(random_kernels.random_program(seed), model, outcomes=outcomes, workers=1, **how)
            cluster = FakeCluster(2, lambda n: {3: "dies after", 5: "forgets", 6: "joins"}.get(n % 11, ""))
            many = explore_sharded(cluster, f"random/{seed}", made, model, shards=3, outcomes=outcomes, **how)
            if one.violated:
                assert (many.verdict, len(many.schedule)) == (one.verdict, len(one.schedule)) or one.property != many.property
                Timeline(made, many).confirm()
            else:
                assert facts(many) == facts(one), (seed, how)


@kernel
def choose_one(m):
    """Say which of two threads may touch the word."""
    write_once(m, SHARED, choose(2) + 1)
    return 0


@kernel
def touch_if_chosen(m, mine):
    """Touch a word that the other thread touches in another order of steps only."""
    if read_once(m, SHARED) == mine:
        write_once(m, PRIVATE, mine)
        write_once(m, PRIVATE, mine + read_once(m, PRIVATE))
    return 0


def test_is_a_word_shared_that_one_thread_touches_here_and_another_there(monkeypatch):
    """Each of two portions of a level believes that the word is its thread's alone: together they know better."""
    made = Scenario("here and there", words=512)
    made.shared = [SHARED]  # or the search begins anew on account of this one
    made.thread("chooses", call(choose_one))
    for n in (1, 2):
        made.thread(f"t{n}", call(touch_if_chosen, n))
    monkeypatch.setattr(explore_module, "PATIENCE", 1 << 30)
    monkeypatch.setattr(shard_task, "_build", lambda asked, model: (program(made, model), ""))
    one = explore(made, "sc", workers=1, partial_order=False)
    many = explore_sharded(FakeCluster(8), "here and there", made, "sc", shards=64, partial_order=False)
    assert PRIVATE in one.visible and many.visible == one.visible and facts(many) == facts(one)


@settings(max_examples=12)
@given(
    st.lists(st.sampled_from(["", "", "dies", "dies after", "forgets", "joins"]), max_size=60),
    st.integers(1, 4),
    st.sampled_from([PROGRESS, PLAIN]),
)
def test_is_any_shard_left_unexplored_whatever_happens_to_workers(fates, workers, name):
    """Every state once, whichever workers die, before they answer or after, forget all they had, or come late."""
    shard_task._scenarios.clear()
    cluster = FakeCluster(workers, lambda n: fates[n] if n < len(fates) else "")
    assert facts(sharded(cluster, name, small=1)) == facts(explore(build(name), "sc", workers=1, small=1))
    assert cluster.dead == sum(fate.startswith("dies") for fate in fates[: cluster.tasks])


def test_does_a_worker_that_joins_late_get_its_share():
    cluster = FakeCluster(1, lambda n: "joins" if n == 10 else "")
    sharded(cluster, PLAIN, small=1)
    assert cluster.did["w1"] > 0.4 * cluster.did["w0"] > 10


def test_is_a_part_that_kills_every_worker_given_up():
    cluster = FakeCluster(2, lambda n: "dies" if n >= 4 else "")
    with pytest.raises(GnomonError, match="4 workers died"):
        sharded(cluster, PLAIN, small=1)


def test_is_a_worker_of_another_program_left_out(monkeypatch):
    cluster, said = FakeCluster(2), []
    cluster.run = lambda function, *words, workers=None, **how: {a: "other" if a == "w1" else function(*words) for a in workers}
    result = sharded(cluster, PLAIN, small=1, note=said.append)
    assert result.proved and set(cluster.did) == {"w0"}
    assert len(said) == 1 and said[0].startswith("not used: worker w1 runs a gnomon of other sources: other, not ")


def test_is_a_worker_that_builds_another_scenario_left_out(monkeypatch):
    said = []
    monkeypatch.setattr(shard_task, "_build", lambda asked, model: (None, "no such file"))
    with pytest.raises(GnomonError, match=f"no worker can take part: .* cannot build the same {PLAIN}: no such file"):
        sharded(FakeCluster(3), PLAIN, small=1, note=said.append)
    assert len(said) == 3


@pytest.mark.parametrize(
    "options,reason",
    [
        ({"max_states": 300}, "stopped at 300 states"),
        ({"memory": 1}, "memory limit of 0 MiB reached"),
        ({"max_seconds": 1e-6}, "stopped after 1e-06 s"),
    ],
)
def test_does_a_limit_end_it_with_what_it_has(options, reason):
    result = sharded(FakeCluster(2), PLAIN, small=1, **options)
    assert (result.verdict, result.reason) == ("bounded", reason)


def test_does_ctrl_c_end_it_with_what_it_has():
    def told(text):
        if int(text.partition(" states")[0].replace(",", "")) > 500 and "7 shards on 2 workers" in text:
            raise KeyboardInterrupt

    result = sharded(FakeCluster(2), PLAIN, shards=7, small=1, told=told)
    assert (result.verdict, result.reason) == ("bounded", "interrupted") and 500 < result.states < 1156


@pytest.mark.parametrize("shards", [0, MOST_SHARDS + 1])
def test_is_an_impossible_number_of_shards_refused(shards):
    with pytest.raises(GnomonError, match=f"1 to {MOST_SHARDS} shards, not {shards}"):
        sharded(FakeCluster(1), PLAIN, shards=shards)


def job(**asked):
    return [("key", Job("check", tuple(({"scenario": LARGE, "design": "", "model": "sc", "shards": 5} | asked).items())))]


def test_is_a_check_job_of_a_study_done_by_all_workers():
    cluster = FakeCluster(2)
    (done,) = shard_job.outcomes(cluster, job(), Limits(600.0, 1 << 30))
    alone = checked(explore(build(LARGE), "sc"))
    assert (done.key, done.status, done.error) == ("key", DONE, "") and min(cluster.did.values()) > 5
    assert {**done.figures, "seconds": 0} == {**alone, "seconds": 0}


def test_does_a_check_job_of_a_study_end_in_time():
    (done,) = shard_job.outcomes(FakeCluster(1), job(), Limits(1e-6, 1 << 30))
    assert (done.status, done.error, done.figures) == (OUT_OF_TIME, "ended after 1e-06 s", {})


def test_is_a_check_job_that_kills_its_workers_given_up():
    (done,) = shard_job.outcomes(FakeCluster(1, lambda n: "dies"), job(), Limits(600.0, 1 << 30))
    assert done.status == FAILED and done.error.startswith("4 workers died")


@pytest.mark.parametrize("status", ["closed", "connecting"])
def test_is_a_cluster_that_is_no_more_told(status):
    cluster = FakeCluster(1)
    cluster.status = status
    with pytest.raises(GnomonError, match="the scheduler has gone"):
        list(shard_job.outcomes(cluster, job(), Limits(600.0, 1 << 30)))


def test_is_it_one_sentence_where_the_extra_is_missing_or_there_is_no_cluster(monkeypatch):
    ask = partial(check, PLAIN, model="sc")
    with pytest.raises(GnomonError, match="5 shards are for the workers of a cluster") as failure:
        ask(shards=5)
    assert failure.value.exit_code == 3
    monkeypatch.setattr("gnomon.study.cluster.ANSWER", "1s")
    with pytest.raises(GnomonError, match=r"no scheduler at tcp://127\.0\.0\.1:1: nobody answers within 1 s") as failure:
        ask(scheduler="tcp://127.0.0.1:1")
    assert failure.value.exit_code == 3
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "gnomon.study.cluster")
    with pytest.raises(GnomonError, match="--scheduler needs distributed, which is not installed") as failure:
        ask(scheduler="tcp://127.0.0.1:1")
    assert failure.value.exit_code == 3


def records(states, slots):
    """Records of states: thread words, at most a lane of them, and {address: value}, under a numbering."""
    made = []
    for first, second, words, memory in states:
        there = -(-len(slots) // 8)
        choices = bytearray(-(-(1 + there) // 8) * 8)
        choices[0] = sum(1 << i for i, w in enumerate(words) if w)
        values = []
        for slot, address in enumerate(slots):
            if memory.get(address):
                choices[1 + slot // 8] |= 1 << slot % 8
                values.append(memory[address])
        body = np.frombuffer(choices, np.int64).tolist() + [w for w in words if w] + values
        made += [len(body) + 3 | there << 32, first, second, *body]
    return np.array(made, np.int64)


@given(st.data())
def test_does_a_record_say_the_same_under_another_numbering(data):
    """Slots in another order, and some that the sender had not: the record is what the owner would have written."""
    theirs = data.draw(st.lists(st.integers(64, 400), unique=True, max_size=150))
    ours = data.draw(st.permutations(theirs + [n for n in range(401, 401 + data.draw(st.integers(0, 70)))]))
    state = st.tuples(
        st.integers(1, 99),
        st.integers(1, 99),
        st.lists(st.integers(0, 3), min_size=5, max_size=5),
        st.dictionaries(st.sampled_from(theirs or [0]), st.integers(1, 5), max_size=20),
    )
    states = data.draw(st.lists(state, max_size=4))
    before, wanted = records(states, theirs), records(states, ours)
    if not theirs:
        return
    places = np.array([ours.index(address) for address in theirs], np.int64)
    used = -(-len(ours) // 8)
    to = np.empty(len(before) + used * len(states), np.int64)
    end = renumber(before, len(before), 1, places, np.zeros(used * 8 + used, np.int64), to)
    found = to[:end].tolist()

    def trimmed(words):
        """The same without choices of slots behind the last that is used: how many lanes of them there are is the writer's affair."""
        at, out = 0, []
        while at < len(words):
            length, there = words[at] & 0xFFFFFFFF, words[at] >> 32
            behind = at + 3 + -(-(1 + there) // 8)
            choices = np.array(words[at + 3 : behind], np.int64).tobytes()
            out.append((*words[at + 1 : at + 3], choices[: 1 + there].rstrip(b"\0"), *words[behind : at + length]))
            at += length
        return out

    assert trimmed(found) == trimmed(wanted.tolist())


@given(st.lists(st.lists(st.integers(1, 60), max_size=30), max_size=6), st.integers(0, 6), st.booleans())
def test_is_a_shard_made_from_its_log_the_same_shard(levels, moved, follow):
    """States get the numbers they would have had, and none enters twice."""
    kept, other = Shard(follow), Shard(follow)
    log = b""
    for level, numbers in enumerate(levels):
        states = records([(n * 7919, n, [n, 0, 0, 0, 0], {}) for n in numbers], [])
        parcels = [wrap(states, np.array(numbers, np.int64) << 8, 0, ())]
        if level == moved:
            other = Shard(follow)
            other.restore(log)
        one, two = (shard.enter(parcels, [], 1) for shard in (kept, other))
        assert one.first == two.first == len(log) // 16
        assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("frontier", "fingerprints", "whence", "numbers"))
        log += one.fingerprints.tobytes()
    flat = [n for numbers in levels for n in numbers]
    assert np.frombuffer(log, np.uint64)[1::2].tolist() == list(dict.fromkeys(flat))


def test_do_all_shards_own_states():
    seconds = np.random.default_rng(1).integers(0, 1 << 63, 4000, dtype=np.int64).astype(np.uint64) * np.uint64(2)
    counts = np.bincount([owner(second, 16) for second in seconds], minlength=16)
    assert len(counts) == 16 and counts.min() > 150
