"""host frames: what a host does to the frames behind a running guest's RAM: moves pages, takes frames back, lets pages share one.

The guest is not asked and goes on: stores, dirty log and migration come through it (mmu/invalidate.py).
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import control, say
from gnomon.cli.act import Name
from gnomon.errors import GnomonError

PAGE = 4096

Address = Annotated[str, Parameter(help="Guest physical address of the first page: 0x80200000.")]
Pages = Annotated[int, Parameter(help="How many pages of 4 KiB from there on.")]
Json = Annotated[bool, Parameter(help="As one JSON document.")]


def move(name: Name, address: Address, pages: Pages = 1, /, *, json: Json = False) -> None:
    """Put pages of a machine into other frames, as a host that compacts its memory does."""
    found = control.ask(name, "move", {"address": number(address), "pages": pages})
    if json:
        say.json(found)
    else:
        print(f"{found['moved']} of {found['pages']} pages of {name} from {address} on lie in other frames; the others had none")


def take_back(
    name: Name,
    address: Address,
    pages: Pages = 1,
    /,
    *,
    discard: Annotated[bool, Parameter(help="Whatever the pages hold: it reads zero there then. For pages that it gave up.")] = False,
    json: Json = False,
) -> None:
    """Give the frames of pages that are all zero back to the host's pool; the guest gets new ones when it touches the pages."""
    found = control.ask(name, "take-back", {"address": number(address), "pages": pages, "discard": discard})
    if json:
        say.json(found)
    else:
        print(f"{found['taken_back']} frames of {found['pages']} pages of {name} from {address} on are the host's again")


def share(
    name: Name,
    address: Annotated[str, Parameter(help="Guest physical address of the first page; without it, all RAM.")] = "",
    pages: Annotated[int | None, Parameter(help="How many pages of 4 KiB from there on; without it, all that follow.")] = None,
    /,
    *,
    json: Json = False,
) -> None:
    """Let pages that hold the same share a frame, until the guest stores to one of them; the frames that come back are the host's."""
    found = control.ask(name, "share", {"address": number(address) if address else None, "pages": pages})
    if json:
        say.json(found)
    else:
        shared = f"{found['shared_pages']} pages of {name} share {found['shared_frames']} frames"
        print(f"{shared} now; {found['freed']} frames are the host's again")


def number(text: str) -> int:
    """An address as typed. Raises GnomonError for what is none."""
    try:
        return int(text, 0)
    except ValueError:
        raise GnomonError(f"not an address: {text}", "guest physical, as 0x80200000", exit_code=2) from None


def indices(machine, address: int, pages: int) -> range:
    """Page indices of `pages` pages from guest physical `address` on. Raises GnomonError where they are not all RAM of `machine`."""
    base = machine.base_gfn * PAGE
    end = base + machine.pages * PAGE
    if address % PAGE:
        within = address // PAGE * PAGE
        raise GnomonError(f"a page begins at a multiple of {PAGE:#x}: {address:#x}", f"it lies in the page at {within:#x}", exit_code=2)
    if pages < 1:
        raise GnomonError(f"the least is one page: {pages}", exit_code=2)
    if not base <= address or address + pages * PAGE > end:
        raise GnomonError(
            f"{pages} pages from {address:#x} on end at {address + pages * PAGE:#x}, and RAM is {base:#x} to {end:#x}",
            f"at most {machine.pages} pages from {base:#x} on",
            exit_code=2,
        )
    return range((address - base) // PAGE, (address - base) // PAGE + pages)
