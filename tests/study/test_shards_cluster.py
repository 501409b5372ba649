"""shards on a real scheduler: is any shard left unexplored when a worker is killed midway and another comes late?"""

import json
import subprocess
import sys
import threading

import pytest
from test_cluster import Cluster, end
from test_sweep import LONG

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.errors import GnomonError
from gnomon.study import shard_fleet
from gnomon.study.cluster import cluster as connect
from gnomon.study.shards import explore_sharded

GNOMON = [sys.executable, "-m", "gnomon.cli"]
LARGE = "refine/handshake-specification"  # many states of a program that is quick to compile
MIDWAY = 6_000


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


def check(cluster, *words):
    command = [*GNOMON, "check", *words, "--scheduler", cluster.address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cluster.environment, text=True)
    cluster.processes.append(process)
    return process


@pytest.mark.slow
def test_is_a_shard_left_unexplored_when_a_worker_is_killed_and_another_joins(cluster, monkeypatch):
    """The states, transitions and verdict of one process, though half of the tables were lost, and the edges' targets with them."""
    victim, _ = cluster.worker("one"), cluster.worker("two")
    cluster.registered("one", "two")
    homes, done = set(), []

    def told(text):
        states = int(text.partition(" ")[0].replace(",", ""))
        if "level" in text and states > MIDWAY and not done:
            done.append("killed")
            threading.Timer(0.02, victim.kill).start()  # while a task runs, or between two
            cluster.worker("late")
        if states > 2 * MIDWAY and "joined" not in done:
            cluster.registered("late")
            done.append("joined")

    spread = shard_fleet.Fleet.spread

    def remember(fleet, look):
        spread(fleet, look)
        homes.update(fleet.homes)

    monkeypatch.setattr(shard_fleet.Fleet, "spread", remember)
    with connect(cluster.address, None) as client:
        many = explore_sharded(client, LARGE, build(LARGE), "sc", shards=16, small=1000, told=told)
    assert done == ["killed", "joined"] and len(homes) == 3 and victim.wait() == -9
    one = explore(build(LARGE), "sc", workers=1)
    names = ("verdict", "reason", "states", "transitions", "steps", "ends")
    assert {name: getattr(many, name) for name in names} == {name: getattr(one, name) for name in names}


@pytest.mark.slow
def test_is_a_violation_told_as_one_process_tells_it(cluster, tmp_path):
    """The same exit code and length; the file replays; a scenario of one's own, which the workers read too."""
    cluster.worker("one")
    own = tmp_path / "mine.py"
    own.write_text("from gnomon.check.scenarios.catalog import build\n\ndef naive():\n    return build('tutorial/treiber:naive')\n")
    saved = tmp_path / "aba.json"
    code, out, err = end(check(cluster, f"{own}:naive", "--model", "sc", "--json", "--save", str(saved)))
    assert code == 1, err
    one = explore(build("tutorial/treiber:naive"), "sc")
    found = json.loads(out)
    assert (found["property"], len(found["schedule"])) == (one.property, len(one.schedule))
    replayed = subprocess.run([*GNOMON, "replay", str(saved)], capture_output=True, text=True, timeout=LONG)
    assert replayed.returncode == 0 and "VIOLATED: expectation" in replayed.stdout, replayed.stderr


@pytest.mark.slow
def test_does_a_scheduler_that_dies_end_it_with_a_sentence(cluster):
    cluster.worker("one")
    cluster.registered("one")

    def told(text):
        if "level 9," in text:
            cluster.scheduler.kill()

    with pytest.raises(GnomonError, match="the scheduler has gone"), connect(cluster.address, None) as client:
        explore_sharded(client, LARGE, build(LARGE), "sc", small=1000, told=told)
    code, _, err = end(check(cluster, "tutorial/treiber"))
    assert code == 3 and f"no scheduler at {cluster.address}" in err and "Traceback" not in err
