"""The software TLB of a vCPU: direct-mapped, private to its hart, tagged by translation regime.

Entry i holds four words: the tag that a load must match, the tag of a store, the tag of a fetch, and the addend such that
`va + addend` is the byte offset of the data in the arena. A tag is the page's address with the regime number (1 … 4095) in its
low 12 bits, so 0 never matches.

T1  Only the hart's own thread reads or writes its TLB. Others ask for a flush by request (requests.py) and wait for the exit.
T2  An entry is filled in guest mode from an spte read in the same guest-mode span, so a flush that waited for that span to end,
    or that is seen at the next entry, leaves nothing older than the request (I-10).
T3  A store tag is only filled from an spte with W and D set, so a first store after W was cleared and flushed faults (I-1).
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once

TLB_ENTRIES = 256
TLB_ENTRY_WORDS = 4
TLB_READ, TLB_WRITE, TLB_EXEC, TLB_ADDEND = 0, 1, 2, 3
TLB_AT = 1024
"""Word offset of entry 0 from the vCPU's reference."""
TLB_WORDS = TLB_ENTRIES * TLB_ENTRY_WORDS
PAGE_MASK = -4096


@kernel
def tlb_entry(m, v, va):
    """Word index of the entry that may hold `va`."""
    return v + TLB_AT + ((va >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_WORDS


@kernel
def tlb_fill(m, v, va, access, regime, at):
    """Let `access` (TLB_READ, TLB_WRITE or TLB_EXEC) to the page of `va` hit in `regime`: its byte 0 is byte offset `at`.

    Other kinds of access keep their tag only if they belong to the same page and regime."""
    entry = tlb_entry(m, v, va)
    page = va & PAGE_MASK
    tag = page | regime
    addend = at - page
    if read_once(m, entry + TLB_ADDEND) != addend:
        write_once(m, entry + TLB_READ, 0)
        write_once(m, entry + TLB_WRITE, 0)
        write_once(m, entry + TLB_EXEC, 0)
        write_once(m, entry + TLB_ADDEND, addend)
    write_once(m, entry + access, tag)
    return 0


@kernel
def tlb_flush_all(m, v):
    """Forget every translation of this vCPU."""
    for i in range(TLB_ENTRIES):
        entry = v + TLB_AT + i * TLB_ENTRY_WORDS
        write_once(m, entry + TLB_READ, 0)
        write_once(m, entry + TLB_WRITE, 0)
        write_once(m, entry + TLB_EXEC, 0)
    return 0


@kernel
def tlb_flush_page(m, v, va):
    """Forget the translations of one page, in every regime."""
    entry = tlb_entry(m, v, va)
    write_once(m, entry + TLB_READ, 0)
    write_once(m, entry + TLB_WRITE, 0)
    write_once(m, entry + TLB_EXEC, 0)
    return 0


@kernel
def tlb_host(m, v, va, access, regime):
    """Byte offset in the arena of the datum at `va` if the TLB knows it, else -1."""
    entry = tlb_entry(m, v, va)
    if read_once(m, entry + access) != (va & PAGE_MASK) | regime:
        return -1
    return va + read_once(m, entry + TLB_ADDEND)
