"""words: what the terms of the report mean, for a reader who does not write hypervisors every day."""

from __future__ import annotations

from html import escape

WORDS = {
    "claim": "what somebody said in the 2013 thread. Shown: every search below it ended as the claim says; refuted: one did not. "
    "In the run: gnomon pressure showed it on the running machine too",
    "proved": "every interleaving was looked at, within the bounds that stand beside it, and none breaks the property",
    "violated": "some interleaving breaks the property; the shortest one found is shown, a step an access to shared memory",
    "bounded": "a limit of time or memory stopped the search: nothing was found, nothing is proved",
    "sc, tso": "memory models: sequential consistency; x86's total store order: a store waits in its CPU's buffer before others see it",
    "shadow page": "a page table that the hardware walks in place of the guest's own. The host makes it, zaps it and takes its memory back",
    "spte": "an entry of one. W: writable now. MMU_W: a fault may make it writable without the lock. Level 1 maps a page, 2 a table",
    "gfn": "the number of a page of guest memory",
    "rmap": "the reverse map: for a gfn, the sptes that map it",
    "harvest": "taking the log of written pages; each is write-protected again, so that the next store to it is seen",
    "protector": "the thread that harvests; lockless: it holds no lock while it takes W away",
    "fast fault": "a fault on a page that is write-protected for the log only, put right without the lock",
    "reclaim": "how the memory of a zapped shadow page is given back",
    "RCU, grace period": "readers hold no lock; what they may still see is freed after a grace period, when all that were there have left",
    "type-stable slab": "memory for objects of one kind: a freed one is used again at once, but keeps its kind until a grace period ends",
    "n_max": "how many shadow pages a machine may have",
    "low, min": "watermarks of free frames: below low the shrinker takes caches back, below min an allocation fails",
}


def words() -> str:
    """All of them, folded."""
    rows = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS.items())
    return f"<details class=glossary><summary>What the words mean</summary><dl>{rows}</dl></details>"
