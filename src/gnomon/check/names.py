"""names: what words and values are called in a counterexample: `table of gfn 3[1] = page 3 L1 W|MMU_W`, not `word 29697 = 0x3b75f`.

A scenario's labels come first, then what the allocators say (arena_map.py). Names are those of a moment: `at()` moves to another.
"""

from __future__ import annotations

from collections.abc import Callable

from gnomon.check.arena_map import ArenaMap, Part, field
from gnomon.check.scenario import Region, Scenario
from gnomon.mem.pool import (
    FRAME_FREE,
    FRAME_GUEST,
    FRAME_SLAB,
    FRAME_STATIC,
    FRAME_TABLE,
    FRAME_TAG_BITS,
    FRAME_TAG_MASK,
    FRAMES_PER_RUN,
    PAGE_WORDS_SHIFT,
)
from gnomon.mmu.shadow_page import ROLE_DIRECT, ROLE_LEVEL
from gnomon.mmu.slot import INDEX_MASK
from gnomon.mmu.spte import (
    ACCESSED,
    DIRTY,
    HOST_WRITABLE,
    LARGE,
    LEVEL_MASK,
    LEVEL_SHIFT,
    MMU_WRITABLE,
    PFN_MASK,
    PRESENT,
    WRITABLE,
)
from gnomon.mmu.vcpu import REQ_EVENT, REQ_FLUSH, REQ_PAUSE, REQ_ROOTS
from gnomon.mmu.vm_words import VM

SPTE_BITS = (("W", WRITABLE), ("MMU_W", MMU_WRITABLE), ("LARGE", LARGE), ("A", ACCESSED), ("D", DIRTY))
"""Bits of an spte that counterexamples turn on; R, X, U and PRESENT go without saying, HOST_W only on a leaf that has it."""
REQUEST_BITS = (("FLUSH", REQ_FLUSH), ("ROOTS", REQ_ROOTS), ("PAUSE", REQ_PAUSE), ("EVENT", REQ_EVENT))
FRAME_TAGS = {FRAME_FREE: "free", FRAME_SLAB: "slab", FRAME_STATIC: "static"}
LEAST_REFERENCE = 1 << 10
"""Below it a word of no known kind is a number, though something may lie there."""


class Names:
    """Names of the words of `scenario` at a moment: `memory(at)` is the word at an index then."""

    def __init__(self, scenario: Scenario, memory: Callable[[int], int]):
        self.regions = sorted(scenario.regions, key=lambda r: r.words)
        self.values = scenario.value_names
        self.vm = next((r.first for r in scenario.regions if r.layout is VM), 0)
        per_run = scenario.constants.get("gnomon.mem.pool.FRAMES_PER_RUN", FRAMES_PER_RUN)
        self.map = ArenaMap(memory, len(scenario.arena), self.vm, per_run)
        self._began = ArenaMap(lambda at: int(scenario.arena.words[at]), len(scenario.arena), self.vm, per_run)

    def at(self, memory: Callable[[int], int]) -> Names:
        """Move to another moment."""
        self.map.memory = memory
        return self

    def region(self, at: int) -> Region | None:
        """The smallest labelled region around a word."""
        return next((r for r in self.regions if r.first <= at < r.first + r.words), None)

    def part(self, at: int) -> Part:
        """The object that a word belongs to, its name in it, and how its value reads."""
        region, derived = self.region(at), self.map.part(at)
        if region is None:
            return derived or (Part(f"word {at}", "", "", at) if 0 <= at < self.map.words else Part(f"nowhere ({at:#x})", "", "", at))
        over, inside, kind = at - region.first, "", region.kind
        if region.layout is not None:
            inside, named = field(region.layout, over)
            kind = kind or named
        elif region.words > 1:
            inside = f"[{over}]"
        thing = region.label
        if derived and not kind:
            kind = derived.kind
        if derived and derived.kind == "spte":
            thing += self._new_owner(at, derived)
        return Part(thing, inside, kind, region.first)

    def _new_owner(self, at: int, derived: Part) -> str:
        """What a labelled table is now, when it has become another: the thread's A that is B."""
        before = self._began.part(at)
        if before is None or before.thing == derived.thing:
            return ""
        return " (free)" if derived.thing.startswith("free") else f" (now {derived.thing})"

    def word(self, at: int) -> str:
        return self.part(at).text

    def thing(self, at: int) -> str:
        """What a reference points to: the object where it begins, else the word."""
        part = self.part(at)
        return part.thing if part.first == at else part.text

    def value(self, at: int, value: int) -> str:
        """How the word at `at` reads when it is `value`."""
        kind = self.part(at).kind
        return getattr(self, f"_{kind}")(value) if kind else self.number(value)

    def change(self, at: int, before: int, after: int) -> str:
        """What a read-modify-write did: `old -> new`, or `old -> +W` where only bits of an spte changed."""
        if self.part(at).kind == "spte" and before & PRESENT and after & PRESENT and (before ^ after) & (PFN_MASK | LEVEL_MASK) == 0:
            flips = [("-" if before & bit else "+") + name for name, bit in SPTE_BITS if (before ^ after) & bit]
            if flips:
                return f"{self._spte(before)} -> {' '.join(flips)}"
        return f"{self.value(at, before)} -> {self.value(at, after)}"

    def number(self, value: int) -> str:
        if value in self.values:
            return self.values[value]
        if value >= LEAST_REFERENCE:
            part = self.part(value)
            if part.first == value and not part.text.startswith(("word ", "null", "nowhere")):
                return f"&{part.thing}"
        return str(value) if -4096 < value < 4096 else f"{value & (1 << 64) - 1:#x}"

    def frame(self, pfn: int) -> str:
        """What lies in a frame."""
        part = self.part(pfn << PAGE_WORDS_SHIFT)
        return f"frame {pfn}" if part.text.startswith("word ") else part.thing

    def _spte(self, value: int) -> str:
        if value & PRESENT == 0:
            return "0" if value == 0 else f"not present {value & (1 << 64) - 1:#x}"
        level = (value & LEVEL_MASK) >> LEVEL_SHIFT
        flags = "|".join(name for name, bit in SPTE_BITS if value & bit) or "-"
        host = "" if level != 1 or value & HOST_WRITABLE else " read-only"
        carried = f" L{level}" if level else ""  # a design may put no level into its sptes
        return f"{self.frame((value & PFN_MASK) >> 12)}{carried} {flags}{host}"

    def _rmap(self, value: int) -> str:
        if value == 0:
            return "empty"
        return self.thing(value >> 1) if value & 1 else f"&{self.word(value >> 1)}"

    def _more(self, value: int) -> str:
        if value == 0:
            return "0"
        return f"nulls({self.word(value >> 1)})" if value & 1 else self.thing(value >> 1)

    def _at(self, value: int) -> str:
        return f"&{self.word(value)}" if value else "0"

    def _ref(self, value: int) -> str:
        return f"&{self.thing(value)}" if value >= 64 else str(value)

    @staticmethod
    def _pages(value: int) -> str:
        return "{" + ", ".join(str(n) for n in range(64) if value >> n & 1) + "}"

    @staticmethod
    def _pfn(value: int) -> str:
        return f"frame {value}" if value else "0"

    def _frame(self, value: int) -> str:
        tag, payload = value & FRAME_TAG_MASK, value >> FRAME_TAG_BITS
        if tag == FRAME_GUEST:
            return f"page {payload & INDEX_MASK}"
        if tag == FRAME_TABLE:
            return f"table of {self.thing(payload)}"
        return FRAME_TAGS.get(tag, "taken")

    @staticmethod
    def _requests(value: int) -> str:
        return "|".join(name for name, bit in REQUEST_BITS if value & bit) or "0"

    @staticmethod
    def _mode(value: int) -> str:
        return "in guest" if value & 1 else "outside"

    @staticmethod
    def _lock(value: int) -> str:
        return {0: "free", 1: "taken"}.get(value, str(value))

    @staticmethod
    def _role(value: int) -> str:
        return f"{'direct ' if value & ROLE_DIRECT else ''}L{value & ROLE_LEVEL}"

    def _tag(self, value: int) -> str:
        if value == 0:
            return "nothing"
        regime, page = value & 4095, value >> 12
        if regime == 1 and self.vm:
            return f"page {page - self.map.memory(self.vm + VM.base_gfn)}"
        return f"va {page << 12:#x} of regime {regime}"

    @staticmethod
    def _addend(value: int) -> str:
        return f"+{value:#x}" if value >= 0 else f"-{-value:#x}"

    def page(self, index: int) -> int:
        """Word where page `index` of the machine begins, 0 while it has no frame."""
        word = self.map.memory
        return word(word(self.vm + VM.backing) + index) << PAGE_WORDS_SHIFT

    def is_dirty(self, index: int) -> bool:
        """Whether the last round would still copy page `index`: it is in the dirty log or in a snapshot."""
        word = self.map.memory
        logs = (word(self.vm + VM.dirty), word(self.vm + VM.snapshot))
        return any(word(log + (index >> 6)) >> (index & 63) & 1 for log in logs)
