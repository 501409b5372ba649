"""design: the broken variants of the MMU's rules, each a bit of VM.design, 0 in use.

A checker or a stress test that has never seen a bug proves nothing: each bit breaks exactly one rule at the one place that keeps
it, and a test sees it caught. None of these words is read on a TLB hit.
"""

DESIGN_BITMAP_FIRST = 1  # sets the dirty bit before the spte and its rmap entry are visible (breaks I-7)
DESIGN_FORWARD_WALK = 2  # walks a descriptor from low to high: misses an entry that moves down behind it (breaks R-3)
DESIGN_SKIP_FLUSH = 4  # never flushes remote TLBs (breaks I-1, I-3)
DESIGN_FREE_AT_ONCE = 8  # frees zapped shadow pages before the flush that forgets them (breaks I-9, I-19)
DESIGN_DROP_DIRTY = 16  # a fast page fault makes the spte writable and forgets the dirty bit (breaks I-5)
DESIGN_UNTRACKED = 32  # shadows guest tables without write-protecting them (breaks I-15)

NAMES = {
    "bitmap-first": DESIGN_BITMAP_FIRST,
    "forward-walk": DESIGN_FORWARD_WALK,
    "skip-flush": DESIGN_SKIP_FLUSH,
    "free-at-once": DESIGN_FREE_AT_ONCE,
    "drop-dirty": DESIGN_DROP_DIRTY,
    "untracked": DESIGN_UNTRACKED,
}
