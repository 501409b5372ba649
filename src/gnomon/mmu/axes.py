"""axes: the design space as a table: each axis, its choices, what they are, where they come from, what is wrong with them.

`wrong` says what a choice does when every other axis is as shipped; some are right in other company (designs.CURED). What the checker
says is not written here: `scenario` names what asks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gnomon.mmu import design as d


@dataclass(frozen=True)
class Choice:
    """One way to keep, or break, the rule of an axis."""

    name: str
    value: int  # in its field of VM.design; 0 for what ships
    what: str
    source: str
    wrong: str = ""  # what goes wrong, all else as shipped; empty: nothing
    scenario: str = ""  # of the checker, run with this choice: what it says of it


@dataclass(frozen=True)
class Axis:
    name: str
    mask: int
    what: str
    choices: tuple[Choice, ...]

    def of(self, word: int) -> Choice:
        """The choice of this axis in a design word."""
        return next(choice for choice in self.choices if choice.value == word & self.mask)


AXES = (
    Axis(
        "protector",
        d.PROTECTOR,
        "how the harvest keeps the sptes it write-protects from changing under it",
        (
            Choice(
                "lockless", 0, "no lock: rmap walk in an RCU read section, cmpxchg", "the 2013 series, patch 12", "", "harvest/fast-fault"
            ),
            Choice(
                "locked",
                d.PROTECTOR_LOCKED,
                "mmu_lock for the whole walk, and for write faults under guest tables; direct pages keep their fast fault",
                "kvm_get_dirty_log_protect() today",
                "",
                "harvest/fast-fault",
            ),
            Choice(
                "rmap-bit",
                d.PROTECTOR_RMAP_BIT,
                "a one-bit lock in each rmap head, taken by walkers and by whoever edits the rmap",
                "kvm_rmap_lock(), aging since 6.15 (I-17, R-7)",
                "",
                "reuse/middle-level-guard",
            ),
        ),
    ),
    Axis(
        "reclaim",
        d.RECLAIM,
        "how the memory of a zapped shadow page goes back",
        (
            Choice(
                "typesafe-slab",
                0,
                "to a type-stable slab: reusable at once, the slab page kept for a grace period",
                "SLAB_DESTROY_BY_RCU, now SLAB_TYPESAFE_BY_RCU (C2 to C6)",
                "",
                "pressure/n-max",
            ),
            Choice(
                "immediate",
                d.RECLAIM_IMMEDIATE,
                "to the frame pool as soon as the TLBs are flushed",
                "what the series must not do",
                "who reads shadow tables outside guest mode goes on in memory that is somebody else's",
                "reuse/freed-table",
            ),
            Choice(
                "call-rcu",
                d.RECLAIM_CALL_RCU,
                "a callback a page, after a grace period",
                "KVM 2011 (c2a2ac2b563c), and the TDP MMU",
                "n_max counts live pages only: what waits for a grace period is bounded by nothing (C1)",
                "pressure/n-max",
            ),
            Choice(
                "call-rcu-throttled",
                d.RECLAIM_THROTTLED,
                "the same, charged to n_max until it is free; slow faults stall at the limit",
                "RCU/checklist.rst, item 8 (C7)",
                "",
                "pressure/n-max",
            ),
            Choice(
                "mode-wait",
                d.RECLAIM_MODE_WAIT,
                "to the frame pool, after waiting for every vCPU that walks, in guest mode or in a fault",
                "READING_SHADOW_PAGE_TABLES, KVM since 2012 (I-9)",
                "a protector that is no vCPU is not waited for",
                "reuse/freed-table",
            ),
        ),
    ),
    Axis(
        "guard",
        d.GUARD,
        "what keeps the protector from an spte whose table has become another's (A to B)",
        (
            Choice(
                "level",
                0,
                "the level of the table in the spte: a cmpxchg across levels fails",
                "Xiao Guangrong's fix (C11)",
                "",
                "reuse/middle-level-guard",
            ),
            Choice(
                "none",
                d.GUARD_NONE,
                "any present spte is protected",
                "the first version of the series (C10)",
                "a middle spte loses W: the guest faults on it for ever",
                "reuse/middle-level-guard",
            ),
            Choice(
                "recheck",
                d.GUARD_RECHECK,
                "asks whose table it is before the cmpxchg; sptes look alike at every level",
                "Marcelo Tosatti's question (C13)",
                "the table may change hands after the question, with an equal word in the same place",
                "recheck/same-value",
            ),
            Choice(
                "mmu-writable",
                d.GUARD_MMU_WRITABLE,
                "the expected value carries MMU_W and is not large: middle sptes never do",
                "the encoding of today's spte.c, as a guard of one bit",
                "",
                "reuse/middle-level-guard",
            ),
            Choice(
                "fixup",
                d.GUARD_FIXUP,
                "any present spte is protected; the slow fault gives a middle spte its W back",
                "Gleb Natapov's other way (C12)",
                "",
                "reuse/middle-level-guard",
            ),
        ),
    ),
    Axis(
        "encoding",
        d.ENCODING_LEVELS,
        "whether sptes carry the level of their table",
        (
            Choice("as-guard", 0, "only for guard=level; for guard=recheck, middle sptes have every bit of a writable leaf", "C13"),
            Choice(
                "levels",
                d.ENCODING_LEVELS,
                "always, whatever the guard looks at",
                "C13, the half of its condition that is missing",
                "",
                "recheck/same-value",
            ),
        ),
    ),
    Axis(
        "walk",
        d.WALK,
        "how a lockless walk goes through the descriptors of an rmap",
        (
            Choice(
                "nulls-backward",
                0,
                "from high to low; a foreign end marker restarts it",
                "rculist_nulls, R-1 to R-5",
                "",
                "rmap/moved-entry",
            ),
            Choice(
                "forward",
                d.WALK_FORWARD,
                "from low to high",
                "R-3 broken",
                "misses an entry that a removal moves down behind it",
                "rmap/moved-entry",
            ),
            Choice(
                "no-nulls",
                d.WALK_NO_NULLS,
                "any end of a list ends the walk",
                "R-5 broken",
                "stops early in a descriptor that was freed and is another rmap's now",
                "rmap/reused-descriptor",
            ),
        ),
    ),
    Axis(
        "publish",
        d.PUBLISH,
        "in which order a fault makes a writable spte known",
        (
            Choice("rmap-spte-bitmap", 0, "rmap entry, spte, full barrier, dirty bit", "I-7", "", "harvest/load-and-store"),
            Choice(
                "spte-first",
                d.PUBLISH_SPTE_FIRST,
                "spte, rmap entry, full barrier, dirty bit",
                "mmu_set_spte() today, under mmu_lock",
                "a fast fault between spte and rmap entry makes the page writable; a harvest takes its bit and finds nothing to protect",
                "harvest/load-and-store",
            ),
            Choice(
                "bitmap-first",
                d.PUBLISH_BITMAP_FIRST,
                "the dirty bit before the spte",
                "make_spte() today, under mmu_lock",
                "a harvest between bit and spte takes the bit and finds nothing to protect: later writes are lost",
                "harvest/slow-fault",
            ),
        ),
    ),
    Axis(
        "pages",
        d.PAGES,
        "how much of guest RAM one spte maps while the dirty log is off; where sptes carry no level, 4 KiB in any case",
        (
            Choice(
                "mega",
                0,
                "2 MiB where its frames lie in a row and no page of it is a guest table; split for the log, recovered after it",
                "kvm_lpage_info, eager_page_split, kvm_mmu_recover_huge_pages()",
                "",
                "megapages/split",
            ),
            Choice("small", d.PAGES_SMALL, "4 KiB, always", "nothing to split when logging begins"),
            Choice(
                "unsplit",
                d.PAGES_UNSPLIT,
                "2 MiB as mega, and left so when logging begins",
                "I-23 broken",
                "stores through a large spte that has W are seen by no harvest",
                "megapages/split",
            ),
            Choice(
                "bits-first",
                d.PAGES_BITS_FIRST,
                "2 MiB as mega; logging begins with the bits, and splits then",
                "I-23 broken",
                "a harvest in between takes a page's bit and goes by the large spte that lets it be written",
                "megapages/split",
            ),
        ),
    ),
    Axis(
        "flush",
        d.FLUSH_SKIPPED,
        "whether stale translations are gone when a harvest returns",
        (
            Choice(
                "before-return", 0, "every vCPU has left the span of guest mode that could hold one", "I-1, I-2", "", "harvest/fast-fault"
            ),
            Choice(
                "skipped",
                d.FLUSH_SKIPPED,
                "no remote flush at all",
                "I-1 broken",
                "stores go on through old TLB entries, unlogged",
                "harvest/fast-fault",
            ),
        ),
    ),
    Axis(
        "fast-fault",
        d.FAST_FAULT_DROP_DIRTY,
        "whether a fast page fault logs what it made writable",
        (
            Choice("logs", 0, "the dirty bit after the cmpxchg", "fast_page_fault(), I-5", "", "harvest/fast-fault"),
            Choice(
                "drop-dirty",
                d.FAST_FAULT_DROP_DIRTY,
                "no dirty bit",
                "I-5 broken",
                "the page is writable and nobody knows",
                "harvest/fast-fault",
            ),
        ),
    ),
    Axis(
        "zap",
        d.ZAP_FREE_AT_ONCE,
        "whether a zapped shadow page is flushed before it is freed",
        (
            Choice(
                "flush-first", 0, "free after no vCPU can still walk it", "kvm_mmu_commit_zap_page(), I-9, I-20", "", "reuse/freed-table"
            ),
            Choice(
                "free-at-once",
                d.ZAP_FREE_AT_ONCE,
                "freed with vCPUs inside",
                "I-9 broken",
                "a hardware walk goes on in another address space's table",
                "mmu/zap-under-walk",
            ),
        ),
    ),
    Axis(
        "guest-tables",
        d.TABLES,
        "whether stores to shadowed guest tables are caught",
        (
            Choice("tracked", 0, "write-protected while they are shadowed, each store emulated", "account_shadowed(), I-15"),
            Choice(
                "unsync",
                d.TABLES_UNSYNC,
                "leaf tables become writable at the first store and are compared with their shadow at SFENCE.VMA; higher ones are tracked",
                "mmu_try_to_unsync_pages(), kvm_mmu_sync_roots(), I-14",
                "",
                "unsync/store-and-fence",
            ),
            Choice(
                "unsync-unprotected",
                d.TABLES_UNPROTECTED,
                "as unsync, but a table that was compared stays writable",
                "Y1 of sync_page.py broken, which kvm_vcpu_write_protect_gfn() in mmu_sync_children() keeps",
                "stores after the comparison leave no mark, and fences go by them",
                "unsync/fence-and-store",
            ),
            Choice(
                "untracked",
                d.TABLES_UNTRACKED,
                "left writable",
                "I-15 broken",
                "sptes outlive the guest entries they were made from",
                "mmu/track-table",
            ),
        ),
    ),
)
AXIS = {axis.name: axis for axis in AXES}
