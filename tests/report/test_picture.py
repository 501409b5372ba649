"""Does the picture show the page tables as they are in memory at that step?"""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.check.timeline import Timeline
from gnomon.report.picture import picture
from gnomon.report.scene import Scenery


def timeline(name: str, model: str = "sc") -> Timeline:
    scenario = build(name)
    return Timeline(scenario, explore(scenario, model))


@pytest.fixture(scope="module")
def reuse():
    return timeline("reuse/middle-level-guard:none", "tso")


def test_is_the_table_under_the_protector_drawn_as_what_it_has_become(reuse):
    scenery = Scenery(reuse)
    first, *_, last = [scenery.at(n) for n in range(-1, len(reuse.moments))]
    assert [t.level for t in first.tables] == [3, 2, 1] and first.tables[2].name == "table A"
    assert (first.tables[0].owner, first.tables[1].owner, first.tables[2].owner) == ("gfn 0, L3", "gfn 0, L2", "gfn 0, L1")
    named = {t.owner: t for t in last.tables}
    assert named["gfn 4, L2"].at == first.tables[2].at and not named["gfn 0, L2"].entries[0].target
    hit = named["gfn 4, L2"].entries[0]
    assert "W" not in hit.flags and hit.target, "C10: the middle spte has lost W"


def test_does_the_tlb_hold_what_the_tables_no_longer_allow():
    lost = timeline("harvest/fast-fault:skip-flush")
    scenery = Scenery(lost)
    scene = [scenery.at(n) for n in range(len(lost.moments))][-1]
    leaf = next(t for t in scene.tables if t.level == 1).entries[0]
    assert "W" not in leaf.flags and "store" in scene.vcpus[0].tlb[0].kinds
    assert scene.vcpus[0].tlb[0].target == leaf.target == scene.pages[0].at
    page = scene.pages[0]
    assert page.copy < page.value and not page.dirty and not page.snapshot, "the last store is in no copy, and nothing says so"


def test_are_rmap_chains_drawn_with_their_ends_and_what_left_them():
    walked = timeline("rmap/reused-descriptor:no-nulls")
    scenery = Scenery(walked)
    first, *_, last = [scenery.at(n) for n in range(-1, len(walked.moments))]
    chain = first.chains[0]
    assert chain.name == "rmap A" and [name for _, name, _ in chain.links] == ["desc 0", "desc 1"] and chain.end == "nulls(rmap A)"
    assert any(c.name == "in no rmap" and c.links[0][1] == "desc 0" for c in last.chains)


def test_is_there_no_picture_where_there_is_no_page_table():
    assert Scenery(timeline("tutorial/treiber:naive")).at(-1) is None


def test_is_every_picture_well_formed_and_inside_its_frame(reuse):
    scenery = Scenery(reuse)
    pictures = {picture(scenery.at(n)) for n in range(-1, len(reuse.moments))}
    assert len(pictures) > 5
    for text in pictures:
        root = ElementTree.fromstring(text)
        _, _, width, height = (float(n) for n in root.get("viewBox").split())
        boxes = [e for e in root.iter() if e.tag == "rect"]
        assert boxes and all(
            float(b.get("x")) + float(b.get("width")) <= width and float(b.get("y")) + float(b.get("height")) <= height for b in boxes
        )
        assert width <= 480, "a phone shows it without scrolling"
        assert not re.search(r"\bword \d", text)
