"""Can a counterexample be stepped through in a browser, by keyboard alone, on a laptop and on a phone?"""

import json
import re

import pytest
from browser import needs_browser, visit

from gnomon.check.explore import explore
from gnomon.check.programs.treiber import treiber
from gnomon.check.scenarios.catalog import build
from gnomon.check.timeline import Timeline
from gnomon.report.page import page

KEY = "const key = k => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true}));"
TELL = "const tell = (n, text) => {const p = document.createElement('p'); p.id = n; p.textContent = text; document.body.append(p)};"
NOW = "const now = () => document.querySelector('.row.now')?.textContent ?? 'none';"


def made(name: str, model: str = "tso") -> Timeline:
    """The same counterexample each time: of the shortest ones, several workers show the one that they meet first."""
    scenario = build(name)
    return Timeline(scenario, explore(scenario, model, workers=1))


@pytest.fixture(scope="module")
def lost():
    return made("harvest/fast-fault:skip-flush")


@pytest.fixture(scope="module")
def looping():
    return made("reuse/middle-level-guard:none")


def told(dom: str, name: str) -> str:
    return re.search(rf'<p id="{name}">(.*?)</p>', dom, re.DOTALL).group(1)


def test_is_the_page_self_contained_and_readable_without_a_script(lost):
    text = page(lost, "what it shows", "gnomon check x")
    assert not re.search(r"""(src|href)=["']?(?!data:|#)\w""", text) and "http" not in text and "@import" not in text
    assert text.count("role=option") == len(lost.moments)
    assert re.search(r"page 0 holds 2, its copy at the destination [01]: LOST", text) and "violated: nothing lost" in text


def test_does_markup_in_a_scenario_stay_text():
    scenario = treiber(2, tags=1)
    scenario.name = "<script>alert(1)</script>"
    text = page(Timeline(scenario, explore(scenario, "sc")), "<b>&", "</script>")
    assert "<script>alert" not in text and "<b>" not in text


@needs_browser
def test_do_keys_buttons_and_slider_step(tmp_path, lost):
    script = (
        KEY
        + TELL
        + NOW
        + """
    tell('start', now());
    key('ArrowRight'); key('ArrowRight'); tell('two', now());
    key('ArrowLeft'); tell('one', now());
    document.querySelector('.on').click(); tell('button', now());
    key('End'); tell('end', now()); key('ArrowRight'); tell('beyond', now());
    key('Home'); tell('home', now());
    const slider = document.querySelector('.slider'); slider.value = 3; slider.dispatchEvent(new Event('input')); tell('slid', now());
    const lines = slider.max; key('a'); tell('private', Number(slider.max) > Number(lines));
    """
    )
    dom = visit(tmp_path, page(lost), script)
    lines = [m.text for m in lost.lines()]
    for name, text in (
        ("two", lines[1]),
        ("one", lines[0]),
        ("button", lines[1]),
        ("end", lines[-1]),
        ("beyond", lines[-1]),
        ("slid", lines[2]),
    ):
        assert text in told(dom, name).replace("&gt;", ">"), name
    assert told(dom, "start") == told(dom, "home") == "none" and told(dom, "private") == "true"


@needs_browser
def test_do_source_tables_buffers_and_words_follow_the_step(tmp_path, lost):
    hit = next(m for m in lost.moments if m.event.kind == "cmpxchg" and m.text.endswith("-W"))
    script = (
        KEY
        + TELL
        + f"""
    document.getElementById('race-{hit.number}').click();
    const text = s => document.querySelector(s).textContent;
    tell('line', text('.line.now')); tell('where', text('.source h3'));
    tell('before', document.querySelectorAll('.before rect.flag.on.W').length);
    tell('after', document.querySelectorAll('.after rect.flag.on.W').length);
    tell('marked', document.querySelectorAll('.after rect.touched').length);
    tell('buffer', text('.buffers')); tell('words', text('.words'));
    key('End'); tell('differs', document.querySelectorAll('.after rect.differs').length);
    """
    )
    dom = visit(tmp_path, page(lost), script)
    assert "cmpxchg(m, at, spte, new)" in told(dom, "line") and "spte_exchange" in told(dom, "where")
    assert int(told(dom, "before")) == int(told(dom, "after")) + 1, "the picture after the step lacks the W that the one before has"
    assert int(told(dom, "marked")) >= 1
    waiting = [lost.buffer_text(pairs) for pairs in hit.event.buffers]
    assert any(waiting) and all(text in told(dom, "buffer") for text in waiting) and "table 0[0]" in told(dom, "words")
    assert told(dom, "differs") == "1"


@needs_browser
def test_does_stepping_behind_the_end_go_round_for_ever(tmp_path, looping):
    first = next(m for m in looping.lines() if m.looping)
    dom = visit(tmp_path, page(looping), KEY + TELL + NOW + "key('End'); key('ArrowRight'); tell('round', now());")
    assert first.text in told(dom, "round").replace("&gt;", ">")


@needs_browser
@pytest.mark.parametrize("width", [1366, 500])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_does_it_fit_and_is_it_readable_in_both_schemes(tmp_path, looping, width, scheme):
    """No sideways scrolling, and at least 4.5 : 1 between ink and page. 360 px is asked of a frame: a window is not that narrow."""
    script = (
        TELL
        + """
    tell('over', document.documentElement.scrollWidth - innerWidth);
    const luma = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
    const ratio = e => { const s = [luma(getComputedStyle(e).color), luma(getComputedStyle(document.body).backgroundColor)].sort();
      return (s[1] + .05) / (s[0] + .05) };
    const inked = ['body', '.facts', '.cell.t0', '.cell.t1', '.place', '.ending .lost'];
    tell('ink', Math.min(...inked.map(q => ratio(document.querySelector(q)))));
    tell('page', getComputedStyle(document.body).backgroundColor);
    const frame = document.createElement('iframe'); frame.style = 'width:360px;height:700px;border:0'; frame.srcdoc = PAGE;
    document.body.append(frame);
    frame.onload = () => tell('phone', frame.contentDocument.documentElement.scrollWidth);
    """
    )
    text = page(looping)
    inner = "const PAGE = " + repr_js(text) + ";"
    dom = visit(tmp_path, text, inner + script, width=width, flags=(f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",))
    assert int(told(dom, "over")) <= 0 and int(told(dom, "phone")) <= 360
    assert float(told(dom, "ink")) >= 4.5
    assert (told(dom, "page") == "rgb(255, 255, 255)") == (scheme == "light")


def repr_js(text: str) -> str:
    return json.dumps(text).replace("</", "<\\/")
