"""design: the choices of the design space as fields of one word, VM.design; 0 in every field is what ships.

axes.py says what each choice is, where it comes from and how it is named. A kernel that keeps a rule reads the field at the one
place where the choices differ. None of these words is read on a TLB hit. A new axis takes the next free bits and a row there.
"""

PROTECTOR = 3  # mask of the field; lockless is 0
PROTECTOR_LOCKED = 1
PROTECTOR_RMAP_BIT = 2

RECLAIM = 7 << 2  # typesafe-slab is 0
RECLAIM_IMMEDIATE = 1 << 2
RECLAIM_CALL_RCU = 2 << 2
RECLAIM_THROTTLED = 3 << 2
RECLAIM_MODE_WAIT = 4 << 2

GUARD = 7 << 5  # level is 0
GUARD_NONE = 1 << 5
GUARD_RECHECK = 2 << 5
GUARD_MMU_WRITABLE = 3 << 5
GUARD_FIXUP = 4 << 5

WALK = 3 << 8  # nulls-backward is 0
WALK_FORWARD = 1 << 8
WALK_NO_NULLS = 2 << 8

PUBLISH = 1 << 10 | 1 << 16  # rmap-spte-bitmap is 0
PUBLISH_BITMAP_FIRST = 1 << 10
PUBLISH_SPTE_FIRST = 1 << 16
FLUSH_SKIPPED = 1 << 11
ENCODING_LEVELS = 1 << 12
FAST_FAULT_DROP_DIRTY = 1 << 13
ZAP_FREE_AT_ONCE = 1 << 14

TABLES = 1 << 15 | 1 << 20  # tracked is 0
TABLES_UNTRACKED = 1 << 15
TABLES_UNSYNC = 1 << 20
TABLES_UNPROTECTED = 1 << 15 | 1 << 20  # unsync, and writable for ever

PAGES = 3 << 17  # mega is 0
PAGES_SMALL = 1 << 17
PAGES_BITS_FIRST = 2 << 17
PAGES_UNSPLIT = 3 << 17
