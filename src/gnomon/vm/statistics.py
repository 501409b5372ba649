"""statistics: the counters of a machine, by part, for people and for --json."""

from __future__ import annotations

from gnomon.hart.state import HART
from gnomon.lang import PAGE_SIZE
from gnomon.mem.debug import cache_stats, mem_stats
from gnomon.mem.slab import CACHE_DESC, CACHE_SP, CACHE_TABLE
from gnomon.mmu.designs import chosen
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.sync.stats import sync_stats

_FAULTS = {
    "fast": VCPU.fast_faults,
    "slow": VCPU.slow_faults,
    "spurious": VCPU.spurious_faults,
    "guest": VCPU.guest_faults,
    "tracked writes": VCPU.tracked_writes,
    "mmio": VCPU.mmio,
    "out of memory": VCPU.out_of_memory,
}
_TLB = {"walks": VCPU.walks, "flushes": VCPU.tlb_flushes, "exits": VCPU.exits}
_MMU = {
    "shadow pages": VM.n_used,
    "shadow pages limit": VM.n_max,
    "zaps": VM.zaps,
    "recycled": VM.recycled,
    "flooded": VM.flooded,
    "unsync pages": VM.unsync_pages,
    "syncs": VM.syncs,
    "synced sptes": VM.synced_sptes,
    "remote flushes": VM.remote_flushes,
    "failed allocations": VM.failed_allocations,
    "pages moved": VM.moved,
    "frames taken back": VM.taken_back,
    "shared pages": VM.shared_pages,
    "shared frames": VM.shared_frames,
    "pages merged": VM.merged,
    "pages un-shared": VM.unshared,
    "large sptes": VM.large_sptes,
    "large mappings": VM.large_maps,
    "splits": VM.splits,
    "split failures": VM.split_failures,
    "recoveries": VM.recoveries,
}
_RECLAIM = {
    "deferred pages": VM.deferred,
    "deferred pages peak": VM.deferred_peak,
    "stalls": VM.stalls,
    "barriers": VM.barriers,
}
_RINGS = {"ring entries": VCPU.ring_dirty, "waits for a full ring": VCPU.ring_waits}
_LOG = {
    "harvests": VM.harvests,
    "pages harvested": VM.harvested,
    "sptes protected": VM.protected,
    "rmap walks": VM.rmap_walks,
    "rmap restarts": VM.rmap_restarts,
    "rmap walks under mmu_lock": VM.rmap_locked,
}


def statistics(machine) -> dict:
    """Nested dict of ints (and lists of ints, an entry a hart); of the design, the name of each axis' choice."""
    words = machine.arena.words

    def over_harts(fields: dict[str, int]) -> dict[str, int]:
        return {name: sum(int(words[v + at]) for v in machine.vcpus) for name, at in fields.items()}

    def of_vm(fields: dict[str, int]) -> dict[str, int]:
        return {name: int(words[machine.vm + at]) for name, at in fields.items()}

    caches = {"shadow page": CACHE_SP, "rmap descriptor": CACHE_DESC, "page table": CACHE_TABLE}
    return {
        "design": chosen(int(words[machine.vm + VM.design])),
        "faults": over_harts(_FAULTS),
        "tlb": over_harts(_TLB),
        "mmu": of_vm(_MMU),
        "reclaim": {**of_vm(_RECLAIM), "deferred bytes": int(words[machine.vm + VM.deferred]) * PAGE_SIZE},
        "dirty log": {"enabled": int(machine.logging), **over_harts(_RINGS), **of_vm(_LOG)},
        "slabs": {name: cache_stats(machine.arena, cache) for name, cache in caches.items()},
        "frames": mem_stats(machine.arena),
        "rcu": sync_stats(machine.arena),
        "harts": {
            "instructions": [int(words[v + HART.instret]) for v in machine.vcpus],
            "exits": [int(words[v + VCPU.mode]) >> 1 for v in machine.vcpus],  # the mode word counts every way in and out
        },
    }
