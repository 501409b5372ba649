"""The log's modes: write-protect at enable, and the clear form: get, clear, copy."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage, copy_taken
from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, fetch_and, read_once, write_once
from gnomon.mmu.bitmap import dirty_words
from gnomon.mmu.dirty import commit, protect_word, start_logging
from gnomon.mmu.log_modes import clear_begin, clear_dirty_log, enable_protected, page_bits
from gnomon.mmu.tlb import TLB_WRITE
from gnomon.mmu.vcpu import flush_remote_tlbs
from gnomon.mmu.vm_words import VM


@kernel
def get_clear_copy(m, t, vm):
    """A round of pre-copy in the clear form: read the bitmap, clear what was read, copy it."""
    dirty = read_once(m, read_once(m, vm + VM.dirty))
    clear_begin(m, vm)
    write_once(m, read_once(m, vm + VM.snapshot), dirty)
    clear_dirty_log(m, t, vm, 0, 1)
    copy_taken(m, vm, dirty)
    commit(m, vm)
    return 0


@kernel
def get_copy_clear(m, t, vm):
    """Mutant of get_clear_copy(): copies before it clears."""
    dirty = read_once(m, read_once(m, vm + VM.dirty))
    clear_begin(m, vm)
    write_once(m, read_once(m, vm + VM.snapshot), dirty)
    copy_taken(m, vm, dirty)
    clear_dirty_log(m, t, vm, 0, 1)
    commit(m, vm)
    return 0


@kernel
def clear_protecting_first(m, t, vm, first, words):
    """Mutant of clear_dirty_log(): write-protects before it clears the bits."""
    at = read_once(m, vm + VM.snapshot)
    named = read_once(m, at)
    fetch_add(m, vm + VM.protected, protect_word(m, t, vm, 0, named))
    taken = fetch_and(m, read_once(m, vm + VM.dirty), ~named) & named
    write_once(m, at, taken)
    return flush_remote_tlbs(m, vm)


@kernel
def clear_all(m, t, vm, first, words):
    """Mutant of clear_dirty_log(): clears the word, and protects only what was named."""
    at = read_once(m, vm + VM.snapshot)
    named = read_once(m, at)
    taken = fetch_and(m, read_once(m, vm + VM.dirty), 0) & named
    write_once(m, at, taken)
    fetch_add(m, vm + VM.protected, protect_word(m, t, vm, 0, taken))
    return flush_remote_tlbs(m, vm)


@kernel
def enable_protecting_first(m, t, vm):
    """Mutant of enable_protected(): write-protects before it starts to log."""
    for w in range(dirty_words(m, vm)):
        protect_word(m, t, vm, w, page_bits(m, vm, w))
    flush_remote_tlbs(m, vm)
    return start_logging(m, t, vm, 0)


@kernel
def enable_and_copy(m, t, vm):
    """Start with everything protected, then make the first copy of all pages: the base that the log's increments build on."""
    enable_protected(m, t, vm)
    return copy_taken(m, vm, page_bits(m, vm, 0))


def cleared(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, pages=2)
    stage.touch(0, 1)
    stage.touch(0, 0)
    stage.log()
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("reader", call(get_clear_copy, stage.slot, stage.vm), call(get_clear_copy, stage.slot, stage.vm))
    return stage.finish()


def protected(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant)
    stage.touch(0, 0, TLB_WRITE)
    stage.scenario.thread("vcpu 0", stage.store(0, 0, 1), stage.store(0, 0, 2))
    stage.scenario.thread("reader", call(enable_and_copy, stage.slot, stage.vm))
    return stage.finish()


SKIP_FLUSH = Mutant("returns without a flush (I-1)", design="flush=skipped", property="nothing lost")
register(
    Entry(
        "log-modes/clear",
        "get, clear, copy: a page written after its clear is dirty again, one not named stays dirty",
        cleared,
        {
            "copy-first": Mutant("copies before it clears", {get_clear_copy: get_copy_clear}, property="nothing lost"),
            "protect-first": Mutant("write-protects before it clears", {clear_dirty_log: clear_protecting_first}, property="nothing lost"),
            "clear-unread": Mutant("clears bits that were not read", {clear_dirty_log: clear_all}, property="nothing lost"),
            "skip-flush": SKIP_FLUSH,
        },
    )
)
register(
    Entry(
        "log-modes/write-protect",
        "an empty log and everything protected at enable: what is written after the base was copied is logged",
        protected,
        {
            "protect-first": Mutant("write-protects before it logs", {enable_protected: enable_protecting_first}, property="nothing lost"),
            "skip-flush": SKIP_FLUSH,
        },
    )
)
