"""verdicts: what the checker says of a scenario, explored once for each state of the sources and kept in the cache directory after that.

The key is a digest of every file that a verdict depends on: kernels, scenarios, explorer. Nothing else is trusted; a bounded search is
not kept.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gnomon.check.explore import explore
from gnomon.check.scenarios.catalog import build
from gnomon.lang import cache

LIMIT = 60.0
"""Seconds a scenario may take."""


def sources() -> str:
    """Digest of what verdicts depend on."""
    state = hashlib.blake2b(cache.digest().encode(), digest_size=16)
    mmu = cache.PACKAGE / "mmu"
    for path in [*sorted((cache.PACKAGE / "check").glob("**/*.py")), mmu / "axes.py", mmu / "designs.py"]:
        state.update(path.read_bytes())
    return state.hexdigest()


def verdicts(names: list[str], model: str = "tso", tell=lambda name: None) -> dict[str, dict]:
    """{name: {verdict, property, states, steps, seconds}} of scenarios, each explored unless that was done before."""
    place = cache.DIRECTORY.parent / f"verdicts-{sources()}.json" if cache.DIRECTORY is not None else None
    kept = _read(place)
    for name in names:
        key = f"{name} {model}"
        if key not in kept:
            tell(name)
            result = explore(build(name), model, max_seconds=LIMIT)
            kept[key] = {
                "verdict": result.verdict,
                "property": result.property,
                "states": result.states,
                "steps": len(result.schedule),
                "seconds": result.seconds,
            }
            if result.verdict != "bounded":
                _write(place, kept)
    return {name: kept[f"{name} {model}"] for name in names}


def _read(place: Path | None) -> dict[str, dict]:
    try:
        return json.loads(place.read_text()) if place is not None else {}
    except (OSError, ValueError):
        return {}


def _write(place: Path | None, kept: dict[str, dict]) -> None:
    if place is None:
        return
    try:
        fresh = place.with_suffix(".new")
        fresh.write_text(json.dumps({key: value for key, value in kept.items() if value["verdict"] != "bounded"}))
        fresh.replace(place)
    except OSError:
        pass  # a cache: next time it is explored again
