"""rules: which scenario asks each ordering rule, and which mutant breaks just that one.

I-1 … I-23 are KVM's ordering rules (locking.rst, vcpu-requests.rst and comments in mmu.c), S-1 … S-9 the contract of a type-stable slab
(slab.h), N-1 … N-8 that of nulls lists (rculist_nulls.rst), R-1 … R-7 the two applied to rmap descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`shown_by` are (scenario, mutant); a rule without any says in `reason` why."""

    id: str
    says: str
    shown_by: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def rule(id: str, says: str, *shown_by: str, reason: str = "") -> Rule:
    """`shown_by` as scenario:mutant."""
    return Rule(id, says, tuple((name.partition(":")[0], name.partition(":")[2]) for name in shown_by), reason)


RULES = (
    rule(
        "I-1",
        "harvest: take the bits, write-protect, flush before return",
        "harvest/fast-fault:protect-first",
        "harvest/fast-fault:skip-flush",
    ),
    rule(
        "I-2",
        "flush whenever a bit was taken, also if the copy fails",
        "harvest/lazy-zap:flush-if-protected",
        "harvest/failed-copy:forgets",
    ),
    rule("I-3", "page-table protection flushes whenever the spte was MMU-writable", "mmu/track-protected:flush-if-w"),
    rule("I-4", "a leaf that others may change is changed by xchg or cmpxchg", "reuse/middle-level-guard:plain-store"),
    rule("I-5", "a fast fault logs the page after its cmpxchg, before the guest goes on", "harvest/fast-fault:drop-dirty"),
    rule("I-6", "the page logged is the one behind the spte that was changed", "mmu/moved-frame:by-address"),
    rule(
        "I-7", "spte and rmap entry are visible before the dirty bit", "harvest/fast-fault:bitmap-first", "harvest/slow-fault:bitmap-first"
    ),
    rule("I-8", "only a harvest with every vCPU stopped is complete", "harvest/last-round:not-stopped"),
    rule("I-9", "a table is freed only when no walk is inside", "mmu/zap-under-walk:free-at-once"),
    rule("I-10", "guest entry: mode, full barrier, requests", "mmu/handshake:no-entry-barrier", "mmu/handshake:looks-first"),
    rule("I-11", "a requester that waits, waits for the end of the span", "mmu/handshake:no-wait", "refine/handshake:no-wait"),
    rule(
        "I-12",
        "what a request is about is written before the request",
        "hart/interrupt:wakes-first",
        "hart/pause:wakes-first",
        "hart/start:pending-first",
    ),
    rule(
        "I-13",
        "no spte for a frame whose invalidation began after the look at it",
        "invalidate/move:no-progress",
        "invalidate/move:sequence-last",
        "share/reader:no-sequence",
    ),
    rule("I-14", "unsync is visible before the spte is writable", "unsync/store-and-fence:writable-first"),
    rule("I-15", "shadowing a table and storing to it: one sees the other", "mmu/track-table:untracked", "mmu/device-store:no-lock"),
    rule("I-16", "a lazily made thing is complete before it is visible", "mmu/first-touch:early"),
    rule(
        "I-17",
        "the bit lock of an rmap excludes its walkers and editors",
        "rmap/locked-walk:edits-outside",
        "rmap/locked-walk:looks-then-sets",
    ),
    rule("I-18", "an entry leaves the rmap only after its spte is non-present", "harvest/zap:rmap-first"),
    rule("I-19", "a frozen spte is its freezer's alone", reason="no zap without mmu_lock here: nothing is ever frozen"),
    rule("I-20", "new roots are asked for before a root's page is freed", "mmu/zap-root:keeps-roots", "refine/handshake:keeps-roots"),
    rule("I-21", "a dirty ring's entry is written before its flag", "dirty-ring/full:flags-first", "dirty-ring/full:early-reset"),
    rule("I-22", "a split's child table is filled before it is linked", "megapages/split:link-first"),
    rule("I-23", "a large spte of a logged slot never gets W", "megapages/split-late:widens", "megapages/split:bits-first"),
    rule("S-1", "an object may be another one inside the same read section", "reuse/middle-level-guard:none"),
    rule(
        "S-2",
        "inside a read section an address stays an object of the cache",
        "slab/page-kept:no-grace-period",
        "slab/taken-back:freed-all-the-same",
    ),
    rule("S-3", "a reader validates what it found", "reuse/middle-level-guard:none", "rmap/reused-descriptor:no-nulls"),
    rule("S-4", "an object is initialised before it can be found", "rmap/new-descriptor:publishes-first"),
    rule("S-5", "objects are constructed when their page joins the cache", "refine/allocator:not-constructed"),
    rule(
        "S-6",
        "the section begins before the address is read and ends after its last use",
        "slab/page-kept:looks-before",
        "slab/page-kept:looks-after",
    ),
    rule("S-7", "a page leaves the cache through a grace period", "slab/page-kept:no-grace-period", "slab/taken-back:joins-batch"),
    rule(
        "S-8",
        "no free-list link inside objects; a cache is not taken down before its pages",
        "slab/page-kept:link-inside",
        "slab/taken-down:at-once",
    ),
    rule(
        "S-9", "no zeroing at allocation where a constructor ran", reason="the only constructor is zeroing, and objects are freed as zeroes"
    ),
    rule("N-1", "the end of a list says which list it is", "rmap/reused-descriptor:no-nulls"),
    rule("N-2", "a walk that ends on a foreign end starts anew", "rmap/reused-descriptor:no-nulls"),
    rule(
        "N-3",
        "meeting an entry twice is harmless",
        reason="a permission, not a duty: spte_protect() changes what is protected already no more",
    ),
    rule("N-4", "insertion at the head, filled before it is published", "rmap/new-descriptor:publishes-first"),
    rule("N-5", "a removed node's link leads nowhere a reader must not go", "rmap/reused-descriptor:poisons-next"),
    rule("N-6", "writers exclude each other", "rmap/two-writers:no-lock"),
    rule("N-7", "without end markers, the link is read before the key", reason="there are end markers"),
    rule(
        "N-8",
        "only what stays in the list is promised",
        reason="a limit of the promise; the dirty bit set after publishing covers the rest (I-7)",
    ),
    rule("R-1", "the last descriptor ends in a marker that names its rmap", "rmap/reused-descriptor:no-nulls"),
    rule("R-2", "what is in the rmap during the whole walk is visited", "rmap/moved-entry:forward", "rmap/moved-entry:clears-first"),
    rule(
        "R-3",
        "removal fills the hole with the last entry; walks go from high to low",
        "rmap/moved-entry:forward",
        "rmap/moved-entry:clears-first",
    ),
    rule("R-4", "a new descriptor is filled before the head names it", "rmap/new-descriptor:publishes-first"),
    rule(
        "R-5", "a freed descriptor makes its walkers start anew", "rmap/reused-descriptor:no-nulls", "rmap/reused-descriptor:poisons-next"
    ),
    rule("R-6", "an spte found may be gone, or of a reused table", "reuse/middle-level-guard:none"),
    rule("R-7", "today's answer: a bit lock for each rmap", "rmap/locked-walk:edits-outside"),
)


def table() -> str:
    """The rules as a table of docs/check.md."""
    lines = ["| rule | says | scenario : mutant that breaks it |", "|---|---|---|"]
    for r in RULES:
        shown = ", ".join(f"`{scenario}:{mutant}`" for scenario, mutant in r.shown_by) or r.reason
        lines.append(f"| {r.id} | {r.says} | {shown} |")
    return "\n".join(lines) + "\n"
