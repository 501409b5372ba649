"""Guest programs, ready to run: RISC-V ELFs for a machine laid out as QEMU's `virt`.

Their sources and a README are in `guests/` of the repository; `make -C guests check` tells whether these ELFs are what
the sources build.
"""

from importlib.resources import files
from pathlib import Path


def names() -> list[str]:
    """All guests: programs by their plain name (`dirty`), instruction tests as `isa/…`."""
    here = Path(str(files(__name__)))
    return sorted(elf.relative_to(here).with_suffix("").as_posix() for elf in here.rglob("*.elf"))


def path(name: str) -> Path:
    """The ELF of the guest `name`."""
    known = names()
    if name not in known:
        raise ValueError(f"no guest named {name!r}; the guests are {', '.join(known)}")
    return Path(str(files(__name__))) / f"{name}.elf"
