"""Does the tutorial do what it says, from an empty folder?

Its ```python blocks with a title are files (`replaces` puts a block in the place of a function), its ```console blocks are run line by
line: `# exits N` is how a line ends, and each line below it is part of what it prints.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(
    r'^```(?:python title="(?P<title>[^"]+)"(?: replaces="(?P<old>\w+)")?|(?P<console>console))\n(?P<text>.*?)^```$', re.M | re.S
)
LINE = re.compile(r"\$ (?P<command>.*?)(?:  # exits (?P<code>\d+))?$")
LONG = 600


def write(folder: Path, title: str, old: str | None, text: str) -> None:
    file = folder / title
    if old:
        function = re.compile(rf"^@kernel\ndef {old}\(.*?(?=^@kernel|^def |\Z)", re.M | re.S)
        text, replaced = function.subn(lambda _: text + "\n\n", file.read_text())
        assert replaced == 1, f"{title} has no {old} to replace"
    file.write_text(text)


def run(folder: Path, block: str) -> None:
    command, expected = None, []
    for line in [*block.splitlines(), "$ true"]:
        match = LINE.fullmatch(line)
        if not match:
            expected.append(line)
            continue
        if command:
            words = command["command"].split()
            words = [sys.executable, "-m", "gnomon.cli", *words[1:]] if words[0] == "gnomon" else [sys.executable, *words[1:]]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LONG, env=os.environ | {"COLUMNS": "200"})
            said = done.stdout + done.stderr
            assert done.returncode == int(command["code"] or 0), f"{command['command']}\n{said}"
            assert "Traceback" not in said
            for text in expected:
                assert text in said, f"{command['command']} did not say {text!r}:\n{said}"
        command, expected = match, []


@pytest.mark.timeout(4 * LONG)
def test_does_every_step_do_what_it_says(tmp_path):
    blocks = list(BLOCK.finditer(PAGE))
    assert len(blocks) >= 10 and PAGE.count("```") == 2 * len(blocks), "every block of the page is a file or is run"
    for block in blocks:
        if block["console"]:
            run(tmp_path, block["text"])
        else:
            write(tmp_path, block["title"], block["old"], block["text"])
    assert "<section class=race" in (tmp_path / "aba.html").read_text()


@pytest.mark.parametrize(
    "text,says",
    [
        ("def scenario(:\n", "own.py:1 cannot be imported: SyntaxError"),
        ("import no_such_module_anywhere\n", "cannot be imported: ModuleNotFoundError"),
        ("x = 3\n", "has no function scenario()"),
        ("def scenario():\n    return 3\n", "does not return a Scenario but a int"),
        ("from gnomon.check.scenario import Scenario\ndef scenario():\n    return Scenario('x', words=512)\n", "has no threads"),
    ],
)
def test_is_a_file_that_makes_no_scenario_one_sentence(tmp_path, monkeypatch, text, says):
    from gnomon.cli.check_commands import check
    from gnomon.errors import GnomonError

    (tmp_path / "own.py").write_text(text)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    with pytest.raises(GnomonError, match=re.escape(says)) as told:
        check(f"{tmp_path / 'own.py'}")
    assert told.value.exit_code == 3
    sys.modules.pop("own", None)


def test_is_a_file_that_is_not_there_or_has_a_taken_name_one_sentence(tmp_path):
    from gnomon.cli.check_commands import check
    from gnomon.errors import GnomonError

    with pytest.raises(GnomonError, match=r"cannot read .*none\.py: No such file"):
        check(f"{tmp_path / 'none.py'}")
    (tmp_path / "json.py").write_text("")
    with pytest.raises(GnomonError, match=r"json\.py has the name of a module that is loaded already"):
        check(f"{tmp_path / 'json.py'}")
