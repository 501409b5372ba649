"""SPECIFICATION.md, README.md, CHANGELOG.md: is what they name there?"""

import re
from pathlib import Path

import pytest

from gnomon.cli.bench import benches
from gnomon.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATION = (ROOT / "SPECIFICATION.md").read_text()
PROMISE = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
PROMISES = {number: held for number, _, held in PROMISE.findall(SPECIFICATION)}


@pytest.mark.parametrize("number", PROMISES)
def test_is_the_promise_held_by_something_that_exists(number):
    held = PROMISES[number]
    tests = re.findall(r"`(tests/\S+\.py)::(\w+)`", held)
    figures = re.findall(r"`gnomon bench (\S+)`", held)
    assert tests or figures or "pending" in held
    for file, test in tests:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {test}"
    for name in figures:
        assert name in benches()


def test_are_promises_numbered_once():
    numbers = [number for number, *_ in PROMISE.findall(SPECIFICATION)]
    assert len(numbers) == len(set(numbers)) > 40


@pytest.mark.parametrize("page", ["README.md", "SPECIFICATION.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_do_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_does_the_page_of_the_command_line_know_every_command():
    page = (ROOT / "docs" / "cli.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", page), command


def test_is_the_changelog_one_that_tools_can_read():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n") and "## [Unreleased]" in text
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
