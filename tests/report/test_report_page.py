"""Is the report whole, does it say what is missing, and does it read on a phone, in the dark, by keyboard?"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from browser import needs_browser, visit

from gnomon.check.claims import CLAIMS, settle
from gnomon.check.matrix import SHIPPED, Cell
from gnomon.cli import bench, gather, report, warming
from gnomon.cli.main import command
from gnomon.cli.target import target
from gnomon.report.claims_page import evidence
from gnomon.report.matrix_page import matrix
from gnomon.report.report_page import Section, Step, report_page
from gnomon.study.pressure.kept import Cited, Run
from gnomon.study.pressure.run import Cache, Outcome, Sample

CELLS = [
    Cell(design, prop, model, verdict, "reuse/middle-level-guard" if verdict else "", 1234, 47, 0.1)
    for design, verdict in ((SHIPPED, "proved"), ("guard=none", "violated"), ("guard=fixup", "bounded"))
    for prop in ("nothing lost", "memory safety", "assertions", "progress", "bounds")
    for model in ("sc", "tso")
] + [Cell("walk=forward", "bounds", "sc", "", "", 0, 0, 0.0)]
ROWS = [bench.Row("protect", "harvest, scattered pages of a guest", 12.5, "ns/page", "mprotect", 9.1, "ratio >= 5", True)]


SAMPLES = [Sample(n / 10, 60, 7 * n, 4, 90 - 9 * n, 30 * (3 <= n < 6)) for n in range(10)]
COUNTS = (
    "low crossings",
    "min crossings",
    "failed allocations",
    "refused to the consumer",
    "shrinker runs",
    "stalls",
    "grace periods",
    "zaps",
)
CACHES = tuple(Cache(name, 7, 128) for name in ("page tables", "shadow pages", "rmap descriptors"))
OUTCOME = Outcome("call-rcu", True, 1.0, 128, 4, CACHES, SAMPLES, dict.fromkeys((*COUNTS, "stores"), 7), ())


@pytest.fixture(scope="module")
def gathered():
    found = gather.Gathered()
    claim = next(c for c in CLAIMS if c.id == "C10")
    seen = []
    found.claims = [settle(claim, "sc", found=lambda scenario, result: seen.append((scenario, result)))]
    found.evidence = {"C10": evidence(seen, lambda name: f"about {name}")}
    found.cells, found.rows = CELLS[:-1], ROWS
    found.outcomes = [OUTCOME]
    found.runs = [Cited("C10", True, "not by pressure, but <so>", Run("gnomon pressure --time 1s", "today", "P", "0"))]
    found.step("gnomon claims", 1.5, gather.DONE)
    found.step("gnomon bench <slow>", 0.0, gather.LEFT_OUT, "not in --quick")
    return found


@pytest.fixture(scope="module")
def text(gathered):
    return report._page(gathered, report._made(True, None), True)


def test_has_the_page_every_part_and_where_each_comes_from(text):
    assert {"claims", "matrix", "bench", "pressure", "made"} == set(re.findall(r'<section class=part id="?([a-z]+)', text))
    for shown in (
        "gnomon claims",
        "gnomon check --matrix",
        "gnomon bench protect",
        "gnomon pressure --time 1s",
        "gnomon check reuse/middle-level-guard --design guard=none --model tso",
    ):
        assert f"<code>{shown}</code>" in text
    assert text.count("<section class=race") == 1 and "gnomon check reuse/middle-level-guard:none --model sc" in text
    assert "not in --quick" in text and "1 of 2 steps" in text and "gnomon bench &lt;slow&gt;" in text
    assert "llvmlite" in text and "sources " in text
    assert text.count("not by pressure, but &lt;so&gt;") == 2, "the claim and the section cite the run"
    assert "ns a page of a lockless harvest" in text, "a bench says what it measures"
    assert text.count("another consumer takes every frame") == 1


def test_is_a_matrix_cell_a_line_for_each_model_and_what_it_rests_on(text):
    row = re.search(r"<tr><td><b>guard=<wbr>none</b></td>.*?</tr>", text)[0]
    assert row.count("<td>") == 6
    assert row.count("<span class=model>sc</span> <span class=violated>violated</span> 47 steps<br><span class=model>tso</span>") == 5
    assert row.count("<small>reuse/middle-level-guard</small>") == 5
    assert "<span class=proved>proved</span> 1,234" in text and matrix([CELLS[-1]]).count("not looked at") == 1


def test_does_the_page_say_what_its_words_mean(text):
    shown = re.search(r"<details class=glossary>.*?</details>", text, re.DOTALL)[0]
    for word in ("spte", "rmap", "harvest", "grace period", "type-stable slab", "n_max", "proved", "violated", "bounded", "tso"):
        assert re.search(rf"<dt>[^<]*\b{word}\b", shown), word


def test_is_nothing_fetched_and_does_every_link_lead_somewhere(text):
    assert not re.search(r"https?://", text) and not re.search(r"<(?:link|img|script)[^>]+(?:src|href)=['\"](?!data:)", text)
    ids = re.findall(r'\bid="?([^"\s>]+)', text)
    assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)


def test_is_a_step_that_was_done_no_reason_to_say_that_something_is_missing():
    page = report_page("a & b", [Section("x", "X", "said", ("gnomon x",), "<p>body")], [Step("gnomon x", 1.0, "done")], {"date": "now"})
    assert "Not all is here" not in page and "a &amp; b" in page
    assert "1 of 1 steps" in report_page("t", [], [Step("gnomon x", 1.0, "failed")], {})


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (500, "dark")])
def test_does_it_fit_the_window_and_do_keys_open_and_step(tmp_path, text, width, scheme):
    script = """
    const say = (n, v) => {const p = document.createElement('p'); p.id = n; p.textContent = v; document.body.append(p)};
    const key = k => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true}));
    say('wide', document.documentElement.scrollWidth > innerWidth);
    say('dark', getComputedStyle(document.body).backgroundColor === 'rgb(21, 24, 27)');
    const summary = document.querySelector('#C10 details summary');
    summary.focus(); summary.click();
    setTimeout(() => {
      key('ArrowRight'); say('open', document.querySelectorAll('#C10 .row.now').length);
      document.querySelector('.cards a').focus();
      say('kept', document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'End', bubbles: true, cancelable: true})));
      document.querySelectorAll('details').forEach(d => {d.open = true});
      say('open-wide', document.documentElement.scrollWidth > innerWidth);
      const frame = document.createElement('iframe'); frame.style = 'width:360px;height:700px;border:0'; frame.srcdoc = PAGE;
      document.body.append(frame);
      frame.onload = () => say('phone', frame.contentDocument.documentElement.scrollWidth);
    }, 300);
    """
    script = f"const PAGE = {json.dumps(text)};".replace("</", "<\\/") + script
    dom = visit(tmp_path, text, script, width=width, flags=(f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",))
    for name, value in (
        ("wide", "false"),
        ("dark", str(scheme == "dark").lower()),
        ("open", "1"),
        ("kept", "true"),
        ("open-wide", "false"),
    ):
        assert f'<p id="{name}">{value}</p>' in dom, name
    assert int(re.search(r'<p id="phone">(\d+)</p>', dom)[1]) <= 360


def test_is_the_data_of_the_page_given_as_json(gathered):
    document = msgspec.to_builtins(report._document(gathered, report._made(False, None)))
    assert document["claims"][0]["evidence"][0]["schedule"] and len(document["matrix"]) == len(CELLS) - 1
    assert document["bench"][0]["value"] == 12.5 and document["steps"][1]["status"] == "left out"


def test_does_a_report_without_time_say_what_it_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(warming, "warm", lambda: None)  # nothing will run
    page = tmp_path / "r.html"
    page.write_text("old")
    assert command(["report", "--quick", "-o", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {step["status"] for step in document["steps"]} == {"left out", "cut short"} and not document["claims"]
    assert "C1, C2" in page.read_text() and [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_is_a_command_that_fails_one_sentence_in_the_report_and_one_that_takes_too_long_ended(monkeypatch):
    found = gather.Gathered()
    assert gather.ask(found, ["bench", "nonsense"], "gnomon bench nonsense", lambda _: None) is None
    assert found.steps[0].status == "failed" and found.steps[0].why == "gnomon: no bench is named nonsense"
    monkeypatch.setattr(gather, "LEAST_TO_BEGIN", 0.0)
    found.until = time.monotonic() + 1.0
    hang = gather.ask(found, ["receive", "127.0.0.1:0"], "a command that waits for ever", lambda _: None)
    assert hang is None and found.steps[1].status == "left out"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "where is the report to be written?"),
        (["-o", "."], "is a folder"),
        (["-o", "none/r.html"], "there is no folder"),
        (["-o", "r.html", "--results", "none.duckdb"], "there is no results file none.duckdb"),
        (["-o", "r.html", "--results", "damaged.duckdb"], "it may be damaged"),
    ],
)
def test_is_what_cannot_work_refused_before_anything_runs(tmp_path, monkeypatch, capsys, words, said):
    if "damaged.duckdb" in words:
        pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged.duckdb").write_bytes(b"no database" * 1000)
    assert command(["report", *words]) != 0
    error = capsys.readouterr().err
    assert said in error and "hint: " in error and "report: " not in error
    assert [p.name for p in tmp_path.iterdir()] == ["damaged.duckdb"]


def test_does_a_page_that_cannot_be_finished_leave_the_old_one(tmp_path, monkeypatch):
    page = tmp_path / "r.html"
    page.write_text("old")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        report.replace(page, "new")
    assert page.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_is_a_device_written_to_and_not_replaced():
    report.replace(target(report.Path("/dev/null"), "-o"), "text")
    assert not os.path.isfile("/dev/null")


def test_does_ctrl_c_end_it_and_leave_nothing(tmp_path):
    words = [sys.executable, "-m", "gnomon.cli", "report", "-o", "r.html"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr.readline()  # it has begun
        process.send_signal(signal.SIGINT)
        assert process.wait(600) == 130
    assert list(tmp_path.iterdir()) == []


def test_are_the_figures_of_a_study_in_the_page(tmp_path):
    pytest.importorskip("duckdb")
    from gnomon.report.study_page import study
    from gnomon.study.limited import DONE, Outcome
    from gnomon.study.results import Results, read
    from gnomon.study.sweep import Job

    path = tmp_path / "s.duckdb"
    with Results(path) as results:
        for n, design in enumerate(("", "guard=fixup")):
            asked = {"workload": "dirty", "memory": 64 << 20, "harts": 1, "design": design, "seed": 1, "append": ""}
            job = Job("run", tuple(asked.items()))
            outcome = Outcome(str(n), DONE, 2.0, {"zaps": 1.0, "MIPS": 100.0 + n, "said": "<b>"}, "", {"processor": "P"}, {"gnomon": "9"})
            results.keep("mine", job, "source", outcome)
    jobs = read(path)
    page = study(jobs)
    assert [j.figures["MIPS"] for j in jobs] == [100.0, 101.0] and "mine: run, 2 jobs" in page and "P, gnomon 9" in page
    assert page.index("<th scope=col>MIPS") < page.index("<th scope=col>zaps") and "&lt;b&gt;" in page and "<b>" not in page
    assert "<summary>MIPS</summary>" in page and "<summary>zaps</summary>" not in page, "bars where a figure differs"
    assert "design as shipped" in page and "design=guard=fixup" in page
