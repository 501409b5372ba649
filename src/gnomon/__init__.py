"""Gnomon: a lockless shadow MMU you can run, move and prove.

from gnomon import Machine

with Machine(128 << 20, harts=2) as machine:
    code = machine.load("guest.elf").start().wait()
"""

__version__ = "0.1.0"
__all__ = ["GnomonError", "Machine"]


def __getattr__(name: str):
    """Import the library on first use: `gnomon --help` must not wait for a compiler."""
    if name == "Machine":
        from gnomon.library import Machine

        return Machine
    if name == "GnomonError":
        from gnomon.errors import GnomonError

        return GnomonError
    raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
