"""The compile cache: can machine code from before a change ever run after it?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gnomon

PACKAGE = Path(gnomon.__file__).parent
LEAF = '''"""A callee in a file of its own."""
from gnomon.lang.atomics import mb, read_once, write_once
from gnomon.lang.kernel import kernel

VALUE = 1


@kernel
def leaf(m, at):
    """Write, fence, read."""
    write_once(m, at, VALUE)
    mb()
    return read_once(m, at)
'''
CALLER = '''"""A caller whose own file never changes."""
from gnomon.lang.kernel import kernel
from gnomon.sync.probe_leaf import leaf


@kernel(entry=True)
def caller(m, at):
    """Call the leaf."""
    return leaf(m, at) + 100
'''
RUN = """
from gnomon.lang import Arena
from gnomon.lang.cache import digest
from gnomon.sync.probe_caller import caller
result = caller(Arena(512), 64)
print(result, sum(caller.stats.cache_hits.values()), digest())
"""


class Copy:
    """A copy of lang with two small kernels beside it, and a cache that all runs of it share.

    No byte code is kept: what is changed and changed back within a second, at the same length, is the same file to Python."""

    def __init__(self, place: Path):
        self.root, self.cache = place, place / "cache"
        shutil.copytree(PACKAGE / "lang", place / "gnomon" / "lang", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PACKAGE / "__init__.py", place / "gnomon")
        (place / "gnomon" / "sync").mkdir()
        for name, text in (("__init__", ""), ("probe_leaf", LEAF), ("probe_caller", CALLER)):
            self.file(name).write_text(text)

    def file(self, name: str) -> Path:
        return self.root / "gnomon" / "sync" / f"{name}.py"

    def run(self, script: str = RUN, **extra: str) -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.root), "GNOMON_CACHE": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1", **extra}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture(scope="module")
def warm_copy(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("cache"))
    result, hits, _ = copy.run()
    assert (result, hits) == ("101", "0")
    return copy


def test_does_a_second_process_load_what_the_first_compiled(warm_copy):
    assert warm_copy.run()[:2] == ["101", "1"]


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("VALUE = 1\n", "VALUE = 2\n", "102"),
        ("return read_once(m, at)", "return read_once(m, at) + 6", "107"),
        ("    mb()\n", "", "101"),
    ],
    ids=["a constant of the callee", "the body of the callee", "a fence of the callee"],
)
def test_does_a_change_in_another_file_start_an_empty_cache(warm_copy, old, new, result):
    before = warm_copy.run()
    leaf = warm_copy.file("probe_leaf")
    assert old in LEAF
    leaf.write_text(LEAF.replace(old, new))
    try:
        after = warm_copy.run()
    finally:
        leaf.write_text(LEAF)
    assert after[:2] == [result, "0"]
    assert after[2] != before[2]
    assert warm_copy.run() == [before[0], "1", before[2]]


def test_does_a_changed_primitive_start_an_empty_cache(warm_copy):
    before = warm_copy.run()
    atomics = warm_copy.root / "gnomon" / "lang" / "atomics.py"
    text = atomics.read_text()
    atomics.write_text(text.replace('@lowered_by(_fence("seq_cst"))', '@lowered_by(_fence("release"))'))
    try:
        after = warm_copy.run()
    finally:
        atomics.write_text(text)
    assert after[1] == "0" and after[2] != before[2]


@pytest.mark.parametrize("flag", ["NUMBA_OPT", "GNOMON_MEMBARRIER"])
def test_does_a_changed_flag_start_an_empty_cache(warm_copy, flag):
    assert warm_copy.run(**{flag: "1"})[2] != warm_copy.run()[2]


def test_would_numbas_own_key_have_served_the_old_code(tmp_path):
    """It does: that is what the digest is for. When this fails, Numba has learned to look at callees and cache.py can go."""
    (tmp_path / "leaf.py").write_text("import numba\n@numba.njit\ndef leaf(x):\n    return x + 1\n")
    caller = "import numba\nfrom leaf import leaf\n@numba.njit(cache=True)\ndef caller(x):\n    return leaf(x)\n"
    (tmp_path / "caller.py").write_text(caller)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def run() -> str:
        command = [sys.executable, "-c", "import caller; print(caller.caller(1))"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert run() == "2"
    (tmp_path / "leaf.py").write_text("import numba\n@numba.njit\ndef leaf(x):\n    return x + 10\n")
    assert run() == "2"  # stale; 11 would be right


def test_is_off_really_off(warm_copy):
    script = RUN.replace("print(", "from gnomon.lang import cache; print(cache.DIRECTORY, ")
    assert warm_copy.run(script, GNOMON_CACHE="off")[:3] == ["None", "101", "0"]


def test_does_a_cache_that_cannot_be_written_only_cost_time(warm_copy, tmp_path):
    (tmp_path / "file").write_text("")
    assert warm_copy.run(GNOMON_CACHE=str(tmp_path / "file"))[:2] == ["101", "0"]


def test_are_old_digests_removed_and_the_current_one_kept(tmp_path):
    from gnomon.lang import cache

    for n in range(2 * cache.KEPT_DIGESTS):
        place = tmp_path / f"{n:032x}"
        place.mkdir()
        os.utime(place, (1, 1))
    current = tmp_path / ("f" * 32)
    current.mkdir()
    (tmp_path / "somebody else's").mkdir()
    cache._remove_old(current)
    assert current.exists() and (tmp_path / "somebody else's").exists()
    assert len([p for p in tmp_path.iterdir() if len(p.name) == 32]) <= cache.KEPT_DIGESTS + 1
