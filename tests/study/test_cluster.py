"""study on a real scheduler: does every job get its one row when workers die, come late, and the study itself is killed?"""

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from fake_job import PASS
from test_sweep import LONG, fake_jobs, rows, wait_for, write

HERE = Path(__file__).parent
GNOMON = [sys.executable, "-m", "gnomon.cli"]


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, place):
        self.place = place
        self.gate = place / "gate"
        self.environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        self.environment["FAKE_JOB_GATE"] = str(self.gate)
        self.processes = []
        self.scheduler = self.start("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")
        self.address = wait_for(lambda: re.search(r"tcp://127\.0\.0\.1:\d+", self.said("scheduler")))[0]

    def start(self, kind, *words, name="", **environment):
        log = open(self.place / f"{name or kind}.log", "wb")  # noqa: SIM115  the process's until it ends
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**self.environment, **environment}, cwd=self.place)
        log.close()
        self.processes.append(process)
        return process

    def worker(self, name, **environment):
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--preload", str(HERE / "fake_job.py"), "--name", name]
        return self.start("worker", self.address, *options, name=name, **environment)

    def registered(self, *names):
        """Wait until these workers are there."""
        for name in names:
            wait_for(lambda name=name: "Registered to" in self.said(name))

    def study(self, path, *words):
        command = [*GNOMON, "study", str(path), "--scheduler", self.address, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, text=True)
        self.processes.append(process)
        return process

    def said(self, name):
        return (self.place / f"{name}.log").read_text()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


def until_kept(study, count):
    """Read what a study says until it has kept so many rows."""
    for line in study.stderr:
        if int(line.partition("/")[0]) >= count:
            return
    raise AssertionError(f"the study ended before it had kept {count} rows")


def end(process, within=LONG):
    out, err = process.communicate(timeout=within)
    return process.returncode, out, err


@pytest.mark.slow
def test_does_every_job_get_one_row_when_workers_die_and_come_late(cluster, tmp_path):
    """Two workers; one is killed midway, another joins late, then the study itself is killed and run again.

    No job from PASS on comes to its end before the study is killed."""
    count = 40
    path = write(tmp_path, fake_jobs(seeds=count, harvest="150ms"))
    results = path.with_suffix(".duckdb")
    first, _ = cluster.worker("one"), cluster.worker("two")
    cluster.registered("one", "two")
    study = cluster.study(path)
    until_kept(study, 6)
    first.kill()
    first.wait()
    until_kept(study, 9)
    cluster.worker("late")
    cluster.registered("late")
    until_kept(study, 12)
    study.kill()
    study.wait()
    cluster.gate.touch()
    kept = rows(results, "select key, finished from jobs order by all")
    assert 12 <= len(kept) <= PASS < count
    code, out, err = end(cluster.study(path))
    assert code == 0, err
    assert f"{count} jobs: {len(kept)} were there already, now {count - len(kept)} done" in out
    assert rows(results, "select parameters['seed']::int, count(*) from jobs where status = 'done' group by all order by all") == [
        (seed, 1) for seed in range(count)
    ]
    assert rows(results, "select count(*), count(distinct key) from figures where name = 'seed'") == [(count, count)]
    assert set(kept) <= set(rows(results, "select key, finished from jobs")), "what was finished stays as it was"
    assert rows(results, "select count(distinct machine['worker']) from jobs")[0][0] >= 2
    assert end(cluster.study(path))[1].startswith(f"{count} jobs: {count} were there already, now nothing to do")


@pytest.mark.slow
def test_is_a_worker_of_another_program_refused(cluster, tmp_path):
    other = tmp_path / "other"
    package = Path(sys.modules["gnomon"].__file__).parent
    subprocess.run(["cp", "-r", str(package), str(other / "gnomon")] if other.mkdir() is None else [], check=True)
    (other / "gnomon" / "errors.py").write_text((package / "errors.py").read_text() + "\n# another\n")
    cluster.worker("other", PYTHONPATH=str(other))
    cluster.registered("other")
    path = write(tmp_path, fake_jobs(seeds=2))
    code, _, err = end(cluster.study(path))
    assert code == 1 and re.match(r"gnomon: worker tcp://\S+ runs a gnomon of other sources: \w{12}, not \w{12}\n\nhint: ", err)
    assert rows(path.with_suffix(".duckdb"), "select count(*) from jobs") == [(0,)]


@pytest.mark.slow
def test_does_a_scheduler_that_dies_leave_what_was_finished(cluster, tmp_path):
    path = write(tmp_path, fake_jobs(seeds=100, harvest="100ms"))
    cluster.worker("one")
    study = cluster.study(path)
    until_kept(study, 3)
    cluster.scheduler.kill()
    code, _, err = end(study)
    assert code == 1 and "the scheduler has gone; what was finished is kept" in err and "Traceback" not in err, err
    assert rows(path.with_suffix(".duckdb"), "select count(*) from jobs")[0][0] >= 3


@pytest.mark.slow
def test_is_a_job_that_kills_its_workers_given_up(cluster, tmp_path):
    """Dask gives a task to four workers; the fifth is left, and does the others."""
    path = write(tmp_path, fake_jobs("murder", seeds=1) + fake_jobs(seeds=3))
    for name in "abcde":
        cluster.worker(name)
    cluster.registered(*"abcde")  # else the others may die with it, too, on the one worker that is there
    code, _, err = end(cluster.study(path))
    assert code == 1, err
    kept = rows(path.with_suffix(".duckdb"), "select status, error from jobs order by all")
    assert kept == [("done", "")] * 3 + [("failed", "4 workers died with it")]


@pytest.mark.slow
def test_do_real_jobs_run_on_this_machine(tmp_path):
    path = write(
        tmp_path,
        """
        [[run]]
        workload = "sort"
        append = "rounds=1 n=4096"
        memory = "16M"
        harts = 2
        harvest = "1ms"
        [[check]]
        scenario = "tutorial/*"
        model = "sc"
        shards = [0, 4]
        """,
    )
    done = subprocess.run([*GNOMON, "study", str(path), "--workers", "2"], capture_output=True, timeout=LONG, text=True)
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(path.with_suffix(".duckdb")), read_only=True) as base:
        figure = "select command, coalesce(text, value::varchar) from figures join jobs using (key) where name = ? order by all"
        assert [value for _, value in base.execute(figure, ["verdict"]).fetchall()] == ["proved"] * 2 + ["violated"] * 2
        assert base.execute(figure, ["exit code"]).fetchall()[0][1] == "0.0"
        assert float(base.execute(figure, ["dirty log harvests"]).fetchall()[0][1]) > 0
        assert base.execute("select distinct versions['numba'] <> '', machine['name'] <> '' from jobs").fetchall() == [(True, True)]
