"""Where compiled kernels are kept: one directory for each digest of everything that decides what they compile to.

Numba's own cache key sees only the file of the outermost function: a changed callee, fence, constant or flag would leave stale
machine code in use. So the directory's name is a digest of every source file that reaches a kernel, the versions of what compiles
them and the flags; any change starts an empty directory, and old ones are removed by age.

    GNOMON_CACHE=DIR   keep them there instead of the user's cache directory
    GNOMON_CACHE=off   compile in every process (tests that look at generated code need this)
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

import llvmlite
import numba
import numpy

KERNEL_LAYERS = ("lang", "sync", "mem", "mmu", "hart", "vm")
PACKAGE = Path(__file__).resolve().parents[1]
KEPT_DIGESTS = 4
KEPT_DAYS = 2


_IMPORT = re.compile(r"^\s*(?:from\s+(gnomon[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+(gnomon[\w.]*))", re.MULTILINE)


def kernel_sources(package: Path = PACKAGE) -> list[Path]:
    """Every file whose text can change what a kernel compiles to, in a fixed order: those that define kernels, all of lang, and
    whatever of the kernel layers these import, directly or not."""
    texts = {path: path.read_text(encoding="utf-8") for layer in KERNEL_LAYERS for path in (package / layer).glob("**/*.py")}
    wanted = [path for path, text in texts.items() if "@kernel" in text or path.parent.name == "lang"]
    reached = set()
    while wanted:
        path = wanted.pop()
        if path not in reached:
            reached.add(path)
            wanted += [other for other in _imported(package, texts[path]) if other in texts]
    return sorted(reached)


def _imported(package: Path, text: str) -> list[Path]:
    found = []
    for module, names, plain in _IMPORT.findall(text):
        place = package.joinpath(*(module or plain).split(".")[1:])
        found += [place.with_suffix(".py"), place / "__init__.py"]
        found += [place / f"{name}.py" for name in re.findall(r"\w+", names)]
    return found


def digest(package: Path = PACKAGE) -> str:
    """Hex digest of the kernel sources, the versions and the flags."""
    state = hashlib.blake2b(digest_size=16)
    for part in (sys.version, numba.__version__, llvmlite.__version__, numpy.__version__, _flags()):
        state.update(part.encode() + b"\0")
    for path in kernel_sources(package):
        state.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def _flags() -> str:
    chosen = {key: value for key, value in os.environ.items() if key.startswith("NUMBA_") and key != "NUMBA_CACHE_DIR"}
    chosen["GNOMON_MEMBARRIER"] = os.environ.get("GNOMON_MEMBARRIER", "")
    return repr(sorted(chosen.items()))


def _root() -> Path:
    chosen = os.environ.get("GNOMON_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gnomon"


def _directory() -> Path | None:
    if os.environ.get("GNOMON_CACHE") == "off":
        return None
    place = _root() / digest()
    try:
        place.mkdir(parents=True, exist_ok=True)
        os.utime(place)
    except OSError as error:
        print(f"gnomon: kernels will be compiled anew in every process: cannot write {place}: {error.strerror}", file=sys.stderr)
        return None
    _remove_old(place)
    return place


def _remove_old(current: Path) -> None:
    others = [p for p in current.parent.iterdir() if p != current and len(p.name) == 32 and p.is_dir()]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    limit = time.time() - KEPT_DAYS * 86400  # a younger one may belong to a process that runs now
    for path in others[KEPT_DIGESTS:]:
        if path.stat().st_mtime < limit:
            shutil.rmtree(path, ignore_errors=True)


DIRECTORY = _directory()
if DIRECTORY is not None:
    numba.config.CACHE_DIR = str(DIRECTORY)


def is_covered(source: str) -> bool:
    """Whether a kernel of file `source` may be cached: only what the digest covers may."""
    if DIRECTORY is None:
        return False
    try:
        return Path(source).resolve().relative_to(PACKAGE).parts[0] in KERNEL_LAYERS
    except ValueError:
        return False
