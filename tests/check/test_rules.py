"""Does every ordering rule have a scenario that is proved beside a mutant that is refuted, and every property a mutant that violates it?"""

import json
import os
import pickle
import re
from pathlib import Path

import pytest

from gnomon.check.context import VIOLATIONS
from gnomon.check.scenarios.catalog import Unknown, entries, find
from gnomon.check.scenarios.rules import RULES, table

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
DOCS = Path(__file__).parents[2] / "docs" / "check.md"
ALL = [f"{letter}-{n}" for letter, last in (("I", 23), ("S", 9), ("N", 8), ("R", 7)) for n in range(1, last + 1)]


def test_is_every_rule_listed_once():
    assert [rule.id for rule in RULES] == ALL


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_is_every_rule_broken_by_a_mutant_of_a_scenario_that_is_right(rule):
    assert bool(rule.shown_by) != bool(rule.reason), "a mutant, or the reason why there is none"
    for scenario, mutant in rule.shown_by:
        entry, found = find(f"{scenario}:{mutant}")[:2]
        assert found == mutant and not entry.witness
        for model in entry.models:
            assert GOLDENS[f"{scenario} {model}"][0] == "proved"
        assert "violated" in [GOLDENS[f"{scenario}:{mutant} {model}"][0] for model in entry.models]


def test_do_the_docs_show_the_table_of_rules():
    text = DOCS.read_text()
    shown = re.search(r"<!-- rules -->\n(.*)<!-- /rules -->", text, re.DOTALL)
    assert shown
    if os.environ.get("GNOMON_GOLDENS") == "write":
        DOCS.write_text(text[: shown.start(1)] + table() + text[shown.end(1) :])
    else:
        assert shown[1] == table()


def test_is_no_golden_of_a_scenario_that_is_gone():
    alive = {f"{e.name}{':' + u if u else ''} {m}" for e in entries() for u in ("", *e.mutants) for m in e.models}
    if os.environ.get("GNOMON_GOLDENS") == "write":
        path = Path(__file__).parent / "goldens.json"
        kept = {key: value for key, value in json.loads(path.read_text()).items() if key in alive}
        path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    else:
        assert set(GOLDENS) == alive


def violations() -> dict[str, list[str]]:
    """Property → the mutants that violate it."""
    found: dict[str, list[str]] = {}
    for key, (verdict, violated, *_) in GOLDENS.items():
        if verdict == "violated":
            found.setdefault(violated, []).append(key)
    return found


@pytest.mark.parametrize("violated", ["nothing lost", "progress", *VIOLATIONS.values()])
def test_is_every_property_seen_violated(violated):
    assert violations().get(violated), f"nothing has ever violated {violated!r}: does anybody look?"


def test_is_a_bound_on_pages_seen_violated():
    bounds = {p.name for e in entries() for u in e.mutants for p in e.scenario(u).always_properties} | {
        p.name for e in entries() if e.witness for p in e.scenario().always_properties
    }
    assert bounds & violations().keys()


@pytest.mark.parametrize("mutant", ["lock/order:crosswise", "rcu/wait-inside-reader:no-check"])
def test_is_a_deadlock_seen_as_threads_that_turn_for_ever(mutant):
    """Kernels wait by turning: who waits for each other, or for himself, never gets on."""
    for model in ("sc", "tso"):
        assert GOLDENS[f"{mutant} {model}"][:2] == ["violated", "progress"]


def test_does_an_unknown_name_survive_the_way_from_a_worker_process():
    with pytest.raises(Unknown) as told:
        find("harvest/fast-fault:nothing")
    again = pickle.loads(pickle.dumps(told.value))
    assert (str(again), again.known) == (str(told.value), told.value.known)
    assert str(again) == "no mutant of harvest/fast-fault named 'nothing'" and again.known
