"""bitmap: the words of the dirty log, and a summary of them: which cache lines of the bitmap may hold a set bit.

Most of a large guest is clean. A harvest reads the summary, one bit for LINE words of the bitmap (512 pages), and only the lines it names:
its time grows with the dirty pages and not with the guest. A bitmap of one word needs no summary: the word is its one line.

Owns       VM.dirty_lines[n]     64 lines a word; set by who sets a bit of the line, after it; taken by a harvest before it looks there
           VM.snapshot[w]        the bits taken; VM.snapshot_lines[n]: the lines that hold any. VM.harvester's holder alone writes them
Guarantees B1  a bit whose setter is past set_dirty() has its line in the summary, or in the hands of a harvest that sees the bit
Context    anywhere
Progress   wait-free

    setter                              harvest                           with either side's order wrong
    sets the bit                                                          *finds the line's bit set already*
                                        takes the line's bit
                                        finds no bit in the line
    finds the line's bit clear: sets it                                   *sets the bit*: no harvest comes to this line: **lost**
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import ctz, wrap
from gnomon.lang.atomics import fetch_or, read_once, write_once, xchg
from gnomon.mmu.vm_words import VM

LINE_SHIFT = 3
LINE = 1 << LINE_SHIFT
"""Words of a cache line."""
PLAIN_WORDS = 1
"""Words of the largest bitmap without a summary. The checker says 0 where the summary is what it looks at."""


@kernel
def words_of(pages):
    """Words of a bitmap of `pages` pages."""
    return (pages + 63) >> 6


@kernel
def dirty_words(m, vm):
    """Words of a bitmap of this machine."""
    return words_of(read_once(m, vm + VM.pages))


@kernel
def summary_words(words):
    """Words of the summary of a bitmap of `words` words; 0 for a plain one."""
    return 0 if words <= PLAIN_WORDS else words_of((words + LINE - 1) >> LINE_SHIFT)


@kernel
def whole_lines(words):
    """`words` rounded up to cache lines."""
    return (words + LINE - 1) & -LINE


@kernel
def bitmap_size(pages):
    """Words of a bitmap of `pages` pages and its summary, each in cache lines of its own."""
    return whole_lines(words_of(pages)) + whole_lines(summary_words(words_of(pages)))


@kernel
def line_groups(m, vm):
    """How often take_lines() is to be asked for the whole bitmap."""
    words = summary_words(dirty_words(m, vm))
    return words if words else 1


@kernel
def line_word(group, lines):
    """First word of the lowest line of `lines`, of summary word `group`."""
    return ((group << 6) + ctz(lines)) << LINE_SHIFT


@kernel
def line_end(m, vm, first):
    """The word after the line that begins at word `first`."""
    words = dirty_words(m, vm)
    return first + LINE if first + LINE < words else words


@kernel
def drop_line(lines):
    """`lines` without the lowest."""
    return wrap(lines & (lines - 1))


@kernel(inline=True)
def set_dirty(m, vm, w, bits):
    """Set `bits` of word `w` of the bitmap. Full barrier before: what made the pages writable is visible by then (I-7)."""
    fetch_or(m, read_once(m, vm + VM.dirty) + w, bits)  # full barrier, pairs with that of take_lines(): one of the two sees the other (B1)
    summary = read_once(m, vm + VM.dirty_lines)
    if summary:
        at = summary + (w >> (LINE_SHIFT + 6))
        line = 1 << ((w >> LINE_SHIFT) & 63)
        if read_once(m, at) & line == 0:
            fetch_or(m, at, line)
    return 0


@kernel
def take_lines(m, vm, group):
    """Take summary word `group`: lines of the bitmap where bits may be set. As the holder of VM.harvester, who then looks at each."""
    summary = read_once(m, vm + VM.dirty_lines)
    if summary == 0:
        return 1
    if read_once(m, summary + group) == 0:
        return 0
    return xchg(m, summary + group, 0)  # full barrier, pairs with that of set_dirty(): forbids "line taken, and a bit in it not seen"


@kernel(inline=True)
def add_taken(m, vm, w, bits):
    """Put the bits taken from word `w` into the snapshot. As the holder of VM.harvester."""
    at = read_once(m, vm + VM.snapshot) + w
    write_once(m, at, read_once(m, at) | bits)
    summary = read_once(m, vm + VM.snapshot_lines)
    if summary:
        at = summary + (w >> (LINE_SHIFT + 6))
        write_once(m, at, read_once(m, at) | 1 << ((w >> LINE_SHIFT) & 63))
    return 0


@kernel
def end_lines(m, vm, group):
    """Take summary word `group` of the snapshot: lines where add_taken() put bits."""
    summary = read_once(m, vm + VM.snapshot_lines)
    if summary == 0:
        return 1
    lines = read_once(m, summary + group)
    if lines:
        write_once(m, summary + group, 0)
    return lines


@kernel
def empty_snapshot(m, vm, back):
    """Empty the snapshot; with `back` set its bits in the bitmap again. As the holder of VM.harvester."""
    snapshot = read_once(m, vm + VM.snapshot)
    for group in range(line_groups(m, vm)):
        lines = end_lines(m, vm, group)
        while lines:
            first = line_word(group, lines)
            for w in range(first, line_end(m, vm, first)):
                bits = read_once(m, snapshot + w)
                if bits:
                    if back:
                        set_dirty(m, vm, w, bits)
                    write_once(m, snapshot + w, 0)
            lines = drop_line(lines)
    return 0


@kernel
def forget_dirty(m, vm):
    """Empty the bitmap."""
    dirty = read_once(m, vm + VM.dirty)
    for w in range(dirty_words(m, vm)):
        if read_once(m, dirty + w):
            xchg(m, dirty + w, 0)
    for group in range(line_groups(m, vm)):
        take_lines(m, vm, group)
    return 0
