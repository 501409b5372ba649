"""qemu: the same guest under `qemu-system-riscv64`, as a peer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from gnomon.errors import GnomonError

PROGRAM = "qemu-system-riscv64"
PATIENCE = 120.0


def console(elf: Path, harts: int, memory: str, bootargs: str) -> str:
    """What the guest says until it ends. Raises GnomonError if QEMU is not there or the guest fails under it."""
    if not shutil.which(PROGRAM):
        raise GnomonError("not installed")
    words = [PROGRAM, "-M", "virt", "-m", memory, "-smp", str(harts), "-bios", "none", "-nographic", "-kernel", str(elf)]
    words += ["-append", bootargs] if bootargs else []
    try:
        ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise GnomonError(f"the guest did not end within {PATIENCE:g} s") from None
    except OSError as error:
        raise GnomonError(f"cannot be started: {error.strerror}") from None
    if ran.returncode:
        said = (ran.stderr.strip() or ran.stdout.strip() or "nothing").splitlines()[-1]
        raise GnomonError(f"exit code {ran.returncode}: {said}")
    return ran.stdout
