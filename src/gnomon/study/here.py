"""here: the machine and the programs that figures were taken with."""

from __future__ import annotations

import os
import platform
import threading
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import gnomon


def this_machine() -> dict[str, str]:
    """Where figures are taken; `memory` in bytes."""
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "processors": str(os.cpu_count()),
        "memory": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
    }


def worker() -> str:
    """This thread, among those of its machine."""
    return f"{os.getpid()}/{threading.get_ident()}"


def versions() -> dict[str, str]:
    """What figures are taken with; packages that are not installed are left out."""
    found = {"gnomon": gnomon.__version__, "python": platform.python_version()}
    for name in ("numba", "llvmlite", "numpy", "distributed"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
