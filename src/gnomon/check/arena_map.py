"""arena_map: which object a word belongs to, from what the allocators themselves wrote: frame words, slab pages, the VM record.

The map is asked about a moment: a frame that was a page table and is one of another shadow page now has another name then.
Nothing is derived for a scenario that has no frame pool; its words are what its labels say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gnomon.lang import PAGE_WORDS
from gnomon.lang.fixed import (
    CACHE_WORDS,
    CACHES_AT,
    FRAME_WORDS_AT,
    FRAMES_AT,
    MAGAZINE_WORDS,
    MAX_CACHES,
    MAX_THREADS,
    RCU_AT,
    THREAD_RCU_WORDS,
    THREAD_WORDS,
    THREADS_AT,
)
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
    POOL,
    RUN,
)
from gnomon.mem.slab import CACHE_DESC, CACHE_GFNS, CACHE_SP, CACHE_TABLE, MAGAZINE
from gnomon.mem.slab_page import CACHE, SLAB_PAGE
from gnomon.mmu.rmap import DESC
from gnomon.mmu.shadow_page import ROLE_LEVEL, SP
from gnomon.mmu.slot import INDEX_MASK
from gnomon.mmu.tlb import TLB_AT, TLB_ENTRY_WORDS, TLB_WORDS
from gnomon.mmu.vcpu import VCPU, VCPU_WORDS
from gnomon.mmu.vm_words import HASH_BUCKETS, VM
from gnomon.sync.state import RCU, THREAD

CACHE_NAMES = {CACHE_SP: "sp", CACHE_DESC: "desc", CACHE_TABLE: "table", CACHE_GFNS: "gfns"}
OBJECT_LAYOUTS = {CACHE_SP: SP, CACHE_DESC: DESC}
TLB_FIELDS = ("load", "store", "fetch", "addend")
KINDS = {
    "VM": {"mmu_lock": "lock", "harvester": "lock", "active_head": "ref", "active_tail": "ref", "direct_root": "ref", "vcpus": "ref"}
    | dict.fromkeys(("backing", "rmap", "tracked", "dirty", "snapshot", "hash", "region_rmap", "region_tracked", "region_sharers"), "ref"),
    "VCPU": {"mode": "mode", "requests": "requests", "vm": "ref", "root": "ref", "spare": "ref"},
    "SP": {"role": "role", "table": "ref", "parents": "rmap", "hash_next": "ref", "newer": "ref", "older": "ref", "zap_next": "ref"},
    "DESC": {"more": "more", "sptes": "at"},
    "CACHE": {"lock": "lock", "partial": "ref"},
    "MAGAZINE": {"slots": "ref"},
    "POOL": {"lock": "lock"},
    "THREAD": {"lock": "lock", "first": "ref", "last": "ref"},
}
"""How the words of a record read where that is not as a number; names.py says how each kind does."""
ALONE_ON_THEIR_LINE = ("mode", "requests", "mmu_lock")
"""Fields of several words of which only the first is used."""


@dataclass(frozen=True)
class Part:
    """One word of an object: `thing` is the object, `inside` the word's name in it, `kind` how its value reads."""

    thing: str
    inside: str = ""
    kind: str = ""
    first: int = 0  # of the object

    @property
    def text(self) -> str:
        return self.thing + self.inside


def field(layout, over: int) -> tuple[str, str]:
    """Name (".mode", ".root[2]") and kind of word `over` of a record."""
    fields = sorted(((getattr(layout, f), f) for f in layout._fields if f != "size"), reverse=True)
    start, name = next((at, f) for at, f in fields if at <= over)
    following = min([at for at, _ in fields if at > start], default=layout.size)
    several = following - start > 1 and not (name in ALONE_ON_THEIR_LINE and over == start)
    return f".{name}[{over - start}]" if several else f".{name}", KINDS.get(type(layout).__name__, {}).get(name, "")


class ArenaMap:
    """`memory(at)` is the word at an index at the moment asked about; `vm` the machine's reference, 0 without one.

    `per_run` is how many frames a run has in the scenario."""

    def __init__(self, memory: Callable[[int], int], words: int, vm: int = 0, per_run: int = FRAMES_PER_RUN):
        self.memory, self.words, self.vm, self.per_run = memory, words, vm, per_run

    @property
    def has_frames(self) -> bool:
        if self.words <= FRAME_WORDS_AT:
            return False
        return self.memory(FRAMES_AT + POOL.total) == self.words >> PAGE_WORDS_SHIFT and self.memory(FRAME_WORDS_AT) == FRAME_STATIC

    def part(self, at: int) -> Part | None:
        """What the word at `at` is, None if nothing says so."""
        if not 0 <= at < self.words or not self.has_frames:
            return None
        return self._fixed(at) if at < FRAME_WORDS_AT + (self.words >> PAGE_WORDS_SHIFT) else self._machine(at) or self._frame(at)

    def _fixed(self, at: int) -> Part | None:
        if at >= FRAME_WORDS_AT:
            return Part(f"frame {at - FRAME_WORDS_AT}", "", "frame", at)
        if at >= THREADS_AT:
            slot, over = divmod(at - THREADS_AT, THREAD_WORDS)
            return self._thread(slot, over, at - over) if slot < MAX_THREADS and self.memory(at - over + THREAD.used) else None
        if CACHES_AT <= at < CACHES_AT + MAX_CACHES * CACHE_WORDS:
            cache, over = divmod(at - CACHES_AT, CACHE_WORDS)
            return _record(f"cache {CACHE_NAMES.get(cache, cache)}", CACHE, at - over, over)
        for first, name, layout in ((FRAMES_AT, "pool", POOL), (RCU_AT, "rcu", RCU)):
            if first <= at < first + layout.size:
                return _record(name, layout, first, at - first)
        return Part("null", f"[{at}]") if at < RCU_AT else None

    def _thread(self, slot: int, over: int, first: int) -> Part | None:
        if over < THREAD_RCU_WORDS:
            return _record(f"thread {slot}", THREAD, first, over)
        cache, inside = divmod(over - THREAD_RCU_WORDS, MAGAZINE_WORDS)
        name = f"thread {slot} magazine {CACHE_NAMES.get(cache, cache)}"
        return _record(name, MAGAZINE, first + over - inside, inside) if cache < MAX_CACHES else None

    def _machine(self, at: int) -> Part | None:
        """The machine's own words: they never move."""
        runs = self.memory(FRAMES_AT + POOL.runs_at)
        if runs <= at < runs + RUN.size * -(-(self.words >> PAGE_WORDS_SHIFT) // self.per_run):
            return _record(f"run {(at - runs) // RUN.size}", RUN, at, (at - runs) % RUN.size)
        if not self.vm:
            return None
        if 0 <= at - self.vm < VM.size:
            return _record("vm", VM, self.vm, at - self.vm)
        for n in range(self.memory(self.vm + VM.harts)):
            vcpu = self.memory(self.vm + VM.vcpus + n)
            if 0 <= at - vcpu < VCPU_WORDS:
                return self._vcpu(n, vcpu, at - vcpu)
        pages = self.memory(self.vm + VM.pages)
        bitmap = (pages + 63) >> 6
        sizes = {"backing": (pages, "pfn"), "rmap": (pages, "rmap"), "tracked": (pages, ""), "hash": (HASH_BUCKETS, "ref")}
        regions = self.memory(self.vm + VM.region_tracked) - self.memory(self.vm + VM.region_rmap)
        sizes |= {"region_rmap": (regions, "rmap"), "region_tracked": (regions, ""), "region_sharers": (regions, "ref")}
        for name, (words, kind) in (sizes | {"dirty": (bitmap, "pages"), "snapshot": (bitmap, "pages")}).items():
            first = self.memory(self.vm + getattr(VM, name))
            if first and 0 <= at - first < words:
                return Part(name, f"[{at - first}]" if words > 1 else "", kind, first)
        return None

    @staticmethod
    def _vcpu(n: int, vcpu: int, over: int) -> Part:
        if 0 <= over - TLB_AT < TLB_WORDS:
            entry, inside = divmod(over - TLB_AT, TLB_ENTRY_WORDS)
            return Part(f"vcpu {n} TLB", f"[{entry}].{TLB_FIELDS[inside]}", "tag" if inside < 3 else "addend", vcpu + TLB_AT)
        return _record(f"vcpu {n}", VCPU, vcpu, over) if over < VCPU.size else Part(f"vcpu {n} hart", f"[{over}]", "", vcpu)

    def _frame(self, at: int) -> Part | None:
        pfn, over = at >> PAGE_WORDS_SHIFT, at & (PAGE_WORDS - 1)
        first, word = at - over, self.memory(FRAME_WORDS_AT + pfn)
        tag, payload = word & FRAME_TAG_MASK, word >> FRAME_TAG_BITS
        inside = f"[{over}]"
        if tag == FRAME_GUEST:
            return Part(f"page {payload & INDEX_MASK}", inside if over else "", "", first)
        if tag == FRAME_TABLE:
            return Part(self.table(payload), inside, "spte", first)
        if tag == FRAME_SLAB:
            return self._object(pfn, over) if payload == first else Part(f"free table {pfn}", inside, "spte" if self.vm else "", first)
        if tag == FRAME_STATIC:
            return None
        return Part(f"{'free frame' if tag == FRAME_FREE else 'frame'} {pfn}", inside, "", first)

    def table(self, sp: int) -> str:
        """The table of a shadow page, by what it maps."""
        level = self.memory(sp + SP.role) & ROLE_LEVEL
        return f"{'' if level == 1 else f'L{level} '}table of gfn {self.memory(sp + SP.gfn)}"

    def _object(self, pfn: int, over: int) -> Part:
        page = pfn << PAGE_WORDS_SHIFT
        cache = self.memory(page + SLAB_PAGE.cache)
        name = CACHE_NAMES.get(cache, f"object of cache {cache}")
        at, words = CACHES_AT + cache * CACHE_WORDS, self.memory(CACHES_AT + cache * CACHE_WORDS + CACHE.object_words)
        start = self.memory(at + CACHE.first)
        if over < start or words == 0:
            return (
                _record(f"slab page {pfn} of {name}s", SLAB_PAGE, page, over)
                if over < SLAB_PAGE.size
                else Part(f"slab page {pfn}", f"[{over}]")
            )
        number, inside = divmod(over - start, words)
        layout = OBJECT_LAYOUTS.get(cache)
        earlier = sum(self._is_page_of(cache, p) for p in range(pfn)) * self.memory(at + CACHE.per_page)
        thing, first = f"{name} {earlier + number}", page + start + number * words
        return _record(thing, layout, first, inside) if layout and inside < layout.size else Part(thing, f"[{inside}]", "", first)

    def _is_page_of(self, cache: int, pfn: int) -> bool:
        word, page = self.memory(FRAME_WORDS_AT + pfn), pfn << PAGE_WORDS_SHIFT
        small = word & FRAME_TAG_MASK == FRAME_SLAB and word >> FRAME_TAG_BITS == page
        return small and self.memory(page + SLAB_PAGE.cache) == cache


def _record(thing: str, layout, first: int, over: int) -> Part:
    inside, kind = field(layout, over)
    return Part(thing, inside, kind, first)
