"""study: is a sweep what its file says, and does each of its jobs get one row, whatever fails?"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import pytest

from gnomon.cli.study import study
from gnomon.cli.sweep_file import load
from gnomon.errors import GnomonError
from gnomon.study import limited
from gnomon.study.limited import DONE, FAILED, OUT_OF_MEMORY, OUT_OF_TIME, Outcome
from gnomon.study.results import Results
from gnomon.study.sweep import Job, Limits

LONG = 600.0
"""Seconds for what comes for certain."""
NEVER = 3_600_000_000
"""Microseconds that a job sleeps which is ended before."""
FAKE = [sys.executable, str(Path(__file__).with_name("fake_job.py"))]


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(limited, "COMMAND", FAKE)
    monkeypatch.setattr("gnomon.cli.warming.machine_class", lambda: None)


def write(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return path


def fake_jobs(append="", seeds=4, harvest="0ms"):
    return f'[[run]]\nworkload = "sort"\nappend = "{append}"\nseed = {list(range(seeds))}\nharvest = "{harvest}"\n'


def rows(path, query="select status, parameters['seed'], error from jobs order by all"):
    with duckdb.connect(str(path), read_only=True) as base:
        return base.execute(query).fetchall()


def test_is_a_sweep_every_combination_once(tmp_path):
    sweep = load(
        write(
            tmp_path,
            """
            limits.seconds = 5
            limits.memory = "1G"
            [[run]]
            workload = ["dirty", "sort"]
            design = ["", "protector=locked"]
            memory = ["16M", "1G"]
            harts = [1, 2]
            seed = [1, 2, 3]
            [[run]]
            workload = "dirty"
            [[check]]
            scenario = ["tutorial/*", "tutorial/treiber"]
            model = ["sc", "tso"]
            [[check]]
            scenario = "harvest/fast-fault"
            design = ["", "protector=locked"]
            """,
        )
    )
    assert sweep.limits == Limits(5.0, 1 << 30) and sweep.name == "sweep"
    runs = [job for job in sweep.jobs if job.kind == "run"]
    checks = [job for job in sweep.jobs if job.kind == "check" and job.asked["scenario"].startswith("tutorial/")]
    assert len(runs) == 2 * 2 * 2 * 2 * 3 + 1 and len(set(sweep.jobs)) == len(sweep.jobs)
    assert {job.asked["scenario"] for job in checks} >= {"tutorial/treiber", "tutorial/treiber:naive"} and len(checks) % 2 == 0
    commands = [job.command() for job in sweep.jobs]
    assert "gnomon run sort --harts 2 --memory 1024M --design protector=locked --append seed=3" in commands
    assert "gnomon check tutorial/treiber:naive --model tso" in commands
    assert "gnomon check harvest/fast-fault --model tso --design protector=locked" in commands


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it has no jobs"),
        ("[[run", "is not TOML"),
        ("[[runs]]", "no such table: runs"),
        ("[run]\nworkload = 'sort'", "run is a list of tables"),
        ("[[run]]", "needs workload"),
        ("[[run]]\nworkload = 'sort'\ncolour = 'red'", "has no axis named colour"),
        ("[[run]]\nworkload = 'sort'\nseed = []", "is an empty product: seed has no values"),
        ("[[run]]\nworkload = 'nobody'", "no guest named: nobody"),
        ("[[run]]\nworkload = 'sort'\nseed = 'one'", "seed of .* is a number"),
        ("[[run]]\nworkload = 'sort'\nharts = [1, true]", "harts of .* is a number"),
        ("[[run]]\nworkload = 'sort'\nharts = 99", "1 to 48 harts: 99"),
        ("[[run]]\nworkload = 'sort'\nmemory = 'much'", "cannot be read: 'much'"),
        ("[[run]]\nworkload = 'sort'\nharvest = '5'", "cannot be read: '5'"),
        ("[[run]]\nworkload = 'sort'\ndesign = 'colour=red'", "no design axis named: colour"),
        ("[[run]]\nworkload = 'sort'\ndesign = 'protector=luck'", "no choice of protector named: luck"),
        (f"[[run]]\nworkload = 'sort'\nseed = {list(range(400))}\nharts = {[1] * 400}", "is a product of 160000 jobs"),
        ("[[check]]\nscenario = 'nothing/*'", "no scenario matches: nothing/"),
        ("[[check]]\nscenario = 'tutorial/*'\nmodel = 'arm'", "no memory model named: arm"),
        ("[[check]]\nscenario = 'tutorial/treiber'\ndesign = 'protector=locked'", "no machine in scenario tutorial/treiber"),
        ("[[check]]\nscenario = 'tutorial/*'\nshards = 256", "1 to 255 shards, or 0 for one worker: 256"),
        ("[[bench]]\nname = 'nothing'", "no bench named: nothing"),
        ("[limits]\nseconds = -1\n[[bench]]\nname = 'protect'", "seconds of .* is a number above 0"),
        ("[limits]\nmemory = 5\n[[bench]]\nname = 'protect'", "memory of .* is a size"),
        ("[limits]\ntime = 5\n[[bench]]\nname = 'protect'", "has no time"),
    ],
)
def test_is_a_bad_sweep_one_sentence_before_anything_runs(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(GnomonError, match=said) as failure:
        study(path)
    assert failure.value.exit_code == 2 and str(path) in failure.value.message and "\n" not in failure.value.message
    assert not path.with_suffix(".duckdb").exists()


def test_does_each_job_get_one_row_and_the_second_run_do_nothing(tmp_path, fake, capsys):
    path = write(tmp_path, fake_jobs())
    assert study(path, workers=2) == 0
    assert rows(path.with_suffix(".duckdb")) == [(DONE, str(seed), "") for seed in range(4)]
    figures = "select name, value, text from figures join jobs using (key) where parameters['seed'] = '3' and name <> 'pid' order by all"
    assert rows(path.with_suffix(".duckdb"), figures) == [("seed", 3.0, None), ("word", None, "fine")]
    before = rows(path.with_suffix(".duckdb"), "select key, status, seconds, finished from jobs order by all")
    assert study(path) == 0 and "4 jobs: 4 were there already, now nothing to do" in capsys.readouterr().out
    write(tmp_path, fake_jobs(seeds=6))
    assert study(path) == 0 and "6 jobs: 4 were there already, now 2 done" in capsys.readouterr().out
    after = rows(path.with_suffix(".duckdb"), "select key, status, seconds, finished from jobs order by all")
    assert set(before) < set(after) and len(after) == 6


def test_are_figures_of_other_sources_other_rows(tmp_path, fake, monkeypatch):
    path = write(tmp_path, fake_jobs(seeds=1))
    assert study(path) == 0
    for place in ("gnomon.study.sweep.source_digest", "gnomon.study.cluster.source_digest", "gnomon.study.limited.source_digest"):
        monkeypatch.setattr(place, lambda: "f" * 32)
    assert study(path) == 0
    assert rows(path.with_suffix(".duckdb"), "select count(*), count(distinct source) from jobs") == [(2, 2)]


def test_is_a_job_that_fails_a_row_that_says_why_and_done_again_only_when_asked(tmp_path, fake, capsys):
    path = write(tmp_path, fake_jobs("crash", seeds=2))
    assert study(path) == 1
    assert rows(path.with_suffix(".duckdb")) == [(FAILED, str(seed), "exit code 9: last words") for seed in range(2)]
    assert study(path) == 0 and "2 were there already" in capsys.readouterr().out
    assert study(path, retry=True) == 1
    assert rows(path.with_suffix(".duckdb"), "select count(*) from jobs") == [(2,)]


def job(append="", harvest=0):
    asked = {"workload": "sort", "design": "", "memory": 1 << 24, "harts": 1, "seed": 1, "append": append, "harvest": harvest}
    return Job("run", tuple(asked.items()))


JOB = job()


def outcome_of(append="", seconds=LONG, memory=1 << 30, harvest=0):
    return limited.work(job(append, harvest), "k", Limits(seconds, memory), limited.source_digest())


def test_is_a_job_ended_that_takes_too_long_or_too_much(fake):
    late = outcome_of(seconds=0.5, harvest=NEVER)
    assert (late.status, late.error) == (OUT_OF_TIME, "ended after 0.5 s")
    greedy = outcome_of("hog", memory=200 << 20)
    assert greedy.status == OUT_OF_MEMORY and greedy.error.endswith("MiB of 200 MiB")
    assert outcome_of("abort").error.startswith("killed by SIGABRT")
    assert outcome_of().status == DONE


def test_does_a_worker_refuse_to_run_another_program(fake):
    with pytest.raises(limited.OtherSource, match="of other sources"):
        limited.work(JOB, "k", Limits(1.0, 1 << 30), "0" * 32)


def test_is_a_worker_that_came_late_with_another_program_one_sentence(tmp_path, fake, monkeypatch):
    monkeypatch.setattr("gnomon.study.limited.source_digest", lambda: "f" * 32)
    with pytest.raises(GnomonError, match=r"a worker cannot take part: .* of other sources: ffffffffffff, not"):
        study(write(tmp_path, fake_jobs()))


def test_does_a_job_die_with_its_worker(tmp_path):
    log = tmp_path / "log"
    script = f"""
from gnomon.study import limited
from gnomon.study.sweep import Job, Limits
limited.COMMAND[:] = {FAKE!r}
limited.work(Job("run", (("append", ""), ("seed", 1), ("harvest", {NEVER}))), "k", Limits({LONG}, 1 << 30), limited.source_digest())
"""
    worker = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "FAKE_JOB_LOG": str(log)})
    pid = int(wait_for(lambda: log.exists() and log.read_text()).split()[0])
    worker.kill()
    worker.wait()
    wait_for(lambda: not is_running(pid))


def is_running(pid):
    """Whether there is such a process, and it is not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, within=LONG):
    end = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def outcome(n, **figures):
    return Outcome(f"{n:032x}", DONE, 1.0, figures or {"a": 1.0, "b": "word"}, "", {"name": "here"}, {"gnomon": "1"})


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_sweep import JOB, outcome
from gnomon.study.results import Results
with Results(Path(sys.argv[1])) as results:
    for n in range(100_000):
        results.keep("s", JOB, "source", outcome(n, **{f"figure {i}": float(n) for i in range(20)}))
        print(n, flush=True)
"""


def test_does_a_kill_at_any_moment_leave_whole_rows(tmp_path):
    path = tmp_path / "results.duckdb"
    seen = 0
    for delay in (0.0, 0.03, 0.11):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE)
        for _ in range(5):
            assert writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        said = [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        with Results(path) as results:
            keys = results.known(done_only=True)
        assert len(keys) >= max([seen, 5, *(n + 1 for n in said)]), "what was said to be kept is kept"
        assert rows(path, "select count(*) from jobs") == [(len(keys),)]
        assert rows(path, "select count(*), count(distinct key) from figures") == [(20 * len(keys), len(keys))]
        seen = len(keys)


def test_is_a_row_never_doubled(tmp_path):
    with Results(tmp_path / "r.duckdb") as results:
        results.keep("s", JOB, "source", outcome(1))
        results.keep("s", JOB, "source", outcome(1, other=3.0))
        failed = msgspec.structs.replace(outcome(2), status=FAILED, figures={}, error="why")
        results.keep("s", JOB, "source", failed)
        results.keep("s", JOB, "source", outcome(2))
        results.keep("s", JOB, "source", failed)
        assert results.counts() == {("run", DONE): 2}
    assert rows(tmp_path / "r.duckdb", "select key, name from figures order by all") == [
        (f"{n:032x}", name) for n in (1, 2) for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a database at all" * 1000, "it may be damaged"),
        (b"\0" * 65536, "it may be damaged"),
    ],
    ids=["text", "zeroes"],
)
def test_is_a_damaged_file_one_sentence(tmp_path, fake, content, said):
    path = write(tmp_path, fake_jobs())
    path.with_suffix(".duckdb").write_bytes(content)
    with pytest.raises(GnomonError, match=said) as failure:
        study(path)
    assert "\n" not in failure.value.message and path.with_suffix(".duckdb").read_bytes() == content


def test_is_a_file_whose_middle_is_gone_one_sentence(tmp_path):
    path = tmp_path / "r.duckdb"
    with Results(path) as results:
        for n in range(50):
            results.keep("s", JOB, "source", outcome(n))
    whole = path.read_bytes()
    path.write_bytes(whole[:12288] + os.urandom(len(whole) - 12288))
    with pytest.raises(GnomonError, match=r"damaged|something else"), Results(path) as results:
        results.known(done_only=False)


def test_are_a_foreign_database_a_busy_one_and_a_missing_folder_one_sentence(tmp_path, fake):
    path = write(tmp_path, fake_jobs())
    with duckdb.connect(str(path.with_suffix(".duckdb"))) as base:
        base.execute("create table jobs (name varchar)")
    with pytest.raises(GnomonError, match="is a database of something else"):
        study(path)
    other = tmp_path / "busy.duckdb"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb, time; b = duckdb.connect({str(other)!r}); print(1, flush=True); time.sleep({LONG})"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline()
    with pytest.raises(GnomonError, match="another process writes"):
        study(path, out=other)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with pytest.raises(GnomonError, match="there is no folder"):
        study(path, out=tmp_path / "nowhere" / "r.duckdb")


def test_does_a_full_disk_keep_what_was_finished(tmp_path):
    path = tmp_path / "r.duckdb"
    with Results(path) as results:
        results.keep("s", JOB, "source", outcome(0))
    script = WRITER.replace("import sys\n", f"import sys, resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 20},) * 2)\n", 1)
    script = script.replace("for n in range(100_000)", "for n in range(1, 100_000)").replace("20)", "2000)")
    ended = subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parent)], capture_output=True, timeout=LONG)
    assert ended.returncode == 1 and "no room on the disk for" in ended.stderr.decode().splitlines()[-1]
    said = [int(line) for line in ended.stdout.split()]
    with Results(path) as results:
        assert len(results.known(done_only=True)) >= len(said) + 1
        results.keep("s", JOB, "source", outcome(999_999))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1 << 20


def test_is_a_scheduler_that_nobody_runs_one_sentence(tmp_path, fake, monkeypatch):
    monkeypatch.setattr("gnomon.study.cluster.ANSWER", "1s")
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(GnomonError, match="no scheduler at") as failure:
            study(write(tmp_path, fake_jobs()), scheduler=address)
        assert "\n" not in failure.value.message


def test_is_it_one_sentence_where_an_extra_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "gnomon.study.results")
    with pytest.raises(GnomonError, match="gnomon study needs duckdb, which is not installed") as failure:
        study(write(tmp_path, fake_jobs()))
    assert failure.value.hint == "pip install 'gnomon[study]'"


def test_is_the_sweep_of_the_documentation_one(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "study.md").read_text()
    sweep = load(write(tmp_path, page.partition("```toml\n")[2].partition("```")[0]))
    assert {job.kind for job in sweep.jobs} == {"run", "check", "bench"}
    assert sweep.limits == Limits(600.0, 8 << 30), "the defaults, as it says"
