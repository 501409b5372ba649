"""Is the evidence of a claim a click away?"""

import re

import pytest
from browser import needs_browser, visit

from gnomon.check.claims import CLAIMS, settle
from gnomon.check.timeline import Timeline
from gnomon.report.claims_page import claims_page

SHOWN = ("C5", "C9", "C10")


@pytest.fixture(scope="module")
def text():
    rows, evidence = [], {}
    for claim in CLAIMS:
        if claim.id in SHOWN:
            found = []
            rows.append(settle(claim, "sc", found=lambda scenario, result, to=found: to.append((scenario, result))))
            evidence[claim.id] = [(Timeline(s, r), "why") for s, r in found if r.violated]
    return claims_page(rows, evidence)


def test_has_every_claim_its_verdict_and_each_refuting_search_its_counterexample(text):
    assert text.count("class=claim") == len(SHOWN)
    assert re.search(r'id="C10".*the guest faults for ever', text)
    violated = [name for claim in CLAIMS if claim.id in SHOWN for name, verdict in claim.shown_by if verdict == "violated"]
    assert text.count("<section class=race") == len(violated) > 1
    assert "gnomon check reuse/" in text and "http" not in text


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
