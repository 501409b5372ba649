"""A guest with two-entry page tables of its own, whose leaf tables go unsync, and what its harts do.

Root R (page 0) leads to leaf table T (page 1), which maps VA 0 to page X and VA 4096 to T itself, so the guest edits T[0] by a store to
VA 4096. Leaf table T2 maps VA 8192 to page Y and VA 12288 to R. Pages X and Y are data. An editor makes T[0] lead to Y, fences, and
looks: it must reach Y, whatever the others do. Root S leads to T and T2 as well.
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.entry import Mutant, designed
from gnomon.check.scenarios.machine_stage import DESTINATION_AT, Stage
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.hart.remote import remote_flush
from gnomon.lang import kernel
from gnomon.lang.atomics import load_acquire, read_once, store_release
from gnomon.lang.guest_memory import store64
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mmu.context import mmu_set_context
from gnomon.mmu.designs import parse
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.guest_walk import guest_fault
from gnomon.mmu.slot import backing_fault, index_of_frame
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM

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
        s.store(self.vm + VM.design, parse(s.design))
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
