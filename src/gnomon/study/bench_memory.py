"""Memory: what a machine keeps besides its RAM, and what a harvest allocates.

Counted    every static frame of the machine's pool, which are all there are besides RAM, shadow pages and slabs; by part from the
           sizes that the layouts have, and the parts must add up to the frames
Machine    2 harts. The target is for all parts but the harts' own blocks, whose size does not depend on RAM; the last of the rows has
           both. Shadow pages are the other row: tables and headers when every page of RAM is mapped once
Harvest    frames handed out, slab objects and slab pages before and after a harvest of COUNT dirty pages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gnomon.errors import GnomonError
from gnomon.hart.state import DECODE_WORDS
from gnomon.lang import PAGE_SIZE, PAGE_WORDS
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT
from gnomon.mem.debug import cache_stats, mem_stats
from gnomon.mem.pool import FRAMES_PER_RUN, POOL, RUN
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE
from gnomon.mmu.bitmap import bitmap_size
from gnomon.mmu.shadow_page import TABLE_ENTRIES
from gnomon.mmu.vcpu import VCPU_WORDS
from gnomon.mmu.vm_words import HASH_BUCKETS, VM_WORDS
from gnomon.study.ram import Ram
from gnomon.study.row import row
from gnomon.vm.machine import Machine
from gnomon.vm.pages import STAGE_WORDS

BENCH = "memory"
SIZES = (128 << 20, 1 << 30)
HARTS = 2
COUNT = 16384
CACHES = (CACHE_SP, CACHE_DESC, CACHE_TABLE)


def rows(tell: Callable[[str], object]) -> Iterator[dict]:
    for memory in SIZES:
        tell(f"memory: tables of a machine of {memory >> 20} MiB")
        with Machine(memory, HARTS) as machine:
            yield from of_machine(machine)
    tell(f"memory: a harvest of {COUNT} pages")
    yield from of_harvest()


def parts(machine: Machine) -> dict[str, int]:
    """Bytes of every static part, in whole frames where it has frames of its own."""
    frames = int(machine.arena.words[FRAMES_AT + POOL.total])
    runs = -(-frames // FRAMES_PER_RUN)
    regions = -(-machine.pages // TABLE_ENTRIES)
    fixed = {"fixed map: RCU, pool, threads": FRAME_WORDS_AT * 8}
    fixed["frame words"] = frames * 8
    fixed["run records"] = -(-(FRAME_WORDS_AT + frames + runs * RUN.size) // PAGE_WORDS) * PAGE_SIZE - sum(fixed.values())
    own = {"backing": machine.pages, "rmap heads": machine.pages, "tracked": machine.pages}
    own["dirty and snapshot bitmaps, their summaries"] = 2 * bitmap_size(machine.pages)
    own |= {"regions: rmap heads, tracked and sharers": 3 * regions}
    own |= {"machine and devices": VM_WORDS, "hash": HASH_BUCKETS, "staging area": STAGE_WORDS}
    blocks = {"harts: registers, TLB, decode cache": machine.harts * (_frames(VCPU_WORDS) + _frames(DECODE_WORDS)) * PAGE_SIZE}
    return fixed | {name: _frames(words) * PAGE_SIZE for name, words in own.items()} | blocks


def _frames(words: int) -> int:
    return -(-words // PAGE_WORDS)


def of_machine(machine: Machine) -> Iterator[dict]:
    """Percent of RAM: each part, all but the harts' blocks, and all."""
    size = f"{machine.memory >> 20} MiB"
    found = parts(machine)
    total, counted = sum(found.values()), mem_stats(machine.arena)["static"] * PAGE_SIZE
    if total != counted:
        raise GnomonError(f"the parts of a machine are {total} bytes, and its static frames {counted}")
    harts = sum(count for name, count in found.items() if name.startswith("harts"))
    share = lambda count: count / machine.memory * 100  # noqa: E731
    for name, count in found.items():
        yield row(BENCH, f"{size}: {name}", share(count), "% of RAM")
    yield row(BENCH, f"{size}: all but the harts' blocks", share(total - harts), "% of RAM", target="<= 1")
    yield row(BENCH, f"{size}: all", share(total), "% of RAM")


def of_harvest() -> Iterator[dict]:
    """Shadow pages of RAM that is mapped whole, and what a harvest of it takes."""
    ram = Ram(COUNT)
    memory = COUNT * PAGE_SIZE
    before = usage(ram)
    shadow = sum(cache_stats(ram.arena, cache)["pages"] for cache in CACHES) * PAGE_SIZE
    pages = ram.harvest()
    after = usage(ram)
    ram.commit()
    if pages != COUNT:
        raise GnomonError(f"a harvest of {COUNT} dirty pages took {pages}")
    yield row(BENCH, f"{memory >> 20} MiB: shadow pages and descriptors, every page mapped once", shadow / memory * 100, "% of RAM")
    for name in before:
        yield row(BENCH, f"harvest of {COUNT} pages: {name} allocated", after[name] - before[name], name, target="<= 0")


def usage(ram: Ram) -> dict[str, int]:
    """What was ever handed out by the pool, and what the slabs have live or ever grew by."""
    pool = mem_stats(ram.arena)
    slabs = [cache_stats(ram.arena, cache) for cache in CACHES]
    return {
        "frames": pool["allocated"] + pool["static"],
        "slab objects": sum(slab["live"] for slab in slabs),
        "slab pages": sum(slab["grown"] for slab in slabs),
    }
