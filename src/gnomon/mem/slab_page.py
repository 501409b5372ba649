"""slab_page: the pages of a slab cache, and which objects in them are free.

Counterpart in Linux: struct slab and the node lists of SLUB; here a bitmap instead of a free list, so nothing is written into a free
object and there is nothing to put outside it (S-8).

Owns       CACHE at cache_at(cache), under CACHE.lock; SLAB_PAGE, the first words of each page of small objects; the words of frames that
           are in a cache and not live
Guarantees S1  an object is in one place: in its page's bitmap, in one magazine, or live
           S2  a page begins constructed: zero where the cache says so; the constructor never runs again (S-5)
           S3  CACHE.out is the number of objects that are not in a bitmap, CACHE.pages the number of pages
           S8  a page that waits for its grace period is memory of this cache until its callback has it: under CACHE.lock it is taken back,
               as it is, and used at once (S-1, S-2). Then it is the callback's no more; when it is empty again it waits for a grace
               period that begins after that
Context    "CACHE.lock is held" says who needs it; POOL.lock nests inside no cache lock: pages are got and given back outside
Progress   a few loads and stores an object

Objects of a whole page have no header: the frame word links free ones, and belongs to the object's owner while it is live.
"""

from gnomon.lang.arena import PAGE_WORDS
from gnomon.lang.arith import ctz, shl, udiv
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.fixed import CACHE_WORDS, CACHES_AT, FRAMES_AT
from gnomon.lang.kernel import kernel
from gnomon.lang.record import record
from gnomon.mem.frames import frame_alloc, frame_alloc_zeroed
from gnomon.mem.poison import POISON_OBJECT, poison_fill
from gnomon.mem.pool import FRAME_SLAB, PAGE_WORDS_SHIFT, POOL, frame_owner, frame_payload, frame_set_word, frame_word
from gnomon.sync.state import RCU_HEAD

TYPESAFE = 1
"""Pages go back to the pool only after a grace period; objects are reusable at once (SLAB_TYPESAFE_BY_RCU)."""
CTOR_ZERO = 2
"""Objects are constructed as zeroes and are freed as zeroes. Pages of TYPESAFE caches begin as zeroes in any case."""

LEAST_OBJECT_WORDS = 8

CACHE = record(
    "CACHE",
    "A slab cache.",
    lock=1,
    object_words=1,  # 0: not set up
    flags=1,
    per_page=1,  # objects a page
    first=1,  # word of a page at which its first object starts; 0 for objects of a whole page
    partial=1,  # first page with free and other objects
    empty=1,  # first page of free objects only; for objects of a whole page, the pfn of the first free one
    empties=1,  # how many are on that list
    pages=1,  # pages in the cache, empty ones too
    out=1,  # objects in magazines or live
    waiting=1,  # pages that wait for a grace period
    batch=1,  # first pfn of those, linked by their frame words
    head=RCU_HEAD.size,  # their callback
    queued=1,  # 1 from call_rcu() until the callback has run, also when every page was taken back
    capacity=1,  # objects a magazine holds at most
    grown=1,  # pages ever got from the pool
    shrunk=1,  # pages ever given up
    taken_back=1,  # of those, pages used again before their callback ran
    peak=1,  # most pages at once, those that wait among them
)

SLAB_PAGE = record("SLAB_PAGE", "Header of a page of small objects.", cache=1, free=1, next=1, prev=1)

assert CACHE.size <= CACHE_WORDS


@kernel
def cache_at(cache):
    """Word index of the CACHE record of cache number `cache`."""
    return CACHES_AT + cache * CACHE_WORDS


@kernel
def page_link(m, at, page):
    """Put `page` first on the partial list of the cache at `at`. CACHE.lock is held. Returns 0."""
    first = read_once(m, at + CACHE.partial)
    write_once(m, page + SLAB_PAGE.next, first)
    write_once(m, page + SLAB_PAGE.prev, 0)
    if first != 0:
        write_once(m, first + SLAB_PAGE.prev, page)
    write_once(m, at + CACHE.partial, page)
    return 0


@kernel
def page_unlink(m, at, page):
    """Take `page` off the partial list of the cache at `at`. CACHE.lock is held. Returns 0."""
    following = read_once(m, page + SLAB_PAGE.next)
    before = read_once(m, page + SLAB_PAGE.prev)
    if following != 0:
        write_once(m, following + SLAB_PAGE.prev, before)
    if before != 0:
        write_once(m, before + SLAB_PAGE.next, following)
    else:
        write_once(m, at + CACHE.partial, following)
    return 0


@kernel
def empty_push(m, at, pfn):
    """Put the page in frame `pfn`, all free, on the empty list of the cache at `at`. CACHE.lock is held. Returns 0."""
    first = read_once(m, at + CACHE.empty)
    if read_once(m, at + CACHE.first) == 0:
        frame_set_word(m, pfn, frame_owner(FRAME_SLAB, first))
        write_once(m, at + CACHE.empty, pfn)
    else:
        page = pfn << PAGE_WORDS_SHIFT
        write_once(m, page + SLAB_PAGE.next, first)
        write_once(m, at + CACHE.empty, page)
    write_once(m, at + CACHE.empties, read_once(m, at + CACHE.empties) + 1)
    return 0


@kernel
def empty_pop(m, at):
    """Take a page off the empty list of the cache at `at`. CACHE.lock is held. Returns its first word, or 0 if the list is empty."""
    first = read_once(m, at + CACHE.empty)
    if first == 0:
        return 0
    write_once(m, at + CACHE.empties, read_once(m, at + CACHE.empties) - 1)
    if read_once(m, at + CACHE.first) == 0:
        write_once(m, at + CACHE.empty, frame_payload(frame_word(m, first)))
        return first << PAGE_WORDS_SHIFT
    write_once(m, at + CACHE.empty, read_once(m, first + SLAB_PAGE.next))
    return first


@kernel
def page_claim(m, at, pfn):
    """Say that frame `pfn` is a page of the cache at `at`, in no list. Returns 0."""
    payload = 0
    if read_once(m, at + CACHE.first) != 0:
        payload = pfn << PAGE_WORDS_SHIFT
    return frame_set_word(m, pfn, frame_owner(FRAME_SLAB, payload))


@kernel
def page_new(m, t, cache):
    """Get a page for `cache` from the pool and construct it; in no list yet. No lock is held. Returns its pfn or 0."""
    at = cache_at(cache)
    flags = read_once(m, at + CACHE.flags)
    pfn = frame_alloc_zeroed(m, t) if flags != 0 else frame_alloc(m, t)
    if pfn == 0:
        return 0
    page = pfn << PAGE_WORDS_SHIFT
    first = read_once(m, at + CACHE.first)
    if flags == 0 and read_once(m, FRAMES_AT + POOL.debug) != 0:
        poison_fill(m, page + first, PAGE_WORDS - first, POISON_OBJECT)
    page_claim(m, at, pfn)
    if first != 0:
        write_once(m, page + SLAB_PAGE.cache, cache)
        write_once(m, page + SLAB_PAGE.free, shl(1, read_once(m, at + CACHE.per_page)) - 1)
    return pfn


@kernel
def page_add(m, at, pfn):
    """Add a new page, all free, to the cache at `at`. CACHE.lock is held. Returns 0."""
    pages = read_once(m, at + CACHE.pages) + 1
    write_once(m, at + CACHE.pages, pages)
    write_once(m, at + CACHE.grown, read_once(m, at + CACHE.grown) + 1)
    held = pages + read_once(m, at + CACHE.waiting)
    if held > read_once(m, at + CACHE.peak):
        write_once(m, at + CACHE.peak, held)
    return empty_push(m, at, pfn)


@kernel
def batch_pop(m, at):
    """Take a page off those of the cache at `at` that wait. CACHE.lock is held. Returns its pfn or 0."""
    pfn = read_once(m, at + CACHE.batch)
    if pfn != 0:
        write_once(m, at + CACHE.batch, frame_payload(frame_word(m, pfn)))
        write_once(m, at + CACHE.waiting, read_once(m, at + CACHE.waiting) - 1)
    return pfn


@kernel
def page_take_back(m, at):
    """Take a page that waits back into the cache at `at`, all free and constructed as it is (S8); in no list. CACHE.lock is held.
    Returns its first word, or 0 if none waits."""
    pfn = batch_pop(m, at)
    if pfn != 0:
        page_claim(m, at, pfn)
        write_once(m, at + CACHE.pages, read_once(m, at + CACHE.pages) + 1)
        write_once(m, at + CACHE.taken_back, read_once(m, at + CACHE.taken_back) + 1)
    return pfn << PAGE_WORDS_SHIFT


@kernel
def object_take(m, at):
    """Take a free object from the pages of the cache at `at`, those that wait last. CACHE.lock is held. Returns its reference, or 0 if
    all are in use and none waits."""
    first = read_once(m, at + CACHE.first)
    page = 0
    if first != 0:
        page = read_once(m, at + CACHE.partial)
    if page == 0:
        page = empty_pop(m, at)
        if page == 0:
            page = page_take_back(m, at)
        if page == 0:
            return 0
        if first != 0:
            page_link(m, at, page)
    write_once(m, at + CACHE.out, read_once(m, at + CACHE.out) + 1)
    if first == 0:
        return page
    free = read_once(m, page + SLAB_PAGE.free)
    write_once(m, page + SLAB_PAGE.free, free & (free - 1))
    if (free & (free - 1)) == 0:
        page_unlink(m, at, page)
    return page + first + ctz(free) * read_once(m, at + CACHE.object_words)


@kernel
def object_give(m, at, ref):
    """Put an object back into its page. CACHE.lock is held. Returns 0, or -1 (counted, nothing changed) if it is free there already."""
    first = read_once(m, at + CACHE.first)
    page = ref & ~(PAGE_WORDS - 1)
    if first != 0:
        free = read_once(m, page + SLAB_PAGE.free)
        bit = shl(1, udiv(ref - page - first, read_once(m, at + CACHE.object_words)))
        if (free & bit) != 0:
            fetch_add(m, FRAMES_AT + POOL.double_free, 1)
            return -1
        write_once(m, page + SLAB_PAGE.free, free | bit)
        if free == 0:
            page_link(m, at, page)
        if (free | bit) == shl(1, read_once(m, at + CACHE.per_page)) - 1:
            page_unlink(m, at, page)
            empty_push(m, at, page >> PAGE_WORDS_SHIFT)
    else:
        empty_push(m, at, page >> PAGE_WORDS_SHIFT)
    write_once(m, at + CACHE.out, read_once(m, at + CACHE.out) - 1)
    return 0


@kernel
def empty_drop(m, at):
    """Take an empty page out of the cache at `at`. CACHE.lock is held. Returns its pfn or 0."""
    page = empty_pop(m, at)
    if page != 0:
        write_once(m, at + CACHE.pages, read_once(m, at + CACHE.pages) - 1)
        write_once(m, at + CACHE.shrunk, read_once(m, at + CACHE.shrunk) + 1)
    return page >> PAGE_WORDS_SHIFT


@kernel
def empties_collect(m, at):
    """Have every empty page of the cache at `at` wait for a grace period; none waits yet. CACHE.lock is held. Returns how many."""
    last = 0
    moved = 0
    pfn = empty_drop(m, at)
    while pfn != 0:
        frame_set_word(m, pfn, frame_owner(FRAME_SLAB, last))
        last = pfn
        moved += 1
        pfn = empty_drop(m, at)
    write_once(m, at + CACHE.batch, last)
    write_once(m, at + CACHE.waiting, moved)
    return moved
