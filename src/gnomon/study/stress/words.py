"""words: what the threads of a stress share, beside the machine's own words."""

from __future__ import annotations

from gnomon.lang import record

STREAM_WORDS = 8
"""Words of a vCPU behind CTL: its random number, its count of stores, how often in a row a store was refused, and from
STREAM_SWINGS on the page that each of its swinging entries leads to; a cache line of its own."""
STREAM_SWINGS = 4
PAIRS = 8
SWINGS = 4
MAX_STREAMS = 64

CTL = record(
    "STRESS_CTL",
    "What the threads of a stress share; the vCPUs' streams lie behind it.",
    iteration=8,
    stop=8,
    pause=8,
    parked=8,
    va=1,  # where page 0 lies for the guest, aliases STRIDE apart
    aliases=1,
    pages=1,
    tables=1,  # pages of guest tables at TABLE_WINDOW (edit.py)
    swings=1,  # where the table of the entries that swing lies for the guest, 0: there is none
    fences=1,  # how they are fenced
    movable=1,  # the host moves pages from this one on
    relog=1,  # the log may be turned off and on (churn.py)
    seed=1,
    nap_ns=1,
    churns=1,  # a bit each of KINDS
    counted=1,  # the bits of a vCPU's count that it stores: few, so that pages come to hold the same; -1: all
    pairs=2 * PAIRS,  # pages that are to share a frame (churn.py)
    zaps=1,
    harvests=1,
    wrong=8,  # stores that were led to another frame than the page's
    starved=8,
    stuck=8,  # 1 + the page of a store that does not retire
    swung=8,
    stores=8,
)
