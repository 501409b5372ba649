"""Guest tables that go unsync, and the fences that sync them: I-14, U1 to U6.

The guest has two-entry tables of two levels: root R (page 0) leads to leaf table T (page 1), which maps VA 0 to page X and VA 4096 to T
itself, so the guest edits T[0] by a store to VA 4096. Leaf table T2 maps VA 8192 to page Y and VA 12288 to R. Pages X and Y are data. An
editor makes T[0] lead to Y, fences, and looks: it must reach Y, whatever the others do. Root S leads to T and T2 as well.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, designed, register
from gnomon.check.scenarios.machine_stage import DESTINATION_AT, Stage
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.hart.remote import remote_flush
from gnomon.lang import kernel
from gnomon.lang.atomics import cmpxchg, load_acquire, read_once, store_release, write_once
from gnomon.lang.guest_memory import store64
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mmu.context import mmu_set_context
from gnomon.mmu.design import TABLES_UNSYNC
from gnomon.mmu.fence import fence_requests, is_unsync, mmu_sfence, sync_roots
from gnomon.mmu.guest_walk import guest_fault, guest_root, guest_table, indirect_child, set_accessed_dirty
from gnomon.mmu.leaf import link_child, widen
from gnomon.mmu.rmap import PROTECT_TABLE, rmap_walk
from gnomon.mmu.shadow_page import ROOT_LEVEL, SP, child_page, hash_head, make_role, sp_find
from gnomon.mmu.slot import backing_fault, index_of_frame, mark_dirty, slot_index
from gnomon.mmu.spte import DIRTY, PFN_MASK, PRESENT, spte_table
from gnomon.mmu.sync_page import sync_chain, sync_entries
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.unsync import forget_unsync, mark_link, mark_parents, mark_unsync, try_to_unsync
from gnomon.mmu.vcpu import REQ_FLUSH, ROOT_SLOTS, VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.walk import leaf_of, regime_slot
from gnomon.mmu.zap import flush_if_stale

R, T, X, Y, S, T2, PAGES = range(7)
T_WINDOW, T2_WINDOW, R_WINDOW = 4096, 8192, 12288
BESIDE = 16
"""An offset in a table's page behind its two entries."""
POINTER, LEAF = 1, 0xCF
SV39_SATP = -(8 << 60)
SUPERVISOR, MACHINE = 1, 3
FLAG_AT = DATA_AT + 64


def pte(page: int, bits: int) -> int:
    return page << 10 | bits


@kernel
def reach(m, v, va, access):
    """Byte offset that an access of the guest gets to; a store to a tracked table gives -1. In guest mode."""
    regime = read_once(m, v + VCPU.data_regime)
    host = tlb_host(m, v, va, access, regime)
    while host < 0:
        status = mmu_translate(m, v, va, access)
        if status == XL_TRACKED:
            return -1
        expect(status == XL_OK)
        host = tlb_host(m, v, va, access, regime)
    return host


@kernel
def put(m, v, va, value):
    """A store of the guest, tracked or not. In guest mode."""
    host = reach(m, v, va, TLB_WRITE)
    if host >= 0:
        return store64(m, host, value)
    host = tracked_begin(m, v)
    store64(m, host, value)
    return tracked_end(m, v, host, 8)


@kernel
def store(m, v, va, value):
    """A store of the guest and no more."""
    guest_enter(m, v)
    put(m, v, va, value)
    return guest_exit(m, v)


@kernel
def fence(m, v):
    """A whole SFENCE.VMA."""
    guest_enter(m, v)
    mmu_sfence(m, v, 0, 0)
    return guest_exit(m, v)


@kernel
def look(m, v, va):
    """A load of the guest, of whatever page."""
    guest_enter(m, v)
    reach(m, v, va, TLB_READ)
    return guest_exit(m, v)


@kernel
def edit_and_look(m, v, entry_va, value, va, page):
    """Store the PTE `value`, fence, in a later span of guest mode, and expect `va` to lead to guest page `page`."""
    guest_enter(m, v)
    put(m, v, entry_va, value)
    guest_exit(m, v)
    guest_enter(m, v)
    mmu_sfence(m, v, 0, 0)
    expect(index_of_frame(m, reach(m, v, va, TLB_READ) >> 12) == page)
    return guest_exit(m, v)


@kernel
def edit_and_look_by_address(m, v, entry_va, value, va, page):
    """edit_and_look() with the fence of one address."""
    guest_enter(m, v)
    put(m, v, entry_va, value)
    guest_exit(m, v)
    guest_enter(m, v)
    mmu_sfence(m, v, va, 1)
    expect(index_of_frame(m, reach(m, v, va, TLB_READ) >> 12) == page)
    return guest_exit(m, v)


@kernel
def edit_then_enter(m, v, gpa, value, satp, va, page):
    """Bare, store the PTE `value` at `gpa` and fence; then, under `satp`, look elsewhere, and expect `va` to lead to guest page `page`."""
    guest_enter(m, v)
    put(m, v, gpa, value)
    mmu_sfence(m, v, 0, 0)
    mmu_set_context(m, v, SUPERVISOR, SUPERVISOR, satp, 0)
    reach(m, v, T2_WINDOW, TLB_READ)
    expect(index_of_frame(m, reach(m, v, va, TLB_READ) >> 12) == page)
    return guest_exit(m, v)


@kernel
def edit_and_fence_all(m, v, entry_va, value, hart):
    """Store the PTE `value`, ask hart `hart` to fence, then say so in the word FLAG_AT."""
    store(m, v, entry_va, value)
    remote_flush(m, v, 1 << hart, 0)
    return store_release(m, FLAG_AT, 1)


@kernel
def look_when_told(m, v, va, page):
    """Look at `va`, and again: once the other says that we have fenced it must lead to guest page `page`."""
    for _ in range(2):
        told = load_acquire(m, FLAG_AT)
        guest_enter(m, v)
        index = index_of_frame(m, reach(m, v, va, TLB_READ) >> 12)
        guest_exit(m, v)
        expect(told == 0 or index == page)
    return 0


@kernel
def entry_leads_to(m, vm, table, entry, page):
    """1 if that entry of guest table page `table` names guest page `page`."""
    pfn = read_once(m, read_once(m, vm + VM.backing) + table)
    return int(read_once(m, (pfn << PAGE_WORDS_SHIFT) + entry) >> 10 == page)


# What breaks a rule


@kernel
def say_yes(m, vm, index):
    """try_to_unsync() that marks nothing yet."""
    return 1


@kernel
def widen_then_mark(m, vm, v, at, spte):
    """widen() that makes the spte writable and marks the table unsync after."""
    old = read_once(m, at)
    while cmpxchg(m, at, old, old | spte) != old:
        old = read_once(m, at)
    index = index_of_frame(m, (spte & PFN_MASK) >> 12)
    mark_dirty(m, vm, v, index)
    sp = sp_find(m, vm, index, make_role(1, 0, 0))
    if sp:
        mark_unsync(m, vm, sp)
    return 0


@kernel
def mark_nothing(m, sp, mark):
    """mark_parents() that leaves the pages above as they are."""
    return 0


@kernel
def sync_nothing(m, vm, v):
    """sync_roots() that only lets the TLB be flushed."""
    return 0


@kernel
def sync_unmarked(m, vm, t, chain):
    """sync_chain() that takes the marks away before it compares."""
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        rmap_walk(m, vm, read_once(m, vm + VM.rmap) + slot_index(m, vm, read_once(m, sp + SP.gfn) << 12), PROTECT_TABLE)
        flush_if_stale(m, vm, 1)
        forget_unsync(m, vm, sp)
        sync_entries(m, vm, t, sp)
        sp = following
    return 0


@kernel
def sync_unflushed(m, vm, t, chain):
    """sync_chain() that does not wait for the TLBs that may hold the table writable."""
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        rmap_walk(m, vm, read_once(m, vm + VM.rmap) + slot_index(m, vm, read_once(m, sp + SP.gfn) << 12), PROTECT_TABLE)
        sync_entries(m, vm, t, sp)
        forget_unsync(m, vm, sp)
        sp = following
    return 0


@kernel
def sync_unprotected(m, vm, t, chain):
    """sync_chain() that leaves the table writable."""
    sp = chain
    while sp:
        following = read_once(m, sp + SP.work_next)
        flush_if_stale(m, vm, 1)
        sync_entries(m, vm, t, sp)
        forget_unsync(m, vm, sp)
        sp = following
    return 0


@kernel
def link_as_it_is(m, vm, v, t, at, level, gfn):
    """indirect_child() that links a table as it is, unsync or not."""
    if read_once(m, at) & PRESENT:
        return child_page(m, spte_table(read_once(m, at)))
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        link_child(m, vm, v, t, at, level, child)
    return child


@kernel
def link_then_mark(m, vm, v, t, at, level, gfn):
    """indirect_child() that compares an unsync table but leaves it unsync, links it, and marks the page above after."""
    if read_once(m, at) & PRESENT:
        return child_page(m, spte_table(read_once(m, at)))
    child = guest_table(m, vm, t, gfn, level - 1)
    if child:
        sync_entries(m, vm, t, child)
        link_child(m, vm, v, t, at, level, child)
        if read_once(m, child + SP.unsync):
            above = mark_link(m, at, 1, 0)
            if above:
                mark_parents(m, above, 1)
    return child


@kernel
def load_as_it_is(m, vm, v, t, regime):
    """guest_root() that loads a root with unsync tables below as it is."""
    slot = regime_slot(regime)
    sp = guest_table(m, vm, t, read_once(m, v + VCPU.root_satp + slot), ROOT_LEVEL)
    if sp:
        write_once(m, v + VCPU.root + slot, read_once(m, sp + SP.table))
    return sp


@kernel
def only_flush(m, vm):
    """fence_requests() that asks for no more than a flush."""
    return REQ_FLUSH


@kernel
def store_accessed_dirty(m, vm, v, index, at, pte, new):
    """set_accessed_dirty() by a plain store."""
    if new != pte:
        store64(m, at, new)
        mark_dirty(m, vm, v, index)
    return 1


@kernel
def unsync_any(m, vm, index):
    """try_to_unsync() that looks at no level."""
    sp = read_once(m, hash_head(m, vm, index))
    while sp:
        if read_once(m, sp + SP.gfn) == index:
            mark_unsync(m, vm, sp)
        sp = read_once(m, sp + SP.hash_next)
    return 1


@kernel
def is_unsync_if_present(m, v, va, by_address):
    """is_unsync() that lets the fence of an address off when no spte is there yet."""
    for slot in range(1, ROOT_SLOTS):
        root = read_once(m, v + VCPU.root + slot)
        if root:
            at = leaf_of(m, root, va, TLB_READ)
            if at and read_once(m, at) & PRESENT:
                return 1
    return 0


class Guest(Stage):
    """A machine with these tables; the vCPUs `users` are in root R and have mapped the VAs `looked` for loads."""

    def __init__(
        self,
        mutant: Mutant | None,
        vcpus: int = 2,
        looked: tuple[int, ...] = (0, T_WINDOW),
        users: tuple[int, ...] = (0, 1),
        x_bits: int = LEAF,
        handshake: bool = True,
    ):
        constants = {"gnomon.mmu.vcpu.ROOT_SLOTS": 3}
        super().__init__(designed(mutant, "guest-tables=unsync"), vcpus, PAGES, constants, {guest_fault: guest_fault}, handshake=handshake)
        s = self.scenario
        s.store(self.vm + VM.design, TABLES_UNSYNC)
        for name in ("syncs", "synced_sptes", "flooded"):
            s.only_bits(self.vm + getattr(VM, name))
        tables = {
            R: (pte(T, POINTER), pte(T2, POINTER)),
            S: (pte(T, POINTER), pte(T2, POINTER)),
            T: (pte(X, x_bits), pte(T, LEAF)),
            T2: (pte(Y, LEAF), pte(R, LEAF)),
        }
        for page in range(PAGES):
            pfn = s.run(backing_fault, self.vm, self.slot, page)
            for entry, value in enumerate(tables.get(page, ())):
                s.store((pfn << PAGE_WORDS_SHIFT) + entry, value)
        for v in self.vcpus:
            for name in ("tracked_writes", "guest_faults"):
                s.only_bits(v + getattr(VCPU, name))
        for v in (self.vcpus[n] for n in users):
            self.enter(v, R)
            for va in looked:
                s.run(look, v, va)

    def enter(self, v: int, root: int) -> None:
        self.scenario.run(mmu_set_context, v, SUPERVISOR, SUPERVISOR, SV39_SATP + root, 0)

    def bare(self, v: int) -> None:
        self.scenario.run(mmu_set_context, v, MACHINE, MACHINE, 0, 0)

    def unsync(self, v: int, va: int = T_WINDOW) -> None:
        """Let `v` store beside T's entries: T is unsync from here on."""
        self.scenario.run(store, v, va + BESIDE, 7)

    def finish(self) -> Scenario:
        """From here on pages are logged, and the destination has what they hold now."""
        self.log()
        for page in range(PAGES):
            self.scenario.store(DESTINATION_AT + page, self.word(self.word(self.word(self.vm + VM.backing) + page) << PAGE_WORDS_SHIFT))
        return super().finish()


def store_and_fence(mutant: Mutant | None) -> Scenario:
    """vCPU 0 stores beside the entries, so that T goes unsync; the editor may use what that gives it at once."""
    guest = Guest(mutant)
    first, editor = guest.vcpus
    guest.scenario.thread("vcpu 0", call(store, first, T_WINDOW + BESIDE, 8))
    guest.scenario.thread("editor", call(edit_and_look, editor, T_WINDOW, pte(Y, LEAF), 0, Y))
    return guest.finish()


def fence_and_store(mutant: Mutant | None) -> Scenario:
    """T is unsync and the editor's TLB knows it writable; vCPU 0 fences."""
    guest = Guest(mutant)
    first, editor = guest.vcpus
    guest.unsync(editor)
    guest.scenario.thread("vcpu 0", call(fence, first))
    guest.scenario.thread("editor", call(edit_and_look, editor, T_WINDOW, pte(Y, LEAF), 0, Y))
    return guest.finish()


def fence_one_address(mutant: Mutant | None) -> Scenario:
    """T is unsync, VA 0 is not mapped yet; vCPU 0 maps it while the editor edits its entry and fences that address."""
    guest = Guest(mutant, looked=(T_WINDOW,))
    first, editor = guest.vcpus
    guest.unsync(editor)
    guest.scenario.thread("vcpu 0", call(look, first, 0))
    guest.scenario.thread("editor", call(edit_and_look_by_address, editor, T_WINDOW, pte(Y, LEAF), 0, Y))
    return guest.finish()


def link(mutant: Mutant | None) -> Scenario:
    """T is unsync below R. vCPU 0 links it below S as well; the editor has S loaded and edits T bare."""
    guest = Guest(mutant, users=(0,))
    first, editor = guest.vcpus
    guest.unsync(first)
    for v in (first, editor):
        guest.enter(v, S)
        guest.scenario.run(look, v, T2_WINDOW)
    guest.bare(editor)
    guest.unsync(editor, T << 12)
    guest.scenario.thread("vcpu 0", call(look, first, 0))
    guest.scenario.thread("editor", call(edit_then_enter, editor, T << 12, pte(Y, LEAF), SV39_SATP + S, 0, Y))
    return guest.finish()


def root_load(mutant: Mutant | None) -> Scenario:
    """The editor edits T bare, fences there, and goes back to R, which it had loaded before."""
    guest = Guest(mutant, vcpus=1, users=(0,))
    (editor,) = guest.vcpus
    guest.bare(editor)
    guest.scenario.thread("editor", call(edit_then_enter, editor, T << 12, pte(Y, LEAF), SV39_SATP + R, 0, Y))
    return guest.finish()


def remote_fence(mutant: Mutant | None) -> Scenario:
    """The editor asks vCPU 0 to fence, and says when that is done."""
    guest = Guest(mutant, handshake=False)
    first, editor = guest.vcpus
    guest.unsync(editor)
    guest.scenario.label(FLAG_AT, "fenced")
    guest.scenario.thread("vcpu 0", call(look_when_told, first, 0, Y))
    guest.scenario.thread("editor", call(edit_and_fence_all, editor, T_WINDOW, pte(Y, LEAF), 0))
    return guest.finish()


def accessed_dirty(mutant: Mutant | None) -> Scenario:
    """vCPU 0 stores to page X, whose entry lacks D, while the editor overwrites that entry."""
    guest = Guest(mutant, looked=(T_WINDOW,), x_bits=LEAF & ~DIRTY)
    first, editor = guest.vcpus
    guest.unsync(editor)
    guest.scenario.thread("vcpu 0", call(store, first, 0, 5))
    guest.scenario.thread("editor", call(store, editor, T_WINDOW, pte(Y, LEAF)))
    guest.scenario.at_end("a store to a guest table is never overwritten", entry_leads_to, guest.vm, T, 0, Y)
    return guest.finish()


def upper_table(mutant: Mutant | None) -> Scenario:
    """The editor edits R itself: R[0] leads to T2 now."""
    guest = Guest(mutant, looked=(0, R_WINDOW))
    first, editor = guest.vcpus
    guest.scenario.thread("vcpu 0", call(look, first, 0))
    guest.scenario.thread("editor", call(edit_and_look, editor, R_WINDOW, pte(T2, POINTER), 0, Y))
    return guest.finish()


register(
    Entry(
        "unsync/store-and-fence",
        "a hart that fences after a store to an unsync table uses no spte from before the store (I-14)",
        store_and_fence,
        {
            "writable-first": Mutant(
                "the spte is writable before the table is marked (U2, I-14)", {try_to_unsync: say_yes, widen: widen_then_mark}
            ),
            "parents-forgotten": Mutant("the pages above get no mark (U1)", {mark_parents: mark_nothing}),
            "no-sync": Mutant("SFENCE.VMA flushes the TLB and syncs nothing (U5)", {sync_roots: sync_nothing}),
        },
    )
)
register(
    Entry(
        "unsync/fence-and-store",
        "a sync that another hart began leaves no store behind",
        fence_and_store,
        {
            "marks-first": Mutant("the marks go before the table is compared (U3)", {sync_chain: sync_unmarked}),
            "no-flush": Mutant("compares while a TLB still has the table writable (Y1)", {sync_chain: sync_unflushed}),
            "not-protected": Mutant("ends unsync with the table writable (Y1)", {sync_chain: sync_unprotected}),
        },
    )
)
register(
    Entry(
        "unsync/one-address",
        "a fence of one address waits for a fault that has read the old entry and not yet published it",
        fence_one_address,
        {"only-if-present": Mutant("the fence looks for an spte without mmu_lock", {is_unsync: is_unsync_if_present})},
    )
)
register(
    Entry(
        "unsync/link",
        "a table that is linked while it is unsync is in sync before it can be reached (U6)",
        link,
        {
            "as-it-is": Mutant("links it as it is", {indirect_child: link_as_it_is}),
            "link-then-mark": Mutant(
                "compares, links, marks the page above last: a fence in between finds no mark",
                {indirect_child: link_then_mark},
            ),
        },
    )
)
register(
    Entry(
        "unsync/root-load",
        "a root that was not in use when its hart fenced is synced when it is loaded again (U5)",
        root_load,
        {
            "as-it-is": Mutant("loads it as it is", {guest_root: load_as_it_is}),
            "kept": Mutant("the fence leaves roots that are not in use alone", {sync_roots: sync_nothing}),
        },
    )
)
register(
    Entry(
        "unsync/remote-fence",
        "when a remote fence returns, the hart it named uses no spte from before",
        remote_fence,
        {"only-flush": Mutant("asks for a flush of the TLB alone", {fence_requests: only_flush})},
    )
)
register(
    Entry(
        "unsync/accessed-dirty",
        "A and D are set in an entry of an unsync table only if it is still the one that was looked at (E3)",
        accessed_dirty,
        {
            "plain-store": Mutant(
                "sets them by a plain store",
                {set_accessed_dirty: store_accessed_dirty},
                property="a store to a guest table is never overwritten",
            )
        },
    )
)
