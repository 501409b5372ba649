"""pool: the words of the frame pool, its watermarks and its lists of runs; frames.py allocates and frees with them.

Counterpart in Linux: struct zone and its watermarks, struct page and page_type, free_area of two orders.

Owns       POOL at FRAMES_AT; one word a frame at FRAME_WORDS_AT; one RUN record for each FRAMES_PER_RUN frames, behind the frame words
Guarantees F2  POOL.free is exactly the number of frames that are neither handed out nor static
           F3  an ordinary allocation leaves at least POOL.min frames free, or fails and is counted; it never blocks
           F5  the word of a free frame has the tag FRAME_FREE, of any other frame another tag
Context    whatever says "POOL.lock is held" needs it; nothing else is taken under POOL.lock

A run is 512 aligned frames. It is in one of three places:

    fresh      at or above POOL.fresh: never used, zero
    whole      on the list POOL.whole: all frames free, contents unknown
    split      RUN.free of its frames are free: first those linked from RUN.head by their frame words, then the ones from RUN.bump on.
               A split run with a free frame is on the list POOL.split. A run handed out as a whole is a split run with none free.
"""

from gnomon.lang.arena import PAGE_SHIFT, PAGE_WORDS
from gnomon.lang.arith import shr
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.fixed import FRAME_WORDS_AT, FRAMES_AT
from gnomon.lang.kernel import kernel
from gnomon.lang.record import record

FRAMES_PER_RUN = 512
RUN_SHIFT = 9
PAGE_WORDS_SHIFT = PAGE_SHIFT - 3

FRAME_FREE = 0
FRAME_GUEST = 1
FRAME_TABLE = 2
FRAME_SLAB = 3
FRAME_STATIC = 4
FRAME_TAKEN = 5
"""Handed out, its owner has not said what for."""
FRAME_TAG_BITS = 4
FRAME_TAG_MASK = (1 << FRAME_TAG_BITS) - 1

assert FRAMES_PER_RUN == 1 << RUN_SHIFT
assert PAGE_WORDS == 1 << PAGE_WORDS_SHIFT

POOL = record(
    "POOL",
    "The frame pool of the process.",
    lock=1,
    free=1,
    split=1,  # run + 1 of the first split run with a free frame
    whole=1,  # run + 1 of the first whole run
    fresh=1,  # first fresh run
    fresh_end=1,  # runs of all 512 frames end here
    min=1,
    low=1,
    high=1,
    reclaim_wanted=1,  # 1 from falling below low until free reaches high
    debug=1,  # 1: poison what is free
    total=1,  # frames of the arena
    static=1,  # frames that were never in the pool: the fixed map, and what run_alloc_n() gave
    runs_at=1,  # word index of the RUN records
    allocated=1,  # frames ever handed out
    failures=1,  # allocations refused
    low_crossings=1,  # times free fell below low
    min_crossings=1,  # times free reached min
    splits=1,  # whole runs broken into frames
    merges=1,  # runs whose frames were all freed
    write_after_free=1,  # words of free memory that somebody wrote (debug)
    not_constructed=1,  # type-stable objects freed in another state than constructed (debug)
    double_free=1,
)

RUN = record(
    "RUN",
    "512 aligned frames.",
    free=1,  # frames of it that are free, unless it is whole or fresh
    head=1,  # pfn of the first recycled free frame; the others follow through the frame words
    bump=1,  # index of the first frame not handed out since the run was whole or fresh
    used=1,  # 1 if frames from bump on may hold anything, 0 if they are zero
    next=1,  # run + 1, in POOL.split or POOL.whole
    prev=1,
    pad=2,
)

assert POOL.size <= 64


@kernel
def frame_word(m, pfn):
    """What owns frame `pfn`: a tag (FRAME_GUEST …) in the low FRAME_TAG_BITS, above it a reference or number as its owner wants."""
    return read_once(m, FRAME_WORDS_AT + pfn)


@kernel
def frame_set_word(m, pfn, value):
    """Say what owns frame `pfn`, which the caller has been handed; never with the tag FRAME_FREE. Returns 0."""
    return write_once(m, FRAME_WORDS_AT + pfn, value)


@kernel
def frame_owner(tag, payload):
    """The frame word of `tag` and a non-negative `payload` below 2**59."""
    return (payload << FRAME_TAG_BITS) | tag


@kernel
def frame_tag(word):
    """The tag of a frame word."""
    return word & FRAME_TAG_MASK


@kernel
def frame_payload(word):
    """The payload of a frame word."""
    return shr(word, FRAME_TAG_BITS)


@kernel
def frames_mark(m, pfn, count, tag):
    """Set the words of `count` frames from `pfn` to `tag`. Returns 0."""
    for n in range(count):
        write_once(m, FRAME_WORDS_AT + pfn + n, tag)
    return 0


@kernel
def frame_is_out(m, pfn):
    """1 if frame `pfn` has been handed out, 0 if it is free or static."""
    tag = frame_tag(frame_word(m, pfn))
    if tag == FRAME_FREE:
        return 0
    return 1 if tag != FRAME_STATIC else 0


@kernel
def run_record(m, run):
    """Word index of the RUN record of run number `run`."""
    return read_once(m, FRAMES_AT + POOL.runs_at) + run * RUN.size


@kernel
def run_set(m, run, free, bump):
    """Write the RUN record of `run`: `free` frames free, none recycled, handed out up to index `bump`. Returns 0."""
    at = run_record(m, run)
    write_once(m, at + RUN.free, free)
    write_once(m, at + RUN.head, 0)
    write_once(m, at + RUN.bump, bump)
    return 0


@kernel
def run_link(m, list_at, run):
    """Put `run` first on the list whose head is the word `list_at`. POOL.lock is held. Returns 0."""
    first = read_once(m, list_at)
    at = run_record(m, run)
    write_once(m, at + RUN.next, first)
    write_once(m, at + RUN.prev, 0)
    if first != 0:
        write_once(m, run_record(m, first - 1) + RUN.prev, run + 1)
    write_once(m, list_at, run + 1)
    return 0


@kernel
def run_unlink(m, list_at, run):
    """Take `run` off the list whose head is the word `list_at`. POOL.lock is held. Returns 0."""
    at = run_record(m, run)
    following = read_once(m, at + RUN.next)
    before = read_once(m, at + RUN.prev)
    if following != 0:
        write_once(m, run_record(m, following - 1) + RUN.prev, before)
    if before != 0:
        write_once(m, run_record(m, before - 1) + RUN.next, following)
    else:
        write_once(m, list_at, following)
    return 0


@kernel
def pool_charge(m, frames, floor):
    """Take `frames` off the free count if `floor` remain. POOL.lock is held. Returns 1, or 0 (counted) if refused."""
    if read_once(m, FRAMES_AT + POOL.free) - frames < floor:
        write_once(m, FRAMES_AT + POOL.failures, read_once(m, FRAMES_AT + POOL.failures) + 1)
        write_once(m, FRAMES_AT + POOL.reclaim_wanted, 1)
        return 0
    pool_spend(m, frames)
    return 1


@kernel
def pool_spend(m, frames):
    """Take `frames` off the free count, which has them, and note the watermarks passed. POOL.lock is held. Returns 0."""
    free = read_once(m, FRAMES_AT + POOL.free)
    left = free - frames
    write_once(m, FRAMES_AT + POOL.free, left)
    write_once(m, FRAMES_AT + POOL.allocated, read_once(m, FRAMES_AT + POOL.allocated) + frames)
    low = read_once(m, FRAMES_AT + POOL.low)
    if left < low:
        if free >= low:
            write_once(m, FRAMES_AT + POOL.low_crossings, read_once(m, FRAMES_AT + POOL.low_crossings) + 1)
        write_once(m, FRAMES_AT + POOL.reclaim_wanted, 1)
    least = read_once(m, FRAMES_AT + POOL.min)
    if left <= least and free > least:
        write_once(m, FRAMES_AT + POOL.min_crossings, read_once(m, FRAMES_AT + POOL.min_crossings) + 1)
    return 0


@kernel
def pool_uncharge(m, frames):
    """Give `frames` back to the free count. POOL.lock is held. Returns 0."""
    free = read_once(m, FRAMES_AT + POOL.free) + frames
    write_once(m, FRAMES_AT + POOL.free, free)
    if free >= read_once(m, FRAMES_AT + POOL.high) and read_once(m, FRAMES_AT + POOL.reclaim_wanted) != 0:
        write_once(m, FRAMES_AT + POOL.reclaim_wanted, 0)
    return 0


@kernel
def pool_run(m):
    """Take a run that is all free off the pool: whole, else fresh. POOL.lock is held. Returns run + 1, or 0 if there is none."""
    run = read_once(m, FRAMES_AT + POOL.whole)
    if run != 0:
        run_unlink(m, FRAMES_AT + POOL.whole, run - 1)
        return run
    run = read_once(m, FRAMES_AT + POOL.fresh)
    if run == read_once(m, FRAMES_AT + POOL.fresh_end):
        return 0
    write_once(m, FRAMES_AT + POOL.fresh, run + 1)
    return run + 1
