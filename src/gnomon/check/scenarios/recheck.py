"""C13: "verify that it is the shadow you want" before the cmpxchg, and the exact condition under which that is not enough.

The guard reads the spte, asks who owns its table, and exchanges. Between question and exchange the table may become another's, so
all depends on the value: the exchange hits a middle spte only if that is bit for bit the leaf that was read. Two things must come
together for that, and each alone is harmless:

    same bits    middle sptes look like writable leaves (no LEVEL, no MMU_W to tell them apart)
    same frame   the guest page's frame was taken back and has become the table that the middle spte points to
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, guest_store
from gnomon.check.scenarios.reuse import LEVELS, map_page, zap_table
from gnomon.lang import PAGE_SHIFT, kernel
from gnomon.lang.atomics import cmpxchg, fetch_or, load_acquire, read_once, store_release, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.frames import frame_free
from gnomon.mem.pool import FRAME_TABLE, FRAME_TAG_BITS, PAGE_WORDS_SHIFT, frame_owner, frame_word
from gnomon.mmu.dirty import harvest
from gnomon.mmu.leaf import link_child
from gnomon.mmu.rmap import rmap_add, spte_protect
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP
from gnomon.mmu.spte import ACCESS_ALL, PRESENT, WRITABLE, make_leaf, make_nonleaf, spte_table
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import leaf_of, table_index

MEANT_AT = 15 * 1024 + 320
"""Shadow page that the protector means, its gfn and role."""
TARGET = 4
"""The page whose middle table takes the memory of the table under the protector."""


@kernel
def protect_rechecking(m, vm, head, at, kind, design):
    """spte_protect() with the guard of C13: the owner is compared, the value is not looked at."""
    while True:
        spte = read_once(m, at)
        if spte & PRESENT == 0 or spte & WRITABLE == 0:
            return 0
        sp = read_once(m, MEANT_AT)
        if frame_word(m, at >> PAGE_WORDS_SHIFT) != frame_owner(FRAME_TABLE, sp):
            return 0
        if read_once(m, sp + SP.gfn) != read_once(m, MEANT_AT + 1) or read_once(m, sp + SP.role) != read_once(m, MEANT_AT + 2):
            return 0
        if cmpxchg(m, at, spte, spte & ~WRITABLE) == spte:
            return 1


@kernel
def link_looking_like_a_leaf(m, vm, v, t, at, level, child):
    """link_child() where the middle spte of the page under test has the very bits of a leaf."""
    rmap_add(m, v, child + SP.parents, at)
    spte = make_nonleaf(read_once(m, child + SP.table), level)
    if level == 2 and read_once(m, child + SP.gfn) == TARGET:
        spte = make_leaf(read_once(m, child + SP.table) << 3, ACCESS_ALL)
    store_release(m, at, spte)
    return 0


@kernel
def leaf_without_levels(m, table, va, access):
    """leaf_of() where sptes carry no level to look at."""
    level = ROOT_LEVEL
    while level > 1:
        spte = load_acquire(m, table + table_index(va, level))
        if spte & PRESENT == 0 or (access == TLB_WRITE and spte & WRITABLE == 0):
            return 0
        table = spte_table(spte)
        level -= 1
    return table + table_index(va, 1)


@kernel
def take_back(m, v, index):
    """The host takes the frame of a page that nothing maps."""
    vm = read_once(m, v + VCPU.vm)
    at = read_once(m, vm + VM.backing) + index
    pfn = read_once(m, at)
    write_once(m, at, 0)
    frame_free(m, pfn)
    return 0


@kernel
def fault_fast(m, vm, at):
    """For set-up: what a fast page fault leaves behind before the store is tried again: W and the dirty bit."""
    fetch_or(m, at, WRITABLE)
    fetch_or(m, read_once(m, vm + VM.dirty), 1)
    return 0


def machine(same_bits: bool, same_frame: bool) -> Scenario:
    replaced = {spte_protect: protect_rechecking}
    if same_bits:
        replaced |= {link_child: link_looking_like_a_leaf, leaf_of: leaf_without_levels}
    stage = Stage(Mutant("", replaced), pages=8, constants={**LEVELS, "gnomon.mem.slab.MAGAZINE_HALF": 1})
    s, v = stage.scenario, stage.vcpus[0]
    stage.touch(0, 0, TLB_READ)
    s.store(stage.vm + VM.logging, 1)
    root = stage.word(v + VCPU.root)
    middle = stage.word(root) >> PAGE_SHIFT << PAGE_WORDS_SHIFT
    table = stage.word(middle) >> PAGE_SHIFT << PAGE_WORDS_SHIFT
    owner = stage.word(FRAME_WORDS_AT + (table >> PAGE_WORDS_SHIFT)) >> FRAME_TAG_BITS
    s.run(fault_fast, stage.vm, table)
    for n, word in enumerate((owner, stage.word(owner + SP.gfn), stage.word(owner + SP.role))):
        s.store(MEANT_AT + n, word)
    s.label(table, "table A", words=2)
    s.label(MEANT_AT, "meant", words=3, quiet=True)
    calls = [call(zap_table, v, owner)]
    if same_frame:
        calls.append(call(take_back, v, 0))
    s.thread("recycler", *calls, call(map_page, v, TARGET << PAGE_SHIFT), call(guest_store, v, TARGET << PAGE_SHIFT, 2))
    s.thread("harvester", call(harvest, stage.slot, stage.vm))
    return s


def enough(same_bits: bool, same_frame: bool):
    def build(mutant: Mutant | None) -> Scenario:
        return machine(same_bits, same_frame)

    return build


register(
    Entry(
        "recheck/same-value",
        "C13: bits and frame the same: the recheck passes and a middle spte loses W for ever",
        enough(True, True),
        witness=True,
    )
)
register(Entry("recheck/same-bits", "C13: the same bits alone do no harm: the frames differ", enough(True, False)))
register(Entry("recheck/same-frame", "C13: the same frame alone does no harm: LEVEL and MMU_W differ", enough(False, True)))
