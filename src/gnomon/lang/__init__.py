"""lang: the kernel dialect. One decorator, atomics with one meaning in two worlds, record layouts, one arena of words."""

from gnomon.lang.arena import PAGE_SHIFT, PAGE_SIZE, PAGE_WORDS, Arena
from gnomon.lang.kernel import kernel, twin
from gnomon.lang.record import RECORDS, record

__all__ = ["PAGE_SHIFT", "PAGE_SIZE", "PAGE_WORDS", "RECORDS", "Arena", "kernel", "record", "twin"]
