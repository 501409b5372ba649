"""specification: what the explorer puts in the place of primitives that are no single access: page copies, word by word.

MODELLED_WORDS is how much of a page the model looks at; a scenario overrides it ("gnomon.check.specification.MODELLED_WORDS": 1).
"""

from gnomon.lang import kernel
from gnomon.lang.arena import PAGE_WORDS
from gnomon.lang.atomics import read_once, write_once

MODELLED_WORDS = PAGE_WORDS


@kernel
def copy_page(m, to, source):
    """Copy the modelled words of a page, one access at a time. Byte offsets."""
    for i in range(MODELLED_WORDS):
        write_once(m, (to >> 3) + i, read_once(m, (source >> 3) + i))
    return 0


@kernel
def clear_page(m, at):
    """Zero the modelled words of a page, one access at a time. Byte offset."""
    for i in range(MODELLED_WORDS):
        write_once(m, (at >> 3) + i, 0)
    return 0


SUBSTITUTES = {"copy_page": copy_page, "clear_page": clear_page}
