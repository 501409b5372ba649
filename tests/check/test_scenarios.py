"""Is every right design proved and every mutant refuted, in as many states as last time?

A changed count is a review event: GNOMON_GOLDENS=write rewrites goldens.json, and the diff shows what changed.
"""

import json
import os
import re
from pathlib import Path

import pytest

from gnomon.check.explore import explore
from gnomon.check.render import race_table
from gnomon.check.scenarios.catalog import build, entries
from gnomon.check.timeline import Timeline

GOLDENS = Path(__file__).parent / "goldens.json"
CASES = [
    pytest.param(entry, mutant, model, id=f"{entry.name}{':' + mutant if mutant else ''}-{model}", marks=[pytest.mark.slow] * entry.slow)
    for entry in entries()
    for mutant in ("", *entry.mutants)
    for model in entry.models
]


@pytest.mark.timeout(2400)  # the largest search, on one core that it shares: a bound that is hit is said before
@pytest.mark.parametrize("entry,mutant,model", CASES)
def test_is_it_proved_or_refuted_as_it_should_be(entry, mutant, model):
    scenario = entry.scenario(mutant)
    # a proof has as many states on any number of cores; a search that ends in the middle of a level may have stored a few more on two
    workers = 1 if entry.expected(mutant, model) == "violated" else 0
    result = explore(scenario, model, max_seconds=2000.0, memory=3 << 30, workers=workers)
    assert result.verdict == entry.expected(mutant, model), str(result)
    assert result.transitions > 0, "a test that explored nothing shows nothing"
    assert result.violated or result.ends > 0, "a proof in which nobody comes to an end shows nothing"
    key, found = f"{scenario.name} {model}", [result.verdict, result.property, result.states, len(result.schedule)]
    goldens = json.loads(GOLDENS.read_text()) if GOLDENS.exists() else {}
    if os.environ.get("GNOMON_GOLDENS") == "write":
        goldens[key] = found
        GOLDENS.write_text(json.dumps(goldens, indent=1, sort_keys=True) + "\n")
    else:
        assert found == goldens.get(key)
    if result.violated:
        if mutant and entry.mutants[mutant].property:
            assert result.property == entry.mutants[mutant].property
        timeline = Timeline(scenario, result)
        assert f"VIOLATED: {result.property}" in race_table(timeline)
        assert not re.search(r"\bword \d", race_table(timeline, every=True)), "an address where a name should be"


@pytest.mark.parametrize("name", ["rcu/grace-period", "mmu/handshake", "rmap/moved-entry", "tutorial/treiber", "slab/page-kept"])
@pytest.mark.parametrize("model", ["sc", "tso"])
def test_does_the_full_search_agree_with_the_reduced_one(name, model):
    reduced, full = explore(build(name), model), explore(build(name), model, reduce=False, buffer=12, max_states=1_000_000)
    assert (reduced.verdict, full.verdict) == ("proved", "proved") or full.verdict == "bounded"
    assert 0 < reduced.states <= full.states
