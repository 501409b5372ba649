"""Would these tests notice? Each broken design must be caught on real threads, and the right one pass the same trial.

One trial a rule, shaped so that its breach shows: see the docstrings. gnomon.mmu.design says what each bit breaks.
"""

import time

import pytest
from mmu_rig import SUPERVISOR, A, D, R, Rig, Tables, W

from gnomon.lang import kernel
from gnomon.lang.arith import shr, urem
from gnomon.lang.atomics import cpu_relax, fetch_add, fetch_or, read_once, write_once
from gnomon.lang.guest_memory import store64
from gnomon.lang.host import sched_yield
from gnomon.lang.kernel import compile_kernel
from gnomon.mmu.axes import AXES
from gnomon.mmu.dirty import protect_word
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.rmap import rmap_add, rmap_remove, rmap_top_up
from gnomon.mmu.slot import backing
from gnomon.mmu.spte import ACCESS_ALL, WRITABLE, make_leaf
from gnomon.mmu.tlb import TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU, guest_enter, guest_exit
from gnomon.mmu.vm_words import VM
from gnomon.mmu.zap import recycle
from gnomon.study.stress.guest import next_random
from gnomon.study.stress.oracle import migration_oracle, trial
from gnomon.study.stress.soak import one
from gnomon.study.stress.stage import Stress
from gnomon.study.stress.words import CTL
from gnomon.sync.spinlock import spin_lock, spin_pause, spin_unlock
from hunting import apart, hunt, needs_two_cpus, on_cpu

LIMIT = 240.0
"""Seconds in which a mutant must be caught; a machine with nothing else to do needs less than one."""
RIGHT = 3.0
"""Seconds in which nothing must be found of what is right."""

# Each search below makes a look from a design: a short trial that returns what it found, to be repeated.
# Lost writes: the dirty log against one hot word of the bitmap


def lost_writes(design):
    """Two vCPUs fault on few pages while a migrator on another CPU harvests and copies in a tight loop: what is lost stays lost, nothing
    zaps it away."""

    def look(_):
        stress = Stress(pages=6, harts=2, churns=(), migrating=True, design=design)
        *vcpus, migrator = stress.jobs
        stress.jobs = [*(on_cpu(0, job) for job in vcpus), on_cpu(1, migrator)]
        stress.rig.enable()
        stress.set(pause=1)
        with stress.running():
            stress.pause()
            return migration_oracle(stress, 4, 0.15)[:2]

    return look


def stale_writes(design):
    """The new oracle of dirty_log_test with nothing that flushes but the harvest itself."""
    return lambda _: trial("new", 4, 0.05, pages=32, churns=(), design=design)[0][:2]


def shaped_search(shape, oracle):
    """A search by trials of a shape of `gnomon stress`."""

    def search(design):
        return lambda number: one(number, shape, oracle, design, 11, rounds=4).found[:2]

    search.__name__ = shape.replace(" ", "_").replace(",", "")
    return search


unseen_by_split = shaped_search("bare, split and recovered", "new")
unseen_by_fence = shaped_search("Sv39, tables unsync", "migration")


# R1 on its own: a lockless walk against a writer that moves entries

STABLE, VOLATILE = 6, 14
WALKS = 64


@kernel
def shuffle(m, v, t, vm, table, ctl):
    """Add and remove the sptes of `table` beyond the STABLE ones at random in two rmaps until told to stop: stable ones move."""
    heads = read_once(m, vm + VM.rmap)
    x = read_once(m, ctl + CTL.seed)
    where = table + 512  # 0 not in an rmap, 1 in that of page 0, 2 in that of page 1
    while read_once(m, ctl + CTL.stop) == 0:
        x = next_random(x)
        n = STABLE + urem(shr(x, 33), VOLATILE)
        rmap_top_up(m, v, t)
        spin_lock(m, vm + VM.mmu_lock)
        home = read_once(m, where + n)
        if home:
            rmap_remove(m, t, heads + home - 1, table + n)
            write_once(m, where + n, 0)
        else:
            home = 1 + (shr(x, 50) & 1)
            rmap_add(m, v, heads + home - 1, table + n)
            write_once(m, where + n, home)
        spin_unlock(m, vm + VM.mmu_lock)
        fetch_add(m, ctl + CTL.zaps, 1)
    return 0


@kernel
def protect_often(m, v, t, table, ctl, rounds):
    """Make every stable spte writable, protect page 0, count the stable sptes that still are; `rounds` times. Returns the count.

    Before each walk one stable spte is taken out and put in again: newest, so that a removal of any other moves it."""
    vm = read_once(m, v + VCPU.vm)
    head = read_once(m, vm + VM.rmap)
    missed = 0
    for n in range(rounds):
        rmap_top_up(m, v, t)
        spin_lock(m, vm + VM.mmu_lock)
        rmap_remove(m, t, head, table + urem(n, STABLE))
        rmap_add(m, v, head, table + urem(n, STABLE))
        spin_unlock(m, vm + VM.mmu_lock)
        for k in range(STABLE):
            fetch_or(m, table + k, WRITABLE)
        protect_word(m, t, vm, 0, 1)
        for k in range(STABLE):
            if read_once(m, table + k) & WRITABLE:
                missed += 1
    write_once(m, ctl + CTL.stop, 1)
    return missed


def missed_entries(design):
    """R1: an spte that is in the rmap during a whole walk is protected by it, however much others come and go around it."""
    rig = Rig(64, 2, design=design)
    table, ctl = rig.static(1024), rig.static(CTL.size)
    head = rig.field("rmap")
    leaf = int(make_leaf.py_func(rig.back(0) << 12, ACCESS_ALL))
    rig.words[table : table + STABLE] = leaf
    for n in range(STABLE):
        rig.call(rmap_top_up, rig.v, rig.t)
        rig.call(rmap_add, rig.v, head, table + n)
    rig.words[ctl + CTL.seed] = 5

    def look(_):
        rig.words[ctl + CTL.stop] = 0
        _, missed = apart(
            (shuffle, rig.m, rig.v, rig.threads[0], rig.vm, table, ctl),
            (protect_often, rig.m, rig.vcpus[1], rig.threads[1], table, ctl, 50_000),
        )
        return f"{missed} sptes missed" if missed else ""

    return look


# Tables reused under a walker


@kernel
def follow(m, v, ctl, va):
    """Store to `va`, for ever where the mapping says it is: count translations that lead to another frame than page CTL.pages'.

    Like a hart it looks at its requests after WALKS of them, and only that long may a table that it walks be what it was (Z2). Then it
    stays out of guest mode for a while, its roots cached: whoever frees one of them must have it forgotten (I-20)."""
    wrong = 0
    x = 1
    page = read_once(m, ctl + CTL.pages)
    vm = read_once(m, v + VCPU.vm)
    guest_enter(m, v)
    while read_once(m, ctl + CTL.stop) == 0:
        regime = read_once(m, v + VCPU.data_regime)
        for _ in range(WALKS):
            write_once(m, tlb_slot(va, v), 0)  # every access walks
            if mmu_translate(m, v, va, TLB_WRITE) == XL_OK and tlb_host(m, v, va, TLB_WRITE, regime) >> 12 != backing(m, vm, page):
                wrong += 1
                write_once(m, ctl + CTL.stop, 1)  # caught: enough
        write_once(m, ctl + CTL.stores, read_once(m, ctl + CTL.stores) + 1)
        guest_exit(m, v)
        x = next_random(x)
        for _ in range(shr(x, 56)):
            cpu_relax()
        guest_enter(m, v)
    guest_exit(m, v)
    return wrong


@kernel
def tlb_slot(va, v):
    """Word of the store tag of `va` in the TLB of `v` (tlb.py)."""
    return v + 1024 + ((va >> 12) & 255) * 4 + TLB_WRITE


@kernel
def swap_roots(m, v, vm, ctl, va, rounds):
    """Zap everything, and translate `va` in this vCPU's own tables, which then get the tables just freed; `rounds` times or
    until told to stop.

    The oldest root is the one that is given out first. So every other time the follower is let come back before we do, and the next time
    the root that it may still have is ours."""
    for n in range(rounds):
        if read_once(m, ctl + CTL.stop):
            break
        spin_lock(m, vm + VM.mmu_lock)
        recycle(m, vm, read_once(m, v + VCPU.thread), 64)
        recycle(m, vm, read_once(m, v + VCPU.thread), 64)
        spin_unlock(m, vm + VM.mmu_lock)
        walked = read_once(m, ctl + CTL.stores)
        turn = 0
        while (n & 1) == 0 and read_once(m, ctl + CTL.stores) < walked + 2 and read_once(m, ctl + CTL.stop) == 0:
            turn = spin_pause(turn)
        guest_enter(m, v)
        mmu_translate(m, v, va, TLB_WRITE)
        guest_exit(m, v)
        sched_yield()
    write_once(m, ctl + CTL.stop, 1)
    return 0


def wrong_frames(design):
    """Two address spaces map one address to two pages. One keeps walking; the other zaps all and takes the freed tables (Z2)."""
    rig = Rig(64, 2, design=design)
    ctl, va = rig.static(CTL.size), 5 << 30
    spaces = [Tables(rig, 10), Tables(rig, 20)]
    for n, (space, v) in enumerate(zip(spaces, rig.vcpus, strict=True)):
        space.map(va, 40 + n, 1 | R | W | A | D)
        rig.back(40 + n)
        rig.context(SUPERVISOR, space.satp, v=v)
    rig.words[ctl + CTL.pages] = 40

    def look(_):
        rig.words[ctl + CTL.stop] = 0
        wrong, _ = apart((follow, rig.m, rig.vcpus[0], ctl, va), (swap_roots, rig.m, rig.vcpus[1], rig.vm, ctl, va, 100))
        return f"{wrong} translations led to another address space's page" if wrong else ""

    return look


# Guest tables that are written unseen


@kernel
def remap(m, v, ctl, va, table_va, rounds):
    """Point the PTE at `table_va` to page 40 and 41 in turns, SFENCE.VMA, and store to `va`: count stores that went to the other."""
    wrong = 0
    vm = read_once(m, v + VCPU.vm)
    guest_enter(m, v)
    for n in range(rounds):
        page = 40 + (n & 1)
        value = ((read_once(m, vm + VM.base_gfn) + page) << 10) | 0xC7  # V R W A D
        regime = read_once(m, v + VCPU.data_regime)
        at = tlb_host(m, v, table_va, TLB_WRITE, regime)
        status = XL_OK
        if at < 0:
            status = mmu_translate(m, v, table_va, TLB_WRITE)
        if status == XL_TRACKED:
            at = tracked_begin(m, v)
            store64(m, at, value)
            tracked_end(m, v, at, 8)
        elif status == XL_OK:
            store64(m, tlb_host(m, v, table_va, TLB_WRITE, regime), value)
        mmu_sfence(m, v, 0, 0)
        if mmu_translate(m, v, va, TLB_WRITE) == XL_OK and tlb_host(m, v, va, TLB_WRITE, regime) >> 12 != backing(m, vm, page):
            wrong += 1
        if read_once(m, v + VCPU.requests):
            guest_exit(m, v)
            guest_enter(m, v)
    guest_exit(m, v)
    return wrong


def stale_tables(design):
    """A guest edits its own PTE through a mapping of the table, fences, and must see the new page (E1, K1)."""
    compile_kernel(remap)
    rig = Rig(64, 1, design=design)
    ctl, va, window = rig.static(CTL.size), 5 << 30, 6 << 30
    space = Tables(rig, 10)
    space.map(va, 40, 1 | R | W | A | D)
    for index in (40, 41):
        rig.back(index)
    space.map(window, space.table(va, 1), 1 | R | W | A | D)
    rig.context(SUPERVISOR, space.satp)

    def look(_):
        wrong = remap(rig.m, rig.v, ctl, va, window + space.slot(va, 1) * 8, 5000)
        return f"{wrong} stores went through a stale entry" if wrong else ""

    return look


SEARCHES = {
    "publish=bitmap-first": lost_writes,
    "fast-fault=drop-dirty": lost_writes,
    "flush=skipped": stale_writes,
    "walk=forward": missed_entries,
    "zap=free-at-once": wrong_frames,
    "guest-tables=untracked": stale_tables,
    "pages=unsplit": unseen_by_split,
    "guest-tables=unsync-unprotected": unseen_by_fence,
}
AT_ONCE = {"publish=bitmap-first"}
"""What shows only while two threads run at once: their interleavings one by one are in test_directed_races.py."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rule", [pytest.param(rule, marks=[needs_two_cpus] * (rule in AT_ONCE)) for rule in SEARCHES])
def test_is_the_mutant_caught(rule):
    """Every broken rule is seen on real threads."""
    started = time.monotonic()
    found = hunt(SEARCHES[rule](rule), LIMIT)
    took = time.monotonic() - started
    assert found, f"the mutant {rule} survived {took:.1f} s"
    print(f"\n{rule}: caught after {took:.2f} s: {found}")


@pytest.mark.slow
@pytest.mark.parametrize("search", sorted(set(SEARCHES.values()), key=lambda s: s.__name__), ids=lambda s: s.__name__)
def test_does_the_right_design_pass_the_trial_that_catches_mutants(search):
    """Three seconds of the same trial find nothing."""
    assert not hunt(search(""), RIGHT)


def test_does_every_design_have_a_trial():
    """A broken choice without a trial here or a scenario that refutes it would be a rule nobody checks."""
    broken = {f"{axis.name}={choice.name}": choice for axis in AXES for choice in axis.choices if choice.wrong}
    assert set(SEARCHES) <= set(broken)
    assert not [name for name, choice in broken.items() if name not in SEARCHES and not choice.scenario]
