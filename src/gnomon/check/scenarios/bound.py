"""C2 and C6 in the machine: shadow pages come and go, a protector walks all the while, and n_max bounds what they hold.

n_max is 2: the root and one leaf table. Each store goes to the other half of memory, so each zaps the table of the one before and makes a
new one. The bound is looked at in every state, over live pages, pages in reserve and pages that wait: all that left the pool.
"""

from __future__ import annotations

from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.lang.fixed import RCU_AT
from gnomon.mem.slab import CACHE_SP, CACHE_TABLE, FUNC_USER, slab_free
from gnomon.mem.slab_page import CACHE, cache_at
from gnomon.mmu.release import release_page
from gnomon.mmu.shadow_page import SP
from gnomon.mmu.vm_words import VM
from gnomon.sync.rcu_callbacks import call_rcu
from gnomon.sync.state import RCU

N_MAX = 2
TIGHT = {"gnomon.mmu.zap.KEEP_FREE_PAGES": 1, "gnomon.mmu.zap.RECYCLE_PAGES": 1}
HEAD_WORD = 8
"""Where in a table its callback head lies, behind its entries."""


@kernel
def tables_at_most(m, limit):
    """1 while at most `limit` pages have left the pool to be page tables."""
    return int(read_once(m, cache_at(CACHE_TABLE) + CACHE.pages) <= limit)


@kernel
def used_at_most(m, vm, limit):
    """1 while at most `limit` shadow pages are in use."""
    return int(read_once(m, vm + VM.n_used) <= limit)


@kernel
def no_grace_period(m, number):
    """1 while no grace period has begun since the counter was `number`, and none is wanted."""
    return int(read_once(m, RCU_AT + RCU.counter) == number and read_once(m, RCU_AT + RCU.wanted) == 0)


@kernel
def free_through_rcu(m, vm, t, sp):
    """Mutant of release_page(): the table waits for a grace period of its own, as shadow pages did in 2011."""
    call_rcu(m, t, read_once(m, sp + SP.table) + HEAD_WORD, FUNC_USER)
    slab_free(m, t, CACHE_SP, sp)
    return 0


def churn(mutant: Mutant | None) -> Stage:
    stage = Stage(mutant, vcpus=1, pages=4, constants=TIGHT, handshake=True)
    s = stage.scenario
    s.store(stage.vm + VM.n_max, N_MAX)
    stage.touch(0, 0)
    stage.log()
    s.thread("vcpu 0", *(stage.store(0, index, index + 1) for index in (2, 0, 2)))
    s.thread("harvester", stage.round(), stage.round())
    return stage


def pages(mutant: Mutant | None) -> Scenario:
    stage = churn(mutant)
    stage.scenario.always("pages of tables stay within n_max", tables_at_most, N_MAX)
    stage.scenario.always("shadow pages in use stay within n_max", used_at_most, stage.vm, N_MAX)
    return stage.finish()


def silent(mutant: Mutant | None) -> Scenario:
    stage = churn(mutant)
    stage.scenario.always("no grace period is asked for", no_grace_period, stage.word(RCU_AT + RCU.counter))
    return stage.finish()


RCU_EACH = {release_page: free_through_rcu}
register(
    Entry(
        "bound/pages",
        "C2: with the type-stable slab, zaps and a protector at once never hold more page tables than n_max",
        pages,
        {"call-rcu": Mutant("each table waits for a grace period", RCU_EACH, property="pages of tables stay within n_max")},
    )
)
register(
    Entry(
        "bound/no-grace-period",
        "C6: zapping and reusing shadow pages asks for no grace period, whatever protectors do",
        silent,
        {"call-rcu": Mutant("each table waits for a grace period", RCU_EACH, property="no grace period is asked for")},
    )
)
