"""The shipped guests: do they pass under Gnomon, and are they what their sources build?"""

import shutil
import subprocess
from pathlib import Path

import pytest

from gnomon.guests import names, path
from gnomon.vm.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "dirty": "pages=256 rate=0 writes=3000",
    "alloc": "rounds=2000",
    "sort": "n=4k rounds=1",
    "hashmap": "rounds=10000",
    "churn": "rounds=300 every=60",
}
EXPECTED = {"fail": 7}


def run(name: str, harts: int, **shape) -> tuple[int | None, str]:
    """(exit code, console) of a guest with a small task."""
    console = bytearray()
    with Machine(32 << 20, harts, console=console.extend, **shape) as machine:
        code = machine.load(path(name), bootargs=SMALL.get(name, "")).start().wait(240)
    return code, console.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("harts", [1, 2])
@pytest.mark.parametrize("name", names())
def test_does_it_pass(name, harts):
    """Exit code 0 and PASS on the last line; `fail` fails with 7, `htif` says nothing."""
    code, console = run(name, harts)
    assert code == EXPECTED.get(name, 0), console
    if name not in ("fail", "htif"):
        assert console.splitlines()[-1].startswith(f"PASS {name}"), console


@pytest.mark.slow
@pytest.mark.parametrize("name", ["churn", "dirty", "hashmap"])
def test_does_it_pass_with_as_few_shadow_pages_as_there_can_be(name):
    """n_max at its least: shadow pages are recycled all the time under three harts."""
    code, console = run(name, 3, shadow_pages=64, debug=True)
    assert code == 0, console


@pytest.mark.slow
def test_are_the_shipped_elfs_what_the_sources_build():
    """`make check` rebuilds them and compares bytes."""
    if not shutil.which("riscv64-linux-gnu-gcc"):
        pytest.skip("no riscv64-linux-gnu-gcc on this machine: apt install gcc-riscv64-linux-gnu")
    version = subprocess.run(["riscv64-linux-gnu-gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("12.2"):
        pytest.skip(f"riscv64-linux-gnu-gcc is {version.strip()}; the shipped ELFs are built by 12.2")
    made = subprocess.run(["make", "-C", str(ROOT / "guests"), "check"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def test_does_the_list_know_every_shipped_file():
    """names() and path() agree, and a wrong name is refused with the right ones."""
    assert len(names()) >= 20
    assert all(path(name).read_bytes()[:4] == b"\x7fELF" for name in names())
    with pytest.raises(ValueError, match="dirty"):
        path("nothing")


def test_does_an_instruction_test_and_a_failure_show():
    """A pass is 0, a failure is its code: in every run of the tests."""
    assert run("isa/alu", 1)[0] == 0
    assert run("fail", 1)[0] == 7
    assert run("htif", 1)[0] == 0
