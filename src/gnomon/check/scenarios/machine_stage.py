"""machine_stage: a small virtual machine in a scenario: the shipped MMU with two-entry tables, two levels and a one-entry TLB.

guest_store() is what a hart does for a store: TLB hit, or translate and try again, all in guest mode. copy_round() is a round of
pre-copy: harvest, copy what was taken, commit. last_round() is the one with every vCPU stopped; after it the destination must
equal the source: "nothing lost".
"""

from __future__ import annotations

from gnomon.check.oracle import expect
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Mutant
from gnomon.check.scenarios.stage import DATA_AT, frames_are_safe, stage
from gnomon.check.specs.handshake import GATES, SPECIFIED_HANDSHAKE
from gnomon.lang import PAGE_SHIFT, PAGE_WORDS, kernel
from gnomon.lang.atomics import load_acquire, read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT
from gnomon.lang.guest_memory import store64
from gnomon.mem.pool import FRAME_TAG_BITS, PAGE_WORDS_SHIFT
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE, cache_init
from gnomon.mem.slab_page import CTOR_ZERO, TYPESAFE
from gnomon.mmu.design import PAGES, PAGES_SMALL
from gnomon.mmu.designs import parse
from gnomon.mmu.dirty import BUSY, commit, enable_dirty_log, harvest
from gnomon.mmu.guest_walk import guest_fault
from gnomon.mmu.rmap import DESC
from gnomon.mmu.setup import vcpu_create, vm_create
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.translate import XL_OK, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM

WORDS = 1 << 16
SMALL = {
    "gnomon.mmu.shadow_page.TABLE_ENTRIES": 2,
    "gnomon.mmu.shadow_page.TABLE_SHIFT": 1,
    "gnomon.mmu.shadow_page.ROOT_LEVEL": 2,
    "gnomon.mmu.shadow_page.BITMAP_WORDS": 1,
    "gnomon.mmu.rmap.DESC_SPTES": 2,
    "gnomon.mmu.vcpu.ROOT_SLOTS": 1,
    "gnomon.mmu.vcpu.SPARE_DESCS": 2,
    "gnomon.mmu.vcpu.SPIN_LIMIT": 1,
    "gnomon.mmu.tlb.TLB_ENTRIES": 1,
    "gnomon.mem.slab.MAGAZINE_HALF": 2,
    "gnomon.check.specification.MODELLED_WORDS": 1,
}
DESTINATION_AT = DATA_AT
STATISTICS_OF_VM = (
    "zaps",
    "recycled",
    "harvests",
    "harvested",
    "protected",
    "rmap_walks",
    "rmap_restarts",
    "rmap_locked",
    "deferred_peak",
    "stalls",
    "barriers",
    "remote_flushes",
    "moved",
    "taken_back",
)
STATISTICS_OF_VCPU = ("fast_faults", "slow_faults", "spurious_faults", "walks", "tlb_flushes", "exits", "out_of_memory")
"""Words that kernels only count in; of VCPU.mode everybody looks at bit 0 alone."""


@kernel
def no_guest_tables(m, vm, v, va, access, regime):
    """In the place of guest_fault(): these guests run bare, so nobody comes here."""
    expect(0)
    return 0


@kernel
def map_for_store(m, v, gpa):
    """What a store that missed the TLB needs: here there is memory for it, and no table of the guest is stored to."""
    expect(mmu_translate(m, v, gpa, TLB_WRITE) == XL_OK)
    return 0


@kernel
def guest_store(m, v, gpa, value):
    """A store of the guest, from the TLB lookup to its retirement."""
    guest_enter(m, v)
    regime = read_once(m, v + VCPU.data_regime)
    host = tlb_host(m, v, gpa, TLB_WRITE, regime)
    while host < 0:
        map_for_store(m, v, gpa)
        host = tlb_host(m, v, gpa, TLB_WRITE, regime)
    store64(m, host, value)
    guest_exit(m, v)
    return 0


@kernel
def guest_touch(m, v, gpa, access):
    """Map a page as a guest access would; for set-up."""
    guest_enter(m, v)
    mmu_translate(m, v, gpa, access)
    guest_exit(m, v)
    return 0


@kernel
def page_word(m, vm, index):
    """The word of page `index` that the model looks at."""
    pfn = load_acquire(m, read_once(m, vm + VM.backing) + index)
    if pfn == 0:
        return 0
    return read_once(m, pfn << PAGE_WORDS_SHIFT)


@kernel
def copy_taken(m, vm, bits):
    """Copy the pages of `bits` to the destination."""
    index = 0
    while bits:
        if bits & 1:
            write_once(m, DESTINATION_AT + index, page_word(m, vm, index))
        bits = bits >> 1
        index += 1
    return 0


@kernel
def copy_round(m, t, vm):
    """A round of pre-copy while the guest runs."""
    if harvest(m, t, vm) == BUSY:
        return 0
    copy_taken(m, vm, read_once(m, read_once(m, vm + VM.snapshot)))
    commit(m, vm)
    return 0


@kernel
def last_round(m, vm):
    """The last round, every vCPU stopped: 1 if the destination then equals the source."""
    copy_taken(m, vm, read_once(m, read_once(m, vm + VM.snapshot)) | read_once(m, read_once(m, vm + VM.dirty)))
    return arrived(m, vm)


@kernel
def arrived(m, vm):
    """1 if the destination equals the source."""
    for index in range(read_once(m, vm + VM.pages)):
        if read_once(m, DESTINATION_AT + index) != page_word(m, vm, index):
            return 0
    return 1


class Stage:
    """A scenario with a machine: `vm`, `vcpus`, and the thread slot of whoever is no vCPU."""

    def __init__(
        self,
        mutant: Mutant | None,
        vcpus: int = 1,
        pages: int = 1,
        constants: dict | None = None,
        replace: dict | None = None,
        handshake: bool = False,
        words: int = WORDS,
        mega: bool = False,
    ):
        """`handshake`: put its specification in the place of the request handshake (refine/handshake shows that it may).

        `mega`: pages 2n and 2n + 1, if their frames lie so, may be mapped by one large spte while nothing is logged."""
        replaced = {guest_fault: no_guest_tables, **(SPECIFIED_HANDSHAKE if handshake else {}), **(replace or {})}
        self.scenario: Scenario = stage(mutant, vcpus + 1, words, constants={**SMALL, **(constants or {})}, replace=replaced)
        s = self.scenario
        s.locks += GATES if handshake else ()
        s.run(cache_init, CACHE_SP, SP.size, TYPESAFE)
        s.run(cache_init, CACHE_DESC, DESC.size, TYPESAFE | CTOR_ZERO)
        s.run(cache_init, CACHE_TABLE, PAGE_WORDS, TYPESAFE | CTOR_ZERO)
        self.vm = s.run(vm_create, 0, pages, 32)
        self.vcpus = [s.run(vcpu_create, self.vm, t) for t in range(vcpus)]
        self.slot = vcpus
        s.design = mutant.design if mutant else ""
        word = parse(s.design)
        s.store(self.vm + VM.design, word if mega else word & ~PAGES | PAGES_SMALL)
        s.label(self.vm, "vm", VM)
        for field in STATISTICS_OF_VM:
            s.only_bits(self.vm + getattr(VM, field))
        for n, v in enumerate(self.vcpus):
            s.label(v, f"vcpu {n}", VCPU)
            if not handshake:
                s.only_bits(v + VCPU.mode, 1)
            for field in STATISTICS_OF_VCPU:
                s.only_bits(v + getattr(VCPU, field))
        for name in ("rmap", "backing", "dirty", "snapshot"):
            s.label(int(s.arena.words[self.vm + getattr(VM, name)]), name, words=pages if name in ("rmap", "backing") else 1)
        s.label(DESTINATION_AT, "destination", words=pages)

    def word(self, at: int) -> int:
        return int(self.scenario.arena.words[at])

    def touch(self, vcpu: int, index: int, access: int = TLB_READ) -> None:
        """Map page `index` before any thread starts."""
        self.scenario.run(guest_touch, self.vcpus[vcpu], index << 12, access)

    def table_of(self, index: int) -> int:
        """The leaf table that maps page `index`."""
        levels = self.scenario.constants["gnomon.mmu.shadow_page.ROOT_LEVEL"]
        table = self.word(self.vcpus[0] + VCPU.root)
        for level in range(levels, 1, -1):
            table = self.word(table + (index >> (level - 1) & 1)) >> PAGE_SHIFT << PAGE_WORDS_SHIFT
        return table

    def owner_of_table(self, index: int) -> int:
        """The shadow page whose table maps page `index`."""
        return self.word(FRAME_WORDS_AT + (self.table_of(index) >> PAGE_WORDS_SHIFT)) >> FRAME_TAG_BITS

    def log(self) -> None:
        """Start logging, and take what is dirty at first."""
        s = self.scenario
        s.run(enable_dirty_log, self.slot, self.vm)
        s.run(harvest, self.slot, self.vm)
        s.run(commit, self.vm)

    def finish(self, last=None, *args: int) -> Scenario:
        """Name what exists by now and add the properties every machine has. `last`: a last round of its own, called with `args`."""
        s = self.scenario
        for index in range(self.word(self.vm + VM.pages)):
            pfn = self.word(self.word(self.vm + VM.backing) + index)
            if pfn:
                s.label(pfn << PAGE_WORDS_SHIFT, f"page {index}")
        root = self.word(self.vcpus[0] + VCPU.root)
        if root:
            s.label(root, "root", words=2)
            for entry in range(2):
                spte = self.word(root + entry)
                if spte:
                    s.label(spte >> 12 << PAGE_WORDS_SHIFT, f"table {entry}", words=2)
        s.at_end("nothing lost", *((last, *args) if last else (last_round, self.vm)))
        frames_are_safe(s)
        return s

    def store(self, vcpu: int, index: int, value: int):
        return call(guest_store, self.vcpus[vcpu], index << 12, value)

    def round(self):
        return call(copy_round, self.slot, self.vm)
