"""Write-protecting dirty pages: ns a page of a lockless harvest, beside what the host kernel offers, on the same pages.

Timed      one call of the compiled harvest: bitmap scan, rmap walk and cmpxchg of each page, TLB flush, counters. Not the commit
How        COUNT pages were each dirtied by a store through TLB miss, walk and fault, so each spte has W: that the harvest cleared
           exactly COUNT is checked. One core, no hart in guest mode. Best of REPEATS after one run that does not count
Scattered  every second page of a range: the dirty pages of a guest lie apart, and no call can take two of them
Whole      COUNT neighbouring pages, which a peer may protect by a single call
Peers      mprotect(PROT_READ) and UFFDIO_WRITEPROTECT on the host's own mapping of the same pages, each written to just before, so
           that the host has it present and writable. Making it writable again is not timed
Protected  a harvest of pages that are dirty by the log but protected already: the snapshot was merged back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gnomon.errors import GnomonError
from gnomon.mmu.vm_words import VM
from gnomon.study import protect_peers as peers
from gnomon.study.ram import SPREAD, Ram
from gnomon.study.row import LESS, against, missing, row
from gnomon.study.sample import best_of

BENCH = "protect"
COUNT = 16384
REPEATS = 7
UNIT = "ns/page"


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    tell("protect: scattered pages")
    scattered = Ram(COUNT, 2)
    ours = row(BENCH, "harvest, scattered pages", harvest_ns(scattered), UNIT, target="<= 15")
    yield from beside_peers(
        ours,
        [
            peer_row("mprotect, a call a page, scattered", peers.Mprotect, scattered, peers.pages),
            peer_row("userfaultfd-wp, a call a page, scattered", peers.Userfault, scattered, peers.pages),
            peer_row("PAGEMAP_SCAN, one call, scattered", peers.PagemapScan, scattered, peers.pages),
        ],
    )
    rescan = row(BENCH, "harvest, scattered pages protected already", rescan_ns(scattered), UNIT)
    yield against(rescan, ours, better=LESS, target="ratio >= 5")
    tell("protect: a whole range")
    whole = Ram(COUNT, 1)
    yield from beside_peers(
        row(BENCH, "harvest, a whole range", harvest_ns(whole), UNIT, target="<= 15"),
        [
            peer_row("mprotect, a call a page, a whole range", peers.Mprotect, whole, peers.pages),
            peer_row("userfaultfd-wp, a call a page, a whole range", peers.Userfault, whole, peers.pages),
            peer_row("mprotect, one call for the range", peers.Mprotect, whole, peers.ranges),
            peer_row("userfaultfd-wp, one call for the range", peers.Userfault, whole, peers.ranges),
            peer_row("PAGEMAP_SCAN, one call for the range", peers.PagemapScan, whole, peers.ranges),
        ],
    )


def beside_peers(ours: dict, found: list[dict]) -> Iterator[dict]:
    """Our row, how it compares with each of the peers', and theirs."""
    yield ours
    for peer in found:
        yield against(ours, peer, better=LESS, target="ratio >= 5")
    yield from found


def harvest_ns(ram: Ram) -> float:
    """ns a page of a harvest that clears W in every selected spte."""

    def prepare():
        ram.clean()
        ram.dirty_all(SPREAD)

    def work():
        before = ram.counter(VM.protected)
        pages = ram.harvest()
        cleared = ram.counter(VM.protected) - before
        if pages != ram.count or cleared != ram.count:
            raise GnomonError(f"a harvest of {ram.count} writable pages took {pages} and protected {cleared}")

    seconds = best_of(REPEATS, prepare, work)
    ram.commit()
    return seconds / ram.count * 1e9


def rescan_ns(ram: Ram) -> float:
    """ns a page of a harvest that finds every selected spte protected."""
    ram.clean()
    ram.dirty_all(SPREAD)
    ram.harvest()
    seconds = best_of(REPEATS, ram.merge_back, ram.harvest)
    ram.commit()
    return seconds / ram.count * 1e9


def peer_row(figure: str, kind: type, ram: Ram, spans: Callable) -> dict:
    """ns a page of a peer on the pages of `ram`; `spans` makes its calls of their addresses."""
    addresses = ram.addresses()
    addresses.sort()
    try:
        peer = kind(addresses, spans(addresses))
    except (GnomonError, OSError) as error:
        return missing(BENCH, figure, UNIT, str(error))

    def prepare():
        peer.unprotect()
        ram.touch()

    try:
        seconds = best_of(REPEATS, prepare, peer.protect)
    except GnomonError as error:
        return missing(BENCH, figure, UNIT, str(error))
    finally:
        peer.close()
    return row(BENCH, figure, seconds / ram.count * 1e9, UNIT)
