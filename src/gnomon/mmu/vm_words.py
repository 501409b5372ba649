"""VM: what the shadow MMU knows of one machine.

`vm` is the reference of a run of VM_WORDS words: this record first, the device state of the vm layer behind it at VM_DEVICES.
Counterpart in Linux: struct kvm and kvm_arch.
"""

from gnomon.lang import record

MAX_HARTS = 64
HASH_BUCKETS = 1024
VM_DEVICES = 512
VM_WORDS = 4096

VM = record(
    "VM",
    "One machine, as the MMU sees it.",
    mmu_lock=8,  # spinlock: slow fault, zap, tracked writes; a cache line of its own
    harts=1,  # number of vCPUs
    design=1,  # which choice of each axis runs, 0 = what ships (design.py); beside other words that are only read
    base_gfn=1,  # first gfn of RAM
    pages=1,  # pages of RAM: gfns base_gfn … base_gfn + pages - 1
    backing=1,  # word ref: pfn of each page, 0 = not touched yet
    backing_lock=1,  # spinlock: a page gets its frame
    mover=1,  # spinlock: one at a time changes frames behind pages
    invalidating=1,  # 1 while the host changes the frames of pages invalidate_first … invalidate_end - 1
    invalidate_first=1,
    invalidate_end=1,
    invalidate_seq=1,  # counts invalidations that ended
    ring_size=1,  # entries of each vCPU's dirty ring, a power of two; 0 = the bitmap alone
    ring_spilled=1,  # counts pages that went to the bitmap while there were rings
    ring_seen=1,  # what that was when the bitmap was last harvested
    rmap=1,  # word ref: rmap head of each page
    tracked=1,  # word ref: number of shadow pages that shadow this page as a guest table
    region_rmap=1,  # word ref: rmap head of the large sptes of each region (region.py)
    region_tracked=1,  # word ref: shadow pages that shadow a page of this region as a guest table + its shared pages: no large spte
    region_sharers=1,  # word ref: word ref of a word a page of this region, its next sharer; 0 = no page of it ever shared (sharers.py)
    dirty=1,  # word ref: bitmap of pages written since they were harvested
    dirty_lines=1,  # word ref: its summary, a bit for 8 words that may have a set bit; 0 = the bitmap is one word (bitmap.py)
    snapshot=1,  # word ref: bitmap of pages taken by a harvest that is not committed yet
    snapshot_lines=1,  # word ref: its summary, as dirty_lines
    logging=1,  # 1 while dirty pages are logged
    harvester=1,  # bit lock: one harvester at a time
    hash=1,  # word ref: HASH_BUCKETS heads of shadow pages by (gfn, role)
    active_head=1,  # shadow pages in use, newest first
    active_tail=1,  # … oldest last: recycled first
    n_used=1,  # shadow pages in use
    n_max=1,  # n_max_mmu_pages: above it the oldest are recycled
    direct_root=1,  # shadow page: root of the direct tables
    tlbs_dirty=1,  # counts zaps whose flush was left to the guest's SFENCE.VMA; only grows
    tlbs_clean=1,  # what tlbs_dirty was when a flush began that is over; equal to it: no TLB holds more than the sptes say
    big_zaps=1,  # counts zaps of whole superpage mappings: an SFENCE.VMA by address must then drop everything
    section=1,  # rmaps a lockless protector walks in one read section: 0 = those of one bitmap word, -1 = the whole slot's
    walked=1,  # rmaps walked in this section; the harvester's own
    deferred=1,  # zapped shadow pages whose memory waits for a grace period
    deferred_peak=1,
    defer_limit=1,  # call-rcu-throttled: stall slow faults while as many are deferred, 0 = only n_max counts
    barrier_every=1,  # call-rcu-throttled: an RCU barrier every that many zapped pages, 0 = none
    since_barrier=1,
    stalls=1,  # slow faults that waited for deferred pages
    barriers=1,  # RCU barriers waited for
    unsync_pages=1,  # leaf tables that are unsync now; read with no lock (I-14)
    zaps=1,  # shadow pages zapped
    recycled=1,  # … because n_max was reached
    flooded=1,  # … because the guest wrote to them as if they were data
    syncs=1,  # unsync tables compared with the guest's whole and protected again
    synced_sptes=1,  # sptes that a comparison found stale
    harvests=1,
    harvested=1,  # pages taken by harvests
    protected=1,  # sptes write-protected by harvests
    rmap_walks=1,
    rmap_restarts=1,
    rmap_locked=1,  # walks that gave up and took mmu_lock
    remote_flushes=1,
    failed_allocations=1,
    moved=1,  # pages moved to another frame
    taken_back=1,  # frames taken back from pages
    shared_pages=1,  # pages that lie behind a frame with others now
    shared_frames=1,  # … frames that several pages lie behind
    merged=1,  # pages that came to share a frame, ever
    unshared=1,  # … that got a frame of their own again because they were to be stored to
    large_sptes=1,  # large sptes that are present now
    large_maps=1,  # … that were ever made
    splits=1,  # … that became tables of small ones, for the dirty log
    split_failures=1,  # … that did not for want of memory, or not with all of their small sptes
    recoveries=1,  # tables of small sptes zapped so that the next fault maps large
    vcpus=MAX_HARTS,  # vCPU refs
)
assert VM.size <= VM_DEVICES
