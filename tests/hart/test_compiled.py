"""Compiled: are the kernels inside the dialect, free of floats, and is the loop a jump table?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gnomon.hart
from gnomon.lang.lint import lint_file

FILES = sorted(Path(gnomon.hart.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_is_it_inside_the_dialect(path):
    assert [str(fault) for fault in lint_file(path)] == []


@pytest.mark.slow
def test_is_the_loop_a_jump_table_and_without_floats():
    """Compiled anew in a process without cache, because a cached kernel has no text to look at. LLVM splits the table in two."""
    program = """
import re
from gnomon.hart.chunk import run_chunk
from gnomon.lang.kernel import compile_kernel
compile_kernel(run_chunk)
[text] = run_chunk.inspect_llvm().values()
cases = sorted(len(re.findall(r"label", s)) for s in re.findall(r"switch i\\d+ [^\\]]*\\]", text))
print(sum(cases[-2:]), " double " in text or "fadd" in text)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "GNOMON_CACHE": "off"}, capture_output=True, text=True, check=True
    )
    cases, floats = done.stdout.split()
    assert int(cases) >= 60 and floats == "False"
