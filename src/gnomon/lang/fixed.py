"""fixed: the part of every arena that lies at known places, the map of all of them on one page (word indices).

    0        null: nothing lives in the first 64 words
    64       RCU state                         sync/rcu.py
    128      frame pool state                  mem/frames.py
    192      MMU state of the process          mmu/
    256      slab caches, CACHE_WORDS each     mem/slab.py
    512      one block of THREAD_WORDS a thread: its RCU words and queue, then its slab magazines
    ...      one word a frame (what owns it)   mem/frames.py
    then     the frames that are handed out

These are constants for compiled kernels; a checker's small arena overrides MAX_THREADS.
"""

from gnomon.lang.arena import PAGE_WORDS

RCU_AT = 64
FRAMES_AT = 128
MMU_AT = 192
CACHES_AT = 256
CACHE_WORDS = 32
MAX_CACHES = 8
THREADS_AT = 512
THREAD_WORDS = 256
THREAD_RCU_WORDS = 64
"""Words at the start of a thread's block that belong to RCU; magazines of MAGAZINE_WORDS a cache follow."""
MAGAZINE_WORDS = 16
MAX_THREADS = 64
FRAME_WORDS_AT = THREADS_AT + MAX_THREADS * THREAD_WORDS

assert MAX_CACHES * CACHE_WORDS <= THREADS_AT - CACHES_AT
assert THREAD_RCU_WORDS + MAX_CACHES * MAGAZINE_WORDS <= THREAD_WORDS
assert FRAME_WORDS_AT % PAGE_WORDS == 0
