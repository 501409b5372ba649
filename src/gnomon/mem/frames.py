"""frames: the one pool of page frames behind guest RAM, page tables and slabs alike.

Counterpart in Linux: the buddy allocator, with orders 0 and 9 only.

Owns       the frames, through the words of pool.py
Guarantees F1  a frame has one owner: it is handed out once between two frees
           F2  F3  F5  of pool.py
           F4  a frame that was never handed out reads as zero, and costs the host nothing before it is used
Context    any, also under other locks; takes POOL.lock, under which nothing else is taken
Progress   blocking on POOL.lock, for some ten loads and stores. Clearing and poisoning happen outside it

Why a lock and not a lock-free stack: watermarks, the free count, the lists, and the split and merge of runs change together. A stack
with a version tag costs the same one locked instruction for its head, a second one for the count, and still needs a lock for runs.
"""

from gnomon.lang.arena import PAGE_SHIFT, PAGE_WORDS
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT
from gnomon.lang.guest_memory import clear_page
from gnomon.lang.kernel import kernel
from gnomon.mem.poison import POISON_FRAME, poison_broken, poison_fill
from gnomon.mem.pool import (
    FRAME_FREE,
    FRAME_STATIC,
    FRAME_TAKEN,
    FRAMES_PER_RUN,
    PAGE_WORDS_SHIFT,
    POOL,
    RUN,
    RUN_SHIFT,
    frame_is_out,
    frame_owner,
    frame_payload,
    frame_set_word,
    frame_word,
    frames_mark,
    pool_charge,
    pool_run,
    pool_spend,
    pool_uncharge,
    run_link,
    run_record,
    run_set,
    run_unlink,
)
from gnomon.sync.spinlock import spin_lock, spin_unlock


@kernel(entry=True)
def frames_init(m, words):
    """Lay the pool out in a fresh arena of `words` words, before anything else allocates. Returns the number of free frames, or -1 if the
    arena has no room for one."""
    total = words >> PAGE_WORDS_SHIFT
    runs = (total + FRAMES_PER_RUN - 1) >> RUN_SHIFT
    runs_at = FRAME_WORDS_AT + total
    first = (runs_at + runs * RUN.size + PAGE_WORDS - 1) >> PAGE_WORDS_SHIFT
    if total <= first:
        return -1
    write_once(m, FRAMES_AT + POOL.runs_at, runs_at)
    write_once(m, FRAMES_AT + POOL.total, total)
    write_once(m, FRAMES_AT + POOL.static, first)
    write_once(m, FRAMES_AT + POOL.free, total - first)
    frames_mark(m, 0, first, FRAME_STATIC)
    begun = first >> RUN_SHIFT  # the run in which the static frames end
    fresh = (first + FRAMES_PER_RUN - 1) >> RUN_SHIFT
    fresh_end = total >> RUN_SHIFT
    if (total & (FRAMES_PER_RUN - 1)) != 0 and fresh <= fresh_end:  # the frames behind the last whole run
        run_set(m, fresh_end, total & (FRAMES_PER_RUN - 1), 0)
        run_link(m, FRAMES_AT + POOL.split, fresh_end)
    if begun < fresh:
        end = total - (begun << RUN_SHIFT)
        if end > FRAMES_PER_RUN:
            end = FRAMES_PER_RUN
        bump = first & (FRAMES_PER_RUN - 1)
        run_set(m, begun, end - bump, bump)
        run_link(m, FRAMES_AT + POOL.split, begun)
    if fresh > fresh_end:
        fresh = fresh_end
    write_once(m, FRAMES_AT + POOL.fresh, fresh)
    write_once(m, FRAMES_AT + POOL.fresh_end, fresh_end)
    return total - first


@kernel(entry=True)
def frames_set_watermarks(m, least, low, high):
    """Set the watermarks, in frames. Returns 0, or -1 unless 0 <= least <= low <= high."""
    if least < 0 or low < least or high < low:
        return -1
    spin_lock(m, FRAMES_AT + POOL.lock)
    write_once(m, FRAMES_AT + POOL.min, least)
    write_once(m, FRAMES_AT + POOL.low, low)
    write_once(m, FRAMES_AT + POOL.high, high)
    write_once(m, FRAMES_AT + POOL.reclaim_wanted, 1 if read_once(m, FRAMES_AT + POOL.free) < low else 0)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    return 0


@kernel(entry=True)
def frames_set_debug(m, on):
    """Poison free memory from now on (1) or not (0). Only before the first allocation. Returns 0."""
    return write_once(m, FRAMES_AT + POOL.debug, on)


@kernel
def frames_reclaim_wanted(m):
    """1 from the moment the pool falls below its low watermark until it is back at its high one."""
    return read_once(m, FRAMES_AT + POOL.reclaim_wanted)


@kernel
def frame_pop(m):
    """Take a free frame off the lists; the caller holds POOL.lock and has charged it. Returns 2 * pfn, + 1 if it is known to be zero."""
    run = read_once(m, FRAMES_AT + POOL.split)
    if run == 0:
        run = pool_run(m)  # not 0: F2, what was charged is in one of the three places
        run_set(m, run - 1, FRAMES_PER_RUN, 0)
        run_link(m, FRAMES_AT + POOL.split, run - 1)
        write_once(m, FRAMES_AT + POOL.splits, read_once(m, FRAMES_AT + POOL.splits) + 1)
    at = run_record(m, run - 1)
    pfn = read_once(m, at + RUN.head)
    zero = 0
    if pfn != 0:
        write_once(m, at + RUN.head, frame_payload(frame_word(m, pfn)))
    else:
        bump = read_once(m, at + RUN.bump)
        write_once(m, at + RUN.bump, bump + 1)
        pfn = ((run - 1) << RUN_SHIFT) + bump
        zero = 1 - read_once(m, at + RUN.used)
    left = read_once(m, at + RUN.free) - 1
    write_once(m, at + RUN.free, left)
    if left == 0:
        run_unlink(m, FRAMES_AT + POOL.split, run - 1)
    frame_set_word(m, pfn, FRAME_TAKEN)
    return 2 * pfn + zero


@kernel
def frame_take(m, floor):
    """Allocate a frame if `floor` remain. Returns 2 * pfn, + 1 if it is known to be zero, or 0."""
    spin_lock(m, FRAMES_AT + POOL.lock)
    taken = 0
    if pool_charge(m, 1, floor) != 0:
        taken = frame_pop(m)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    if taken != 0 and read_once(m, FRAMES_AT + POOL.debug) != 0:
        expected = 0 if (taken & 1) != 0 else POISON_FRAME
        broken = poison_broken(m, (taken >> 1) << PAGE_WORDS_SHIFT, PAGE_WORDS, expected)
        if broken != 0:
            fetch_add(m, FRAMES_AT + POOL.write_after_free, broken)
    return taken


@kernel
def frame_alloc(m, t):
    """Allocate a frame of any content for thread `t`. Returns its pfn, or 0 (counted) if fewer than POOL.min would remain."""
    return frame_take(m, read_once(m, FRAMES_AT + POOL.min)) >> 1


@kernel
def frame_alloc_reserve(m):
    """As frame_alloc(), for those few who may go below POOL.min because they are about to free more."""
    return frame_take(m, 0) >> 1


@kernel
def frame_alloc_zeroed(m, t):
    """Allocate a frame of zeroes for thread `t`; one never used before needs no clearing. Returns its pfn or 0, as frame_alloc()."""
    taken = frame_take(m, read_once(m, FRAMES_AT + POOL.min))
    if taken != 0 and (taken & 1) == 0:
        clear_page(m, (taken >> 1) << PAGE_SHIFT)
    return taken >> 1


@kernel
def frame_is_zero(m, pfn):
    """1 if every word of frame `pfn` is zero."""
    for i in range(PAGE_WORDS):
        if read_once(m, (pfn << PAGE_WORDS_SHIFT) + i):
            return 0
    return 1


@kernel
def frames_are_equal(m, pfn, other):
    """1 if frames `pfn` and `other` hold the same words."""
    for i in range(PAGE_WORDS):
        if read_once(m, (pfn << PAGE_WORDS_SHIFT) + i) != read_once(m, (other << PAGE_WORDS_SHIFT) + i):
            return 0
    return 1


@kernel
def frame_free(m, pfn):
    """Give frame `pfn` back; also one of a run. Returns 0, or -1 (counted, nothing changed) if it is not handed out."""
    if pfn <= 0 or pfn >= read_once(m, FRAMES_AT + POOL.total):
        return -1
    if frame_is_out(m, pfn) == 0:
        fetch_add(m, FRAMES_AT + POOL.double_free, 1)
        return -1
    if read_once(m, FRAMES_AT + POOL.debug) != 0:
        poison_fill(m, pfn << PAGE_WORDS_SHIFT, PAGE_WORDS, POISON_FRAME)
    run = pfn >> RUN_SHIFT
    spin_lock(m, FRAMES_AT + POOL.lock)
    at = run_record(m, run)
    free = read_once(m, at + RUN.free) + 1
    write_once(m, FRAME_WORDS_AT + pfn, frame_owner(FRAME_FREE, read_once(m, at + RUN.head)))
    write_once(m, at + RUN.head, pfn)
    write_once(m, at + RUN.free, free)
    if free == 1:
        run_link(m, FRAMES_AT + POOL.split, run)
    elif free == FRAMES_PER_RUN:
        run_unlink(m, FRAMES_AT + POOL.split, run)
        run_set(m, run, 0, 0)
        write_once(m, at + RUN.used, 1)
        run_link(m, FRAMES_AT + POOL.whole, run)
        write_once(m, FRAMES_AT + POOL.merges, read_once(m, FRAMES_AT + POOL.merges) + 1)
    pool_uncharge(m, 1)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    return 0


@kernel
def run_take(m):
    """Take a whole or fresh run and charge it. Returns run + 1, or 0."""
    spin_lock(m, FRAMES_AT + POOL.lock)
    run = 0
    if read_once(m, FRAMES_AT + POOL.whole) == 0 and read_once(m, FRAMES_AT + POOL.fresh) == read_once(m, FRAMES_AT + POOL.fresh_end):
        write_once(m, FRAMES_AT + POOL.failures, read_once(m, FRAMES_AT + POOL.failures) + 1)
    elif pool_charge(m, FRAMES_PER_RUN, read_once(m, FRAMES_AT + POOL.min)) != 0:
        run = pool_run(m)
        run_set(m, run - 1, 0, FRAMES_PER_RUN)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    return run


@kernel
def run_alloc(m):
    """Allocate FRAMES_PER_RUN frames in a row, aligned, of zeroes. Returns the first pfn, or 0 (counted) if there is no run
    above POOL.min.

    Its frames may be freed one by one by frame_free(), or all by run_free()."""
    run = run_take(m)
    if run == 0:
        return 0
    pfn = (run - 1) << RUN_SHIFT
    frames_mark(m, pfn, FRAMES_PER_RUN, FRAME_TAKEN)
    if read_once(m, run_record(m, run - 1) + RUN.used) != 0:
        for n in range(FRAMES_PER_RUN):
            clear_page(m, (pfn + n) << PAGE_SHIFT)
    return pfn


@kernel
def run_free(m, pfn):
    """Give back the run that starts at `pfn`, all of whose frames the caller has. Returns 0, or -1 (counted) if that is not so."""
    run = pfn >> RUN_SHIFT
    if (pfn & (FRAMES_PER_RUN - 1)) != 0 or frame_is_out(m, pfn) == 0 or read_once(m, run_record(m, run) + RUN.free) != 0:
        fetch_add(m, FRAMES_AT + POOL.double_free, 1)
        return -1
    if read_once(m, FRAMES_AT + POOL.debug) != 0:
        poison_fill(m, pfn << PAGE_WORDS_SHIFT, FRAMES_PER_RUN * PAGE_WORDS, POISON_FRAME)
    frames_mark(m, pfn, FRAMES_PER_RUN, FRAME_FREE)
    spin_lock(m, FRAMES_AT + POOL.lock)
    run_set(m, run, 0, 0)
    write_once(m, run_record(m, run) + RUN.used, 1)
    run_link(m, FRAMES_AT + POOL.whole, run)
    pool_uncharge(m, FRAMES_PER_RUN)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    return 0


@kernel(entry=True)
def run_alloc_n(m, n):
    """Allocate `n` frames in a row for ever, of zeroes, from memory never used. For large tables at boot. Returns the first pfn or 0."""
    spin_lock(m, FRAMES_AT + POOL.lock)
    pfn = 0
    run = read_once(m, FRAMES_AT + POOL.split)
    if run != 0:  # does it fit behind what the first split run has handed out?
        at = run_record(m, run - 1)
        bump = read_once(m, at + RUN.bump)
        left = read_once(m, at + RUN.free) - n
        if read_once(m, at + RUN.head) == 0 and read_once(m, at + RUN.used) == 0 and left >= 0:
            pfn = ((run - 1) << RUN_SHIFT) + bump
            write_once(m, at + RUN.bump, bump + n)
            write_once(m, at + RUN.free, left)
            if left == 0:
                run_unlink(m, FRAMES_AT + POOL.split, run - 1)
    runs = (n + FRAMES_PER_RUN - 1) >> RUN_SHIFT
    run = read_once(m, FRAMES_AT + POOL.fresh)
    if pfn == 0 and run + runs <= read_once(m, FRAMES_AT + POOL.fresh_end):
        pfn = run << RUN_SHIFT
        write_once(m, FRAMES_AT + POOL.fresh, run + runs)
        for whole in range(runs):
            run_set(m, run + whole, 0, FRAMES_PER_RUN)
        rest = (runs << RUN_SHIFT) - n
        if rest != 0:
            run_set(m, run + runs - 1, rest, FRAMES_PER_RUN - rest)
            run_link(m, FRAMES_AT + POOL.split, run + runs - 1)
    if pfn != 0:
        pool_spend(m, n)
        write_once(m, FRAMES_AT + POOL.static, read_once(m, FRAMES_AT + POOL.static) + n)
        frames_mark(m, pfn, n, FRAME_STATIC)
    spin_unlock(m, FRAMES_AT + POOL.lock)
    return pfn
