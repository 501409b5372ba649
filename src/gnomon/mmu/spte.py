"""spte: one entry of a shadow page table, a 64-bit word.

    63          12 11 10   9     8      7 6 5     4 3 2 1 0
    pfn            LEVEL   MMU_W HOST_W D A LARGE U X W R PRESENT

Bits 0-7 lie as in a RISC-V PTE (bit 5 apart), so permissions copy by a mask. `spte & PFN_MASK` is the byte offset of the frame in
the arena. LEVEL is the level of the table that holds the entry (1 = leaf table): no two sptes at different levels are ever
equal words, which is what keeps a compare-and-exchange on a reused table from hitting a middle spte (C11). Designs with another guard
have 0 there, as words of 2013 and of today's KVM have no level: encode_leaf() and encode_middle() are the one place that knows. LARGE says
that an entry of a table of LARGE_LEVEL is a leaf: it maps a whole region, 2 MiB of frames in a row. Only sptes with a level are large.

P1  W => MMU_W => HOST_W on a leaf. MMU_W clear: write-protected for page tables; W alone clear: for the dirty log.
P2  A middle spte has neither MMU_W nor HOST_W, and always W: the walk ands W along the path.
P3  A present leaf is changed by cmpxchg or xchg only: the fast fault, the harvester and the walker's A/D race with us (I-4).
"""

from gnomon.lang import kernel
from gnomon.mmu.design import ENCODING_LEVELS, GUARD, GUARD_RECHECK

PRESENT = 1 << 0
READABLE = 1 << 1
WRITABLE = 1 << 2
EXECUTABLE = 1 << 3
USER = 1 << 4
LARGE = 1 << 5
ACCESSED = 1 << 6
DIRTY = 1 << 7
HOST_WRITABLE = 1 << 8
MMU_WRITABLE = 1 << 9
LEVEL_SHIFT = 10
LEVEL_MASK = 3 << LEVEL_SHIFT
PFN_MASK = -4096
ACCESS_ALL = READABLE | WRITABLE | EXECUTABLE | USER
RIGHTS = MMU_WRITABLE | READABLE | EXECUTABLE | USER
"""What a leaf allows for good: W comes and goes with the dirty log."""
LARGE_LEVEL = 2


@kernel
def make_leaf(at, access):
    """A leaf of a 4 KiB frame at byte offset `at`: R, X, U as in `access`, all the W bits if it has W."""
    spte = at | PRESENT | ACCESSED | (1 << LEVEL_SHIFT) | (access & (READABLE | EXECUTABLE | USER))
    if access & WRITABLE:
        spte |= WRITABLE | HOST_WRITABLE | MMU_WRITABLE
    return spte


@kernel
def make_large(at, access):
    """A leaf in a table of LARGE_LEVEL, of the run of frames at byte offset `at`."""
    return make_leaf(at, access) ^ (1 << LEVEL_SHIFT) | (LARGE_LEVEL << LEVEL_SHIFT) | LARGE


@kernel
def is_table(spte):
    """1 if `spte` says that it points to a table; where sptes carry no level none says so, and none is ever large."""
    return int(spte & (LARGE | (LARGE_LEVEL << LEVEL_SHIFT)) == LARGE_LEVEL << LEVEL_SHIFT)  # also at the level above: 3 = 2 | 1


@kernel
def leaf_access(spte):
    """The access a leaf was made with."""
    access = spte & (READABLE | EXECUTABLE | USER)
    if spte & MMU_WRITABLE:
        access |= WRITABLE
    return access


@kernel
def make_nonleaf(table, level):
    """A middle spte in a table of `level` that points to the table at word `table`."""
    return (table << 3) | PRESENT | ACCESS_ALL | ACCESSED | (level << LEVEL_SHIFT)


@kernel
def carries_level(design):
    """1 if the sptes of `design` carry the level of their table."""
    return int(design & GUARD == 0 or design & ENCODING_LEVELS != 0)


@kernel
def encode_leaf(spte, design):
    """The leaf `spte` in the words of `design`: with its level, or without."""
    if carries_level(design):
        return spte
    return spte & ~LEVEL_MASK


@kernel
def encode_middle(spte, design):
    """The middle `spte` in the words of `design`. For the recheck it looks like a writable leaf in every bit: the condition of C13."""
    if carries_level(design):
        return spte
    if design & GUARD == GUARD_RECHECK:
        spte = spte | HOST_WRITABLE | MMU_WRITABLE
    return spte & ~LEVEL_MASK


@kernel
def spte_table(spte):
    """Word reference of the table a middle spte points to."""
    return (spte & PFN_MASK) >> 3


@kernel
def is_fast_writable(spte):
    """1 for a present 4 KiB leaf whose W may be set without mmu_lock."""
    return int((spte & (PRESENT | MMU_WRITABLE | LARGE | (2 << LEVEL_SHIFT))) == (PRESENT | MMU_WRITABLE))  # LEVEL 1, or 0: not told
