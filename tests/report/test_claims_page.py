"""Is the evidence of a claim a click away?"""

import re

import pytest
from browser import needs_browser, visit

from gnomon.check.claims import CLAIMS, settle
from gnomon.report.claims_page import claims_page, evidence
from gnomon.study.pressure.kept import Cited, Run

SHOWN = ("C5", "C9", "C10")
RUN = Run("gnomon pressure --time 1s", "2026-01-01", "P, 2 CPUs", "0")


@pytest.fixture(scope="module")
def text():
    rows, searches = [], {}
    for claim in CLAIMS:
        if claim.id in SHOWN:
            found = []
            rows.append(settle(claim, "sc", found=lambda scenario, result, to=found: to.append((scenario, result))))
            searches[claim.id] = evidence(found, lambda name: f"about {name}")
    return claims_page(rows, searches, {"C5": Cited("C5", True, "the consumer gets 7 frames & more", RUN)})


def test_has_every_claim_its_verdict_and_each_refuting_search_its_counterexample(text):
    assert text.count("class=claim") == len(SHOWN)
    assert re.search(r'id="C10".*the guest faults for ever', text)
    violated = [name for claim in CLAIMS if claim.id in SHOWN for name, verdict in claim.shown_by if verdict == "violated"]
    assert text.count("<section class=race") == len(violated) > 1
    searches = [name for claim in CLAIMS if claim.id in SHOWN for name, _ in claim.shown_by]
    assert all(f"<code>gnomon check {name} --model sc</code>" in text and f"about {name}" in text for name in searches)
    assert "http" not in text


def test_is_what_the_run_showed_beside_the_verdict(text):
    row = re.search(r'<tr><td><a href="#C5">.*?</tr>', text)[0]
    assert "shown<small class=shown>and in the run</small>" in row and text.count("in the run</small>") == 1
    shown = re.search(r'<div class=claim id="C5">.*?<div class=claim', text, re.DOTALL)[0]
    assert "the consumer gets 7 frames &amp; more" in shown and "<code>gnomon pressure --time 1s</code>" in shown


@needs_browser
def test_does_a_click_open_the_counterexample_and_do_keys_step_it(tmp_path, text):
    script = """
    const say = (n, v) => {const p = document.createElement('p'); p.id = n; p.textContent = v; document.body.append(p)};
    const key = k => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true}));
    key('ArrowRight'); say('closed', document.querySelectorAll('.row.now').length);
    document.querySelector('#C10 details summary').click();
    setTimeout(() => {key('ArrowRight'); say('open', document.querySelectorAll('#C10 .row.now').length)}, 300);
    """
    dom = visit(tmp_path, text, script)
    assert '<p id="closed">0</p>' in dom and '<p id="open">1</p>' in dom
