"""A to B: the table under the protector is freed and reused at once as another table. C8 … C12, and what guards against it.

The machine has three levels of two entries. Page 0 is mapped by the leaf table A. A recycler zaps A and maps page 4, whose middle
table takes A's memory, the very word that the harvester is about to write-protect included; then the guest stores to page 4.

    level guard     as shipped: spte_protect() wants a 4 KiB leaf, by LEVEL and HOST_W in the value that it exchanges
    none            any present, writable spte is write-protected, as in the first version of the 2013 series
    fixup           none, and the fault path gives a middle spte its W back
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.lang import PAGE_SHIFT, kernel
from gnomon.lang.atomics import cmpxchg, fetch_or, read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.pool import FRAME_TAG_BITS, PAGE_WORDS_SHIFT
from gnomon.mmu.leaf import direct_child, link_child
from gnomon.mmu.rmap import spte_protect
from gnomon.mmu.shadow_page import SP, child_page, make_role, sp_alloc, sp_find
from gnomon.mmu.slow_fault import direct_fault
from gnomon.mmu.spte import HOST_WRITABLE, LARGE, LEVEL_MASK, LEVEL_SHIFT, MMU_WRITABLE, PFN_MASK, PRESENT, WRITABLE, spte_table
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import commit_zap, flush_if_stale, prepare_zap, zap_spte
from gnomon.sync.spinlock import spin_lock, spin_unlock

LEVELS = {"gnomon.mmu.shadow_page.ROOT_LEVEL": 3}
WRONG_AT = 15 * 1024 + 256
"""1 once the protector has changed an spte of a page that it did not mean."""
MEANT_AT = WRONG_AT + 8


@kernel
def zap_table(m, v, sp):
    """The recycler: zap shadow page `sp`, as make_pages_available() does with the oldest."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    spin_lock(m, vm + VM.mmu_lock)
    commit_zap(m, vm, t, prepare_zap(m, vm, t, sp, 0))
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def map_page(m, v, gpa):
    """A slow fault of page `gpa`, for a load: its tables are made from what was just freed."""
    vm = read_once(m, v + VCPU.vm)
    t = read_once(m, v + VCPU.thread)
    spin_lock(m, vm + VM.mmu_lock)
    direct_fault(m, vm, v, t, gpa, TLB_WRITE)
    spin_unlock(m, vm + VM.mmu_lock)
    return 0


@kernel
def protect_any(m, vm, head, at, kind, design):
    """spte_protect() without a guard: whatever is present and writable."""
    while True:
        spte = read_once(m, at)
        if spte & PRESENT == 0 or spte & WRITABLE == 0:
            return 0
        if cmpxchg(m, at, spte, spte & ~WRITABLE) == spte:
            return 1


@kernel
def protect_mmu_writable(m, vm, head, at, kind, design):
    """spte_protect() with today's one-bit guard: the value must carry MMU_W and not be large; its level is not looked at."""
    while True:
        spte = read_once(m, at)
        if spte & (PRESENT | WRITABLE | MMU_WRITABLE | LARGE) != PRESENT | WRITABLE | MMU_WRITABLE:
            return 0
        if cmpxchg(m, at, spte, spte & ~WRITABLE) == spte:
            return 1


@kernel
def protect_by_store(m, vm, head, at, kind, design):
    """spte_protect() with its guard, and a plain store in the place of the cmpxchg."""
    spte = read_once(m, at)
    if spte & (PRESENT | LARGE | LEVEL_MASK | HOST_WRITABLE) != PRESENT | (1 << LEVEL_SHIFT) | HOST_WRITABLE:
        return 0
    write_once(m, at, spte & ~WRITABLE)
    return 1


@kernel
def protect_any_noting(m, vm, head, at, kind, design):
    """protect_any(), and note when the frame was not that of the page meant."""
    while True:
        spte = read_once(m, at)
        if spte & PRESENT == 0 or spte & WRITABLE == 0:
            return 0
        if cmpxchg(m, at, spte, spte & ~WRITABLE) == spte:
            if spte & PFN_MASK != read_once(m, MEANT_AT):
                write_once(m, WRONG_AT, 1 + (spte & LEVEL_MASK))
            return 1


@kernel
def repairing_child(m, vm, v, t, at, level, gfn, access):
    """direct_child() that gives a write-protected middle spte its W back: the fixup of C12."""
    role = make_role(level - 1, 1, access)
    spte = read_once(m, at)
    if spte & PRESENT:
        child = child_page(m, spte_table(spte))
        if read_once(m, child + SP.role) == role and read_once(m, child + SP.gfn) == gfn:
            if spte & WRITABLE == 0:
                fetch_or(m, at, WRITABLE)
            return child
        zap_spte(m, vm, t, at)
        flush_if_stale(m, vm, 1)
    child = sp_find(m, vm, gfn, role)
    if child == 0:
        child = sp_alloc(m, vm, t, gfn, role)
        if child == 0:
            return 0
    link_child(m, vm, v, t, at, level, child)
    return child


@kernel
def right_page_only(m):
    """0 once the protector changed an spte of another page."""
    return read_once(m, WRONG_AT) == 0


def machine(mutant: Mutant | None, target: int) -> Stage:
    """Page 0 dirty and mapped by table A; the recycler reuses A for the path to page `target`, and stores there."""
    stage = Stage(mutant, pages=8, constants=LEVELS)
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 0, TLB_WRITE)
    stage.log()
    s.run(guest_store, v, 0, 1)
    root = stage.word(v + VCPU.root)
    middle = stage.word(root) >> PAGE_SHIFT << PAGE_WORDS_SHIFT
    leaf_table = stage.word(middle) >> PAGE_SHIFT << PAGE_WORDS_SHIFT
    owner = stage.word(FRAME_WORDS_AT + (leaf_table >> PAGE_WORDS_SHIFT)) >> FRAME_TAG_BITS
    s.store(MEANT_AT, stage.word(leaf_table) >> 12 << 12)
    s.label(leaf_table, "table A", words=2)
    s.label(middle, "middle", words=2)
    s.label(WRONG_AT, "wrong page")
    s.thread("recycler", call(zap_table, v, owner), call(map_page, v, target << 12), call(guest_store, v, target << 12, 2))
    s.thread("harvester", stage.round())
    return stage


def middle_reuse(mutant: Mutant | None) -> Scenario:
    return machine(mutant, 4).finish()


def leaf_reuse(mutant: Mutant | None) -> Scenario:
    return machine(mutant, 2).finish()


def unguarded_leaf(mutant: Mutant | None) -> Scenario:
    return leaf_reuse(Mutant("", {spte_protect: protect_any}))


def unguarded_fixup(mutant: Mutant | None) -> Scenario:
    return middle_reuse(Mutant("", {spte_protect: protect_any, direct_child: repairing_child}))


def one_bit_guard(mutant: Mutant | None) -> Scenario:
    return middle_reuse(Mutant("", {spte_protect: protect_mmu_writable}))


def wrong_page(mutant: Mutant | None) -> Scenario:
    stage = machine(Mutant("", {spte_protect: protect_any_noting}), 2)
    stage.scenario.at_end("a successful cmpxchg protects the page that was meant", right_page_only)
    return stage.finish()


register(Entry("reuse/wrong-page", "C8: the cmpxchg of the protector succeeds on a page that reused the table", wrong_page, witness=True))
register(
    Entry("reuse/leaf", "C9: without any guard, write-protecting another last-level spte is repaired by the next fault", unguarded_leaf)
)
register(
    Entry(
        "reuse/middle-level-guard",
        "C11: with the level in the spte, a reused middle spte never loses W",
        middle_reuse,
        {
            "none": Mutant(
                "C10: no guard: the guest faults for ever on a write-protected middle spte",
                {spte_protect: protect_any},
                property="progress",
            ),
            "plain-store": Mutant("a plain store brings back what was zapped meanwhile (I-4)", {spte_protect: protect_by_store}),
        },
    )
)
register(Entry("reuse/middle-fixup", "C12: without a guard, a fault path that repairs middle sptes lets the guest go on", unguarded_fixup))
register(Entry("reuse/middle-mmu-writable", "today's one-bit guard (MMU_W set, PS clear) keeps middle sptes writable too", one_bit_guard))
