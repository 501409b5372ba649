"""Guest tables that go unsync, and the fences that sync them: I-14, U1 to U6. The guest is that of unsync_guest.py."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.unsync_guest import (
    BESIDE,
    FLAG_AT,
    LEAF,
    POINTER,
    R_WINDOW,
    SV39_SATP,
    T2,
    T2_WINDOW,
    T_WINDOW,
    Guest,
    R,
    S,
    T,
    Y,
    edit_and_fence_all,
    edit_and_look,
    edit_and_look_by_address,
    edit_then_enter,
    entry_leads_to,
    fence,
    look,
    look_when_told,
    pte,
    store,
)
from gnomon.check.scenarios.unsync_mutants import (
    is_unsync_if_present,
    link_as_it_is,
    link_then_mark,
    load_as_it_is,
    mark_nothing,
    only_flush,
    say_yes,
    store_accessed_dirty,
    sync_nothing,
    sync_unflushed,
    sync_unmarked,
    widen_then_mark,
)
from gnomon.mmu.fence import fence_requests, is_unsync, sync_roots
from gnomon.mmu.guest_walk import guest_root, indirect_child, set_accessed_dirty
from gnomon.mmu.leaf import widen
from gnomon.mmu.spte import DIRTY
from gnomon.mmu.sync_page import sync_chain
from gnomon.mmu.unsync import mark_parents, try_to_unsync


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
            "not-protected": Mutant("ends unsync with the table writable (Y1)", design="guest-tables=unsync-unprotected"),
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
