"""poison: patterns in free memory, so that test builds notice who writes to what is not his.

Counterpart in Linux: CONFIG_PAGE_POISONING and SLUB's poisoning.

Owns       POOL.debug and the counters of faults (frames.py has the record)
Guarantees P1  with debug on, a word written between free and the next allocation is counted in POOL.write_after_free
           P2  type-stable objects are never poisoned: readers may still be inside (S-2), and a stale reader must find an object of the
               type, not a pattern. What is checked instead is that they are freed in the state their constructor left (slab.py)
Context    any; each call sweeps what it is given. One predictable load where debug is off
"""

from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.kernel import kernel

POISON_FRAME = 0x5AF7AE5AF7AE5AF7
POISON_OBJECT = 0x6B6B6B6B6B6B6B6B


@kernel
def poison_fill(m, at, words, pattern):
    """Fill `words` words from `at` with `pattern`. Returns 0."""
    for n in range(words):
        write_once(m, at + n, pattern)
    return 0


@kernel
def poison_broken(m, at, words, pattern):
    """How many of the `words` words from `at` are not `pattern`."""
    broken = 0
    for n in range(words):
        if read_once(m, at + n) != pattern:
            broken += 1
    return broken
