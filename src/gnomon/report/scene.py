"""scene: what the page tables, TLBs, pages and rmaps of a scenario look like at one moment, read from its memory.

Only what a reader would draw: tables in use and those that were, entries that are or were something, pages that have a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gnomon.check.names import Names
from gnomon.check.scenario import Scenario
from gnomon.check.timeline import Timeline
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.mem.pool import FRAME_TABLE, FRAME_TAG_BITS, FRAME_TAG_MASK, PAGE_WORDS_SHIFT
from gnomon.mmu.rmap import DESC, DESC_SPTES
from gnomon.mmu.shadow_page import ROLE_LEVEL, SP, TABLE_ENTRIES
from gnomon.mmu.spte import ACCESSED, DIRTY, LEVEL_MASK, LEVEL_SHIFT, MMU_WRITABLE, PFN_MASK, PRESENT, WRITABLE
from gnomon.mmu.tlb import TLB_ADDEND, TLB_AT, TLB_ENTRIES, TLB_ENTRY_WORDS
from gnomon.mmu.vcpu import ROOT_SLOTS, VCPU
from gnomon.mmu.vm_words import VM

FLAGS = (("W", WRITABLE), ("MMU_W", MMU_WRITABLE), ("A", ACCESSED), ("D", DIRTY))
LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Entry:
    """One spte. `target` is the word where the frame that it points to begins, 0 when it is not present."""

    at: int
    flags: tuple[str, ...] = ()
    level: int = 0
    target: int = 0
    text: str = ""


@dataclass(frozen=True)
class Table:
    at: int
    name: str
    owner: str  # what it maps, "free" for one that maps nothing any more
    level: int
    used: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Cached:
    """One TLB entry: the page that loads, stores or fetches (`kinds`) find there, and the word where its frame begins."""

    at: int
    page: str
    kinds: tuple[str, ...]
    target: int


@dataclass(frozen=True)
class Vcpu:
    at: int
    name: str
    mode: str
    requests: str
    roots: tuple[int, ...]
    tlb: tuple[Cached, ...]


@dataclass(frozen=True)
class Page:
    """A guest page: its frame, the word of it that the model looks at, and its copy at the destination (None without one)."""

    index: int
    at: int
    frame: str
    value: int
    copy: int | None
    copy_at: int
    dirty: bool
    snapshot: bool


@dataclass(frozen=True)
class Chain:
    """An rmap: its head, the descriptors and what they hold, how the chain ends."""

    at: int
    name: str
    links: tuple[tuple[int, str, tuple[tuple[int, str], ...]], ...]
    end: str = ""


@dataclass(frozen=True)
class Scene:
    vcpus: tuple[Vcpu, ...] = ()
    tables: tuple[Table, ...] = ()
    pages: tuple[Page, ...] = ()
    chains: tuple[Chain, ...] = ()


@dataclass
class Scenery:
    """Makes the scenes of one timeline. Remembers which frames were tables, so that those freed stay in the picture."""

    timeline: Timeline
    tables: dict[int, int] = field(default_factory=dict)  # pfn: last level
    descs: set[int] = field(default_factory=set)

    def __post_init__(self):
        self.scenario: Scenario = self.timeline.scenario
        constant = self.scenario.source.constant
        self.entries = constant("TABLE_ENTRIES", TABLE_ENTRIES)
        self.tlb_entries = constant("TLB_ENTRIES", TLB_ENTRIES)
        self.slots = constant("ROOT_SLOTS", ROOT_SLOTS)
        self.desc_sptes = constant("DESC_SPTES", DESC_SPTES)
        self.copies = next((r for r in self.scenario.regions if r.label == "destination"), None)
        self.loose = [r for r in self.scenario.regions if r.kind == "spte"]
        self.heads = [r for r in self.scenario.regions if r.kind == "rmap"]
        self.shown = self._ever_used()

    def _ever_used(self) -> set[int]:
        """Words of loose sptes that are something at some moment."""
        first = self.timeline.memory(-1)
        words = {at for r in self.loose for at in range(r.first, r.first + r.words)}
        return {at for at in words if first(at) or at in self.timeline.written}

    def at(self, moment: int) -> Scene | None:
        """The scene after a moment, -1 for the beginning; None when there is nothing to draw. Ask in order of time."""
        names = self.timeline.names_at(moment)
        if not names.vm and not self.heads:
            return None
        mapped = self._tables(names) if names.vm else ()
        used = any(e.target for t in mapped for e in t.entries)
        machine = names.vm and (used or any(t.used and t.entries for t in mapped))
        tables = tuple(self._table(names, r.first, (r.label, ""), 1, True, sorted(self._words(r))) for r in self.loose)
        return Scene(
            self._vcpus(names) if machine else (),
            (mapped if machine else ()) + tables,
            self._pages(names) if machine else (),
            self._chains(names),
        )

    def _words(self, region) -> list[int]:
        return [at for at in range(region.first, region.first + region.words) if at in self.shown]

    def _tables(self, names: Names) -> tuple[Table, ...]:
        word, found = names.map.memory, []
        for pfn in range(names.map.words >> PAGE_WORDS_SHIFT):
            owner = word(FRAME_WORDS_AT + pfn)
            used = owner & FRAME_TAG_MASK == FRAME_TABLE
            if used:
                self.tables[pfn] = word((owner >> FRAME_TAG_BITS) + SP.role) & ROLE_LEVEL
            if pfn in self.tables:
                at = pfn << PAGE_WORDS_SHIFT
                gfn = word((owner >> FRAME_TAG_BITS) + SP.gfn) if used else 1 << 60
                region = names.region(at)
                name = region.label if region else f"table {pfn}"
                owner = f"gfn {gfn}, L{self.tables[pfn]}" if used else "free"
                words = list(range(at, at + self.entries))
                found.append((gfn, self._table(names, at, (name, owner), self.tables[pfn], used, words)))
        return tuple(table for _, table in sorted(found, key=lambda pair: (-pair[1].level, pair[0], pair[1].at)))

    @staticmethod
    def _table(names: Names, at: int, name: tuple[str, str], level: int, used: bool, words: list[int]) -> Table:
        entries = []
        for where in words:
            spte = names.map.memory(where)
            if spte & PRESENT:
                flags = tuple(flag for flag, bit in FLAGS if spte & bit)
                target = (spte & PFN_MASK) >> 3
                entries.append(Entry(where, flags, (spte & LEVEL_MASK) >> LEVEL_SHIFT, target, names.frame(target >> PAGE_WORDS_SHIFT)))
            else:
                entries.append(Entry(where))
        return Table(at, *name, level, used, tuple(entries))

    def _vcpus(self, names: Names) -> tuple[Vcpu, ...]:
        word, found = names.map.memory, []
        for n in range(word(names.vm + VM.harts)):
            v = word(names.vm + VM.vcpus + n)
            mode, requests = (names.value(v + f, word(v + f)) for f in (VCPU.mode, VCPU.requests))
            roots = tuple(word(v + VCPU.root + slot) for slot in range(self.slots))
            found.append(Vcpu(v, f"vcpu {n}", mode, requests, roots, tuple(self._tlb(names, v))))
        return tuple(found)

    def _tlb(self, names: Names, v: int):
        word = names.map.memory
        for entry in range(self.tlb_entries):
            at = v + TLB_AT + entry * TLB_ENTRY_WORDS
            tags = {kind: word(at + n) for n, kind in enumerate(("load", "store", "fetch"))}
            page = next((tag for tag in tags.values() if tag), 0)
            if page:
                target = ((page & -4096) + word(at + TLB_ADDEND)) >> 3
                yield Cached(at, names.value(at, page), tuple(kind for kind, tag in tags.items() if tag == page), target)

    def _pages(self, names: Names) -> tuple[Page, ...]:
        word, found = names.map.memory, []
        dirty, snapshot = word(names.vm + VM.dirty), word(names.vm + VM.snapshot)
        for index in range(word(names.vm + VM.pages)):
            at = names.page(index)
            copy_at = self.copies.first + index if self.copies else 0
            bits = [bool(word(log + (index >> 6)) >> (index & 63) & 1) for log in (dirty, snapshot)]
            copy = word(copy_at) if self.copies else None
            if at or copy or any(bits):
                frame = f"frame {at >> PAGE_WORDS_SHIFT}" if at else "no frame"
                found.append(Page(index, at, frame, word(at) if at else 0, copy, copy_at, *bits))
        return tuple(found)

    def _chains(self, names: Names) -> tuple[Chain, ...]:
        word = names.map.memory
        heads = [(r.first, r.label) for r in self.heads]
        if names.vm:
            first = word(names.vm + VM.rmap)
            heads += [(first + n, f"rmap[{n}]") for n in range(word(names.vm + VM.pages)) if word(first + n)]
        chains = [self._chain(names, at, name) for at, name in heads]
        linked = {desc for chain in chains for desc, name, _ in chain.links if name}
        self.descs |= linked
        return (*chains, *(self._unlinked(names, desc) for desc in sorted(self.descs - linked)))

    def _unlinked(self, names: Names, desc: int) -> Chain:
        """A descriptor that was in a chain: a walker may still stand there."""
        return Chain(0, "in no rmap", (self._link(names, desc),), self._end(names, names.map.memory(desc + DESC.more)))

    def _link(self, names: Names, desc: int):
        slots = [(desc + DESC.sptes + n, names.map.memory(desc + DESC.sptes + n)) for n in range(self.desc_sptes)]
        return desc, names.thing(desc), tuple((slot, names.word(spte) if spte else "") for slot, spte in slots)

    @staticmethod
    def _end(names: Names, link: int) -> str:
        return f"nulls({names.word(link >> 1)})" if link & 1 else names.thing(link >> 1) if link else "0: foreign"

    def _chain(self, names: Names, at: int, name: str) -> Chain:
        word, links = names.map.memory, []
        link = word(at)
        if link & 1 == 0:
            inside = ((at, names.word(link >> 1)),) if link else ()
            return Chain(at, name, ((at, "", inside),) if link else (), "" if link else "empty")
        link ^= 1
        while link and link & 1 == 0 and len(links) < LONGEST_CHAIN:
            links.append(self._link(names, link >> 1))
            link = word((link >> 1) + DESC.more)
        return Chain(at, name, tuple(links), self._end(names, link))
