"""status: the fields of mstatus, of which sstatus is a view.

Fixed: SXL = UXL = 2 (64 bits), FS = VS = XS = SD = 0 (no such extension), all little-endian. The word in HART holds the others.
"""

from __future__ import annotations

from gnomon.hart.exits import DONE, EVENTS
from gnomon.hart.state import HART, set_context
from gnomon.hart.trap import MIE, MPIE, MPP, MPRV, SIE, SPIE, SPP
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once

SUM, MXR, TVM, TW, TSR = 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22
UXL_SXL = (2 << 32) | (2 << 34)
SSTATUS_WRITABLE = SIE | SPIE | SPP | SUM | MXR
SSTATUS_MASK = SSTATUS_WRITABLE | (3 << 32)
MSTATUS_WRITABLE = SSTATUS_WRITABLE | MIE | MPIE | MPP | MPRV | TVM | TW | TSR
TRANSLATES = MPRV | MPP | SUM | MXR


@kernel
def write_status(m, v, value, writable):
    """Write the `writable` fields of mstatus. Returns EVENTS if that can have unmasked an interrupt, else DONE."""
    before = read_once(m, v + HART.mstatus)
    after = (before & ~writable) | (value & writable)
    if after & MPP == 2 << 11:  # MPP is WARL: the reserved privilege leaves it as it was
        after = (after & ~MPP) | (before & MPP)
    write_once(m, v + HART.mstatus, after)
    if (before ^ after) & TRANSLATES:
        set_context(m, v)
    return EVENTS if after & ~before & (MIE | SIE) else DONE
