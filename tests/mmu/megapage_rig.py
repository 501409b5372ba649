"""What the tests of megapages share: where things lie, and what the rmaps and leaves of a whole machine must say of each other."""

from collections import Counter

import numpy as np
from mmu_rig import BASE, A, R, W, X

from gnomon.mmu.rmap import DESC, DESC_SPTES
from gnomon.mmu.shadow_page import ROLE_LEVEL, SP
from gnomon.mmu.spte import LARGE, MMU_WRITABLE, PFN_MASK, PRESENT, WRITABLE

REGION = 512
PAGES = 2 * REGION + 64  # two regions, and a part of one that no large spte may map
TABLES_AT = 2 * REGION  # guest tables lie in the part
WINDOW = 5 << 30
READ_ONLY = 1 | R | X | A
CLEAN = 1 | R | W | X | A
COUNTERS = ("large_sptes", "large_maps", "splits", "split_failures", "recoveries")


def at(index: int) -> int:
    return BASE + index * 4096


def counters(rig) -> dict[str, int]:
    return {name: rig.field(name) for name in COUNTERS}


def leaves(rig):
    """Every present leaf of every shadow page: (word, spte, first page, pages), read from the active list."""
    sp = rig.field("active_head")
    while sp:
        table, level = int(rig.words[sp + SP.table]), int(rig.words[sp + SP.role]) & ROLE_LEVEL
        entries = rig.words[table : table + 512]
        for i in np.flatnonzero(entries):
            spte = int(entries[i])
            if level == 1 or spte & LARGE:
                first = int(np.flatnonzero(rig.backing == (spte & PFN_MASK) >> 12)[0])
                yield table + int(i), spte, first, REGION if spte & LARGE else 1
        sp = int(rig.words[sp + SP.older])


def entries_of(rig, head: int) -> list[int]:
    value = int(rig.words[head])
    if value & 1 == 0:
        return [value >> 1] if value else []
    found, link = [], value ^ 1
    while link & 1 == 0:
        desc = link >> 1
        found += [int(at) for at in rig.words[desc + DESC.sptes : desc + DESC.sptes + DESC_SPTES] if at]
        link = int(rig.words[desc + DESC.more])
    return found


def check(rig):
    """The rmaps are exactly the leaves; large ones are where they may be, and lack W while the log is on."""
    small, large = Counter(), Counter()
    tracked = rig.words[rig.field("tracked") : rig.field("tracked") + rig.pages]
    for word, spte, first, pages in leaves(rig):
        assert spte & PRESENT and (not spte & WRITABLE or spte & MMU_WRITABLE)
        (large if pages > 1 else small)[(first // pages, word)] += 1
        if pages > 1:
            assert spte & PFN_MASK == int(rig.backing[first]) << 12 and first % REGION == 0
            assert (np.diff(rig.backing[first : first + REGION]) == 1).all(), "frames that are not in a row"
            assert not tracked[first : first + REGION].any(), "a guest table lies under a large spte"
            assert not (rig.field("logging") and spte & WRITABLE), "a large spte has W while the log is on"
        else:
            assert not (spte & MMU_WRITABLE and tracked[first]), "a guest table can be written"
    heads, regions = rig.field("rmap"), rig.field("region_rmap")
    assert Counter((i, w) for i in range(rig.pages) for w in entries_of(rig, heads + i)) == small
    assert Counter((i, w) for i in range(-(-rig.pages // REGION)) for w in entries_of(rig, regions + i)) == large
    assert rig.field("large_sptes") == large.total()
    sums = [int(tracked[first : first + REGION].sum()) for first in range(0, rig.pages, REGION)]
    counted = rig.field("region_tracked")
    assert rig.words[counted : counted + len(sums)].tolist() == sums
