"""Implementation refines specification: the shipped layer under an observer that knows only what the specification says.

The observer's words are noted at the points where the specification changes its state; at each step of the layer that the
specification restricts, the observer expects what it allows. The specification itself runs under the same observer: it is no
weaker than it claims. Scenarios above may then put the specification in the layer's place.

    lock        HOLDER       who holds the lock: nobody when it is taken
    rcu         NOW[t]       the section that t is in: none that synchronize_rcu() met at its call is left when it returns
    allocator   OWNER[page]  who has the object: nobody when it is handed out, and it is constructed
    handshake   SPAN[v]      the guest-mode span of v: none that request_all() met at its call is left when it returns
                STAMP[v]     how many flushes had begun when the TLB entry was filled: not less than have ended when it is used
"""

from __future__ import annotations

from gnomon.check.oracle import expect, note
from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios import handshake, locks, rcu, slab
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import DATA_AT, POISON, frames_are_safe, stage
from gnomon.check.specs.allocator import SPECIFIED_ALLOCATOR
from gnomon.check.specs.rcu import SPECIFIED_RCU
from gnomon.lang import PAGE_WORDS, kernel
from gnomon.lang.arith import ctz
from gnomon.lang.atomics import fetch_and, mb, read_once, write_once
from gnomon.mem.frames import frame_alloc, frame_alloc_zeroed, frame_free
from gnomon.mem.pool import PAGE_WORDS_SHIFT
from gnomon.mem.slab import CACHE_TABLE, cache_init, slab_alloc, slab_flush_magazines, slab_free
from gnomon.mem.slab_page import CACHE, CTOR_ZERO, TYPESAFE, cache_at, empty_pop
from gnomon.mmu.tlb import TLB_WRITE, tlb_fill, tlb_flush_all, tlb_host
from gnomon.mmu.vcpu import REQ_FLUSH, REQ_ROOTS, VCPU, guest_enter, guest_exit, handle_requests, request_all, wait_for_exit
from gnomon.sync.rcu import barrier_everywhere, rcu_read_lock, rcu_read_unlock, synchronize_rcu
from gnomon.sync.spinlock import spin_lock, spin_trylock, spin_unlock

LOCK_AT = DATA_AT
HOLDER_AT = DATA_AT + 1
NOW_AT, STORED_AT, LINK_AT, OVER_AT = DATA_AT, DATA_AT + 4, DATA_AT + 8, DATA_AT + 9
OWNER_AT = DATA_AT + 16
SPAN_AT, STAMP_AT, ROOT_STAMP_AT, BEGUN_AT = DATA_AT + 16, DATA_AT + 20, DATA_AT + 24, DATA_AT + 28
PAGE_AT = 100 << 12


@kernel
def observed_hold(m, t):
    """Hold the lock for a moment."""
    spin_lock(m, LOCK_AT)
    expect(read_once(m, HOLDER_AT) == 0)
    note(m, HOLDER_AT, t + 1)
    note(m, HOLDER_AT, 0)
    spin_unlock(m, LOCK_AT)
    return 0


@kernel
def observed_section(m, t, number):
    """A read section that stores something, and looks for what the updater stored before its grace period."""
    rcu_read_lock(m, t)
    note(m, NOW_AT + t, number)
    linked = read_once(m, LINK_AT)
    write_once(m, STORED_AT + t, number)
    expect(linked or read_once(m, OVER_AT) == 0)
    note(m, NOW_AT + t, 0)
    rcu_read_unlock(m, t)
    return 0


@kernel
def observed_grace_period(m, t):
    """Store, wait for a grace period: the sections met are over, and what they stored is here."""
    write_once(m, LINK_AT, 1)
    first = read_once(m, NOW_AT)
    second = read_once(m, NOW_AT + 1)
    synchronize_rcu(m, t)
    note(m, OVER_AT, 1)
    expect(first == 0 or (read_once(m, NOW_AT) != first and read_once(m, STORED_AT) >= first))
    expect(second == 0 or (read_once(m, NOW_AT + 1) != second and read_once(m, STORED_AT + 1) >= second))
    return 0


@kernel
def observed_object(m, t):
    """Take an object, use it, free it as it came."""
    ref = slab_alloc(m, t, CACHE_TABLE)
    if ref:
        owner = OWNER_AT + (ref >> PAGE_WORDS_SHIFT)
        expect(read_once(m, owner) == 0)
        note(m, owner, t + 1)
        expect(read_once(m, ref) == 0)
        write_once(m, ref, t + 1)
        expect(read_once(m, ref) == t + 1)
        write_once(m, ref, 0)
        expect(read_once(m, owner) == t + 1)
        note(m, owner, 0)
        slab_free(m, t, CACHE_TABLE, ref)
        slab_flush_magazines(m, t)
    return 0


@kernel
def leave_garbage(m, t):
    """For set-up: the frame that the pool hands out next was somebody's."""
    pfn = frame_alloc(m, t)
    write_once(m, pfn << PAGE_WORDS_SHIFT, POISON)
    frame_free(m, pfn)
    return 0


@kernel
def observed_span(m, v, n, number):
    """Guest mode: use the TLB entry and the root, or fill them."""
    guest_enter(m, v)
    note(m, SPAN_AT + n, number)
    if tlb_host(m, v, 0, TLB_WRITE, 1) >= 0:
        expect(read_once(m, STAMP_AT + n) >= read_once(m, OVER_AT))
    else:
        note(m, STAMP_AT + n, read_once(m, BEGUN_AT))
        tlb_fill(m, v, 0, TLB_WRITE, 1, PAGE_AT)
    if read_once(m, v + VCPU.root):
        expect(read_once(m, ROOT_STAMP_AT + n) >= read_once(m, OVER_AT))
    else:
        note(m, ROOT_STAMP_AT + n, read_once(m, BEGUN_AT))
        write_once(m, v + VCPU.root, 1)
    note(m, SPAN_AT + n, 0)
    guest_exit(m, v)
    return 0


@kernel
def observed_flush(m, vm, number):
    """A request to flush and to look roots up anew: the spans met are over."""
    note(m, BEGUN_AT, number)
    first = read_once(m, SPAN_AT)
    second = read_once(m, SPAN_AT + 1)
    request_all(m, vm, REQ_FLUSH | REQ_ROOTS)
    note(m, OVER_AT, number)
    expect(first == 0 or read_once(m, SPAN_AT) != first)
    expect(second == 0 or read_once(m, SPAN_AT + 1) != second)
    return 0


@kernel
def scan_once(m, t):
    """Mutant of the specification: looks once at each reader and does not wait."""
    mb()
    return 0


@kernel
def look_at_first(m, at):
    """Mutant of empty_pop(): hands the first page out and leaves it on the list."""
    first = read_once(m, at + CACHE.empty)
    return first << PAGE_WORDS_SHIFT


@kernel
def take_without_exchange(m, t, cache):
    """Mutant of the specification: looks at the set, then stores it."""
    at = cache_at(cache)
    free = read_once(m, at + CACHE.empty)
    if free == 0:
        return 0
    write_once(m, at + CACHE.empty, free & (free - 1))
    return read_once(m, at + CACHE.batch) + ctz(free) * read_once(m, at + CACHE.object_words)


@kernel
def flush_without_gate(m, vm, bits):
    """Mutant of the specification: returns at once."""
    return 0


@kernel
def handle_keeping_roots(m, v, pending):
    """Mutant of handle_requests(): empties the TLB, forgets the roots that it should look up again."""
    fetch_and(m, v + VCPU.requests, ~pending)
    return tlb_flush_all(m, v)


def hold(mutant: Mutant | None) -> Scenario:
    scenario = stage(mutant, 0)
    scenario.locks = ()  # the lock itself is what is looked at
    for t in range(3):
        scenario.thread(f"thread {t}", call(observed_hold, t), call(observed_hold, t))
    scenario.label(LOCK_AT, "lock")
    scenario.label(HOLDER_AT, "holder")
    return scenario


def grace(membarrier: int, specification: bool = False):
    def build(mutant: Mutant | None) -> Scenario:
        scenario = stage(mutant, 3, membarrier=membarrier, replace=SPECIFIED_RCU if specification else None)
        scenario.thread("reader 0", call(observed_section, 0, 1), call(observed_section, 0, 2))
        scenario.thread("reader 1", call(observed_section, 1, 1))
        scenario.thread("updater", call(observed_grace_period, 2))
        scenario.label(NOW_AT, "now in section", words=2)
        scenario.label(STORED_AT, "stored", words=2)
        scenario.label(LINK_AT, "link")
        scenario.label(OVER_AT, "over")
        return scenario

    return build


def allocator(specification: bool = False):
    def build(mutant: Mutant | None) -> Scenario:
        scenario = stage(mutant, 2, slab.WORDS, constants=slab.SMALL, replace=SPECIFIED_ALLOCATOR if specification else None)
        scenario.run(leave_garbage, 0)
        scenario.run(cache_init, CACHE_TABLE, PAGE_WORDS, TYPESAFE | CTOR_ZERO)
        frames_are_safe(scenario)
        for t in range(2):
            scenario.thread(f"thread {t}", call(observed_object, t), call(observed_object, t))
        scenario.label(OWNER_AT, "owner", words=slab.WORDS >> PAGE_WORDS_SHIFT)
        if specification:  # there is no pool whose words would say what is a cache
            scenario.label(cache_at.py_func(CACHE_TABLE), "the set", CACHE)
        return scenario

    return build


def spans(specification: bool = False):
    def build(mutant: Mutant | None) -> Scenario:
        stage = Stage(mutant, vcpus=2, handshake=specification)
        scenario = stage.scenario
        for n, v in enumerate(stage.vcpus):
            scenario.thread(f"vcpu {n}", *(call(observed_span, v, n, span + 1) for span in range(2)))
        scenario.thread("requester", call(observed_flush, stage.vm, 1))
        for at, name in ((SPAN_AT, "span"), (STAMP_AT, "filled after"), (ROOT_STAMP_AT, "looked up after")):
            scenario.label(at, name, words=2)
        scenario.label(BEGUN_AT, "flushes begun")
        scenario.label(OVER_AT, "flushes over")
        return scenario

    return build


TWO_STEPS = Mutant("takes the lock by a load and a store", {spin_trylock: locks.trylock_in_two}, property="expectation")
NO_WAIT = Mutant("frees without a grace period", {synchronize_rcu: rcu.no_wait}, property="expectation")
register(Entry("refine/lock", "the shipped spinlock has one holder at a time, as its specification says", hold, {"two-steps": TWO_STEPS}))
register(
    Entry(
        "refine/rcu",
        "the shipped synchronize_rcu() returns only after every section it met has left, its stores seen (membarrier)",
        grace(1),
        {
            "no-wait": NO_WAIT,
            "no-membarrier": Mutant(
                "no barrier on the readers' CPUs", {barrier_everywhere: rcu.no_barrier}, models=("tso",), property="expectation"
            ),
        },
    )
)
register(
    Entry(
        "refine/rcu-mb",
        "the same with mb() on both sides",
        grace(0),
        {
            "no-reader-fence": Mutant(
                "rcu_read_lock() without its mb()", {rcu_read_lock: rcu.lock_without_fence}, models=("tso",), property="expectation"
            )
        },
    )
)
register(
    Entry(
        "refine/rcu-specification",
        "the specification of RCU passes the same observer",
        grace(1, specification=True),
        {"no-wait": Mutant("a grace period that waits for nobody", {synchronize_rcu: scan_once}, property="expectation")},
    )
)
register(
    Entry(
        "refine/allocator",
        "the shipped slab hands out what is in the free set, constructed, to one thread at a time",
        allocator(),
        {
            "not-taken": Mutant("a page is handed out and stays free", {empty_pop: look_at_first}, property="expectation"),
            "not-constructed": Mutant(
                "a new page is as its last owner left it (S-5)", {frame_alloc_zeroed: frame_alloc}, property="expectation"
            ),
        },
    )
)
register(
    Entry(
        "refine/allocator-specification",
        "the specification of the slab passes the same observer",
        allocator(specification=True),
        {"two-steps": Mutant("the set is read, then stored", {slab_alloc: take_without_exchange}, property="expectation")},
    )
)
register(
    Entry(
        "refine/handshake",
        "the shipped request handshake separates guest-mode spans from flushes: nothing older than a flush is used after it",
        spans(),
        {
            "no-wait": Mutant("the requester does not wait", {wait_for_exit: handshake.no_wait}, property="expectation"),
            "no-entry-barrier": Mutant(
                "guest_enter() stores the mode without a barrier",
                {guest_enter: handshake.enter_without_barrier},
                models=("tso",),
                property="expectation",
            ),
            "keeps-roots": Mutant("a request for new roots only empties the TLB", {handle_requests: handle_keeping_roots}),
        },
    )
)
register(
    Entry(
        "refine/handshake-specification",
        "the specification of the handshake passes the same observer",
        spans(specification=True),
        {"no-gate": Mutant("flushes without asking who is inside", {request_all: flush_without_gate}, property="expectation")},
    )
)
