"""context: the words that the step function, its run time and the search loop share, and the shape of a thread's block.

block of a thread   [pc, buffered, awaited, held, (address, value) * BUFFER, registers …]
    pc        0 when finished
    buffered  stores in the store buffer, oldest first; what lies behind them is 0 (canonical)
    awaited   threads whose buffers membarrier() still waits for, with bit 62 set while it waits; a thread in futex_wait() keeps here
              the word it sleeps on, shifted by ASLEEP_SHIFT, with ASLEEP set, and WOKEN once it was woken
    held      locks held, as bits 16 … 61 of a lockset
"""

FIELDS = (
    "map",  # pointer, int32 for each word of the arena: its slot, -1 when no step has changed it
    "initial",  # pointer, int64 for each word of the arena
    "words",  # how many words the arena has
    "memory",  # pointer, int64 for each slot: current value
    "origin",  # pointer, int64 for each slot: value before the first step
    "significant",  # pointer, int64 for each word of the arena: the bits that anybody looks at; stores leave the others as they were
    "address_of",  # pointer, int64 for each slot: word index in the arena
    "slots",  # slots in use
    "slot_limit",
    "room",  # slots that a step may take: slot_limit, or none more while several workers share the numbering
    "full",  # 1 when a slot or lock bit was wanted beyond its room …
    "wanted",  # … for this word, negative for the bit of a lock
    "journal",  # pointer, (slot, old value) for each change since journaled was set to 0
    "journaled",
    "blocks",  # pointer, block of thread 0
    "stride",  # words of a block
    "threads",  # threads that have a store buffer
    "tso",  # 1 under x86-TSO
    "buffer",  # entries of a store buffer
    "buffer_full",  # 1 when a store had to wait for room
    "early",  # 1: a store is nobody's business until it leaves the buffer; else membarrier() may ask for it
    "peek",  # 1: stop before an access that is visible to others; 2: every access is fine, nothing is recorded
    "lone",  # thread bits of locksets that count: not those of threads that run the same program, which may stand for each other
    "guard",  # pointer, int64 for each word of the arena, and behind these for the life of each granule, which every access to the granule
    # reads and a store that makes it free or not free writes: the candidate lockset of the reduction, as it was when the level began
    "narrowed",  # pointer, the same, as this worker's accesses have left it
    "narrows",  # how often they took something away
    "broken",  # how often something that steps had relied on turned out wrong: a word's lockset, a lock, significant bits
    "address",  # of the last access
    "value",  # its result, or the value stored
    "bytes",  # of the last access to a part of a word: a bit each
    "time",  # the time of a futex_wait(): 0 never comes, 1 may come and nothing counts on it, 2 comes for certain
    "timed",  # 1 when the last step was the end of a time that nothing counts on
    "fanout",  # choices of the last `choose`
    "choice",
    "violation",  # see VIOLATIONS
    "line",  # source line of a broken expectation
    "owners",  # memory safety: word index of the owner of the first granule, 0 when not checked
    "owned_from",  # first word that belongs to a granule
    "owned_to",
    "owner_mask",  # the bits of an owner word that are 0 while the granule is free
    "granule",  # log2 of the words in a granule
    "mortal",  # the life that the store about to be made begins or ends, 0 for none …
    "life",  # … that the last access has to do with where others can tell, 0 for none …
    "life_ends",  # … and 1 when it is a store that begins or ends it
    "lock_words",  # pointer, int64 for each lock bit: its word index
    "locks",
    "lock_room",  # lock bits that a step may take
    "no_locks",  # how many lock bits, from the first, belong to locks that do not exclude
    "overlap",  # lock bits that two threads held at once, or that were taken or given without touching the lock's word
)
AT = {name: i for i, name in enumerate(FIELDS)}
HEADER = 4
"""Words of a block before its store buffer."""

VISIBLE, BLOCKED, INVISIBLE, FINISHED, VIOLATED, STOPPED = 0, 1, 2, 3, 4, 5
"""What one step returns: it was an access others may see; it has to wait; it was one nobody can see; nothing left to do; a
property is broken; it would be visible (asked by `peek`)."""

VIOLATIONS = {
    1: "null pointer",
    2: "outside memory",
    3: "expectation",
    4: "use after free",
    5: "misaligned access",
}
PART_SHIFT = 40
ADDRESS_BITS = (1 << PART_SHIFT) - 1
"""An address in a store buffer: the word, and from PART_SHIFT on the bytes of it that are stored, 0 for all of them."""
READ_ONLY = 1 << 62
"""Lockset bit of words that no step writes."""
ASLEEP, WOKEN, ASLEEP_SHIFT = 1 << 61, 1 << 60, 8
"""Of `awaited`. The low bits stay clear: a drain takes the bit of its thread out of everybody's."""
FIRST_LOCK = 16
MAX_LOCKS = 46
EVERYTHING = (1 << 63) - 1
