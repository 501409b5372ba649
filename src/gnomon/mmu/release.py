"""release: give the memory of zapped shadow pages back, at once or by RCU callbacks, and run those.

Counterpart in Linux: kvm_mmu_free_shadow_page(), tdp_mmu_free_sp_rcu_callback(), rcu_do_batch().

Owns       VM.deferred             pages whose callback is queued and has not run
           callbacks FUNC_SHADOW_PAGE
Guarantees L1  the memory of a page is freed once: at release, or by its one callback after a grace period that began after it was unlinked
           L2  call-rcu-throttled: n_used falls when the memory is free, with the other reclaims when the page is zapped (C1, C7)
Context    release_page() under mmu_lock, after the flush; the runners under no lock, outside read sections
Progress   do_batch() runs what rcu_batch() allows and waits for nothing
"""

from gnomon.lang import kernel
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.fixed import RCU_AT
from gnomon.mem.shrinker import mem_callback
from gnomon.mem.slab import CACHE_SP, FUNC_USER, slab_free
from gnomon.mmu.design import RECLAIM, RECLAIM_CALL_RCU, RECLAIM_THROTTLED
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.table import table_free
from gnomon.mmu.vm_words import VM
from gnomon.sync.rcu import rcu_advance
from gnomon.sync.rcu_batch import rcu_batch, rcu_batch_over
from gnomon.sync.rcu_callbacks import call_rcu, rcu_done, rcu_take_ready, take_from
from gnomon.sync.state import RCU

FUNC_SHADOW_PAGE = FUNC_USER


@kernel
def release_page(m, vm, t, sp):
    """The zapped shadow page `sp` is flushed and linked nowhere: give header and table back, as the design has it."""
    reclaim = read_once(m, vm + VM.design) & RECLAIM
    if reclaim == RECLAIM_CALL_RCU or reclaim == RECLAIM_THROTTLED:
        return defer_page(m, vm, t, sp)
    return free_page(m, vm, t, sp)


@kernel
def free_page(m, vm, t, sp):
    """Give header and table of `sp` back now."""
    table_free(m, vm, t, read_once(m, sp + SP.table))
    slab_free(m, t, CACHE_SP, sp)
    return 0


@kernel
def defer_page(m, vm, t, sp):
    """Give header and table of `sp` back a grace period later."""
    deferred = fetch_add(m, vm + VM.deferred, 1) + 1
    if deferred > read_once(m, vm + VM.deferred_peak):
        write_once(m, vm + VM.deferred_peak, deferred)
    fetch_add(m, vm + VM.since_barrier, 1)
    return call_rcu(m, t, sp + SP.rcu, FUNC_SHADOW_PAGE)


@kernel
def page_callback(m, t, sp):
    """FUNC_SHADOW_PAGE: the grace period of `sp` is over."""
    vm = read_once(m, sp + SP.vm)
    free_page(m, vm, t, sp)
    if read_once(m, vm + VM.design) & RECLAIM == RECLAIM_THROTTLED:
        fetch_add(m, vm + VM.n_used, -1)
    fetch_add(m, vm + VM.deferred, -1)
    return 0


@kernel
def run_callback(m, t, head):
    """Run the callback at `head`, taken by thread `t`, and report it."""
    if mem_callback(m, head) == 0:
        page_callback(m, t, head - SP.rcu)
    return rcu_done(m, t, 1)


@kernel(entry=True)
def run_callbacks(m, t, budget):
    """Move grace periods on and run up to `budget` callbacks that are ready, whatever the batch limits. Returns how many ran."""
    rcu_advance(m, t)
    for ran in range(budget):
        head = rcu_take_ready(m, t)
        if head == 0:
            return ran
        run_callback(m, t, head)
    return budget


@kernel(entry=True)
def do_batch(m, t):
    """Move grace periods on and run one batch of each queue, as rcu_do_batch() does. Returns how many callbacks ran."""
    rcu_advance(m, t)
    ran = 0
    for q in range(read_once(m, RCU_AT + RCU.threads)):
        left = rcu_batch(m, q)
        head = take_from(m, t, q)
        while head:
            run_callback(m, t, head)
            ran += 1
            left -= 1
            head = 0
            if left > 0:
                head = take_from(m, t, q)
        rcu_batch_over(m, q)
    return ran
