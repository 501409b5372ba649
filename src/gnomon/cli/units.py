"""units: sizes, durations, rates and addresses as people write and read them.

Suffixes of sizes are binary (128M is 128 MiB), as everywhere in hypervisors; rates that Gnomon prints are decimal (1 MB/s is 10**6 bytes).
"""

from __future__ import annotations

import re

from gnomon.errors import GnomonError

SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _wrong(what: str, text: str, forms: str) -> GnomonError:
    return GnomonError(f"{what} cannot be read: {text!r}", f"write it as {forms}", exit_code=2)


def size(text: str, what: str = "the size") -> int:
    """Bytes of '128M', '1G', '4096', '64KiB'."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if not match:
        raise _wrong(what, text, "a whole number with K, M, G or T after it, such as 128M or 1G")
    return int(match[1]) * SIZES[match[2].upper()]


def memory(text: str) -> int:
    """The memory of a machine: a whole number of pages, at least one."""
    asked = size(text, "the memory")
    if asked <= 0 or asked % 4096:
        raise GnomonError(f"the memory of a machine is a multiple of 4096 bytes, and {text} is not: {asked}", "128M is usual", exit_code=2)
    return asked


def duration(text: str, what: str = "the duration", *, least: float = 0.0) -> float:
    """Seconds of '50ms', '10s', '2m', '250us'. A bare number would leave open which unit it means, so it is refused."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(us|ms|s|m|h)", text.strip(), re.ASCII)
    if not match:
        raise _wrong(what, text, "a number with us, ms, s, m or h after it, such as 50ms or 10s")
    seconds = float(match[1]) * DURATIONS[match[2]]
    if seconds < least:
        raise GnomonError(f"{what} is at least {show_duration(least)}, and {text} is less", exit_code=2)
    return seconds


def judge_seed(number: int) -> None:
    """A seed is a word with room for what is added to it. Raises GnomonError."""
    if not 0 <= number < 1 << 32:
        raise GnomonError(f"a seed is a number from 0 to {(1 << 32) - 1}: {number}", exit_code=2)


def rate(text: str, what: str = "the rate", *, least: int = 64 << 10) -> int:
    """Bytes a second of '100M', '1G', '100M/s'."""
    stripped = text.strip()
    bare = stripped[:-2] if stripped.endswith("/s") else stripped
    try:
        found = size(bare, what)
    except GnomonError:
        raise _wrong(what, text, "bytes a second with K, M or G after it, such as 100M or 1G") from None
    if found < least:
        raise GnomonError(f"{what} is at least {show_size(least)} a second, and {text} is less", exit_code=2)
    return found


def show_size(count: int) -> str:
    """'128 MiB', '1.5 GiB', '4096 bytes' below a MiB that is not whole."""
    for name, unit in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= unit:
            return f"{count // unit} {name}" if count % unit == 0 else f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def show_duration(seconds: float) -> str:
    """'12.3 ms', '1.42 s', '850 us', '3 m 20 s'."""
    if seconds >= 120:
        return f"{int(seconds // 60)} m {int(seconds % 60)} s"
    if seconds >= 1:
        return f"{seconds:.2f} s".replace(".00 s", " s")
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.1f} ms".replace(".0 ms", " ms")
    return f"{seconds * 1e6:.0f} us"
