"""edit: what the vCPUs of a stress do to their own guest tables, through a mapping of them, as a kernel does.

    rewrite     any entry of any table, stored again as it is: whatever was made from it goes, or is compared at a fence
    swing       an entry of this vCPU's own is pointed at another page, fenced, and stored through, now and later: the store must get to
                that page
    peek        a load through an entry of somebody else's, which may lead where it led before, but to a page as it is backed now

CTL.fences says how a swing fences: FENCE_NONE is what a guest must not do, and the test that the oracle can fail.
Context    guest mode before and after, which a tracked store and a fence leave in between
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shr, urem
from gnomon.lang.atomics import fetch_add, read_once, write_once
from gnomon.lang.guest_memory import amo_or64, load64, store64
from gnomon.mmu.fence import mmu_sfence
from gnomon.mmu.slot import backing, index_of_frame
from gnomon.mmu.tlb import TLB_READ, TLB_WRITE, tlb_host
from gnomon.mmu.track import tracked_begin, tracked_end
from gnomon.mmu.translate import XL_OK, XL_TRACKED, mmu_translate
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.study.stress.words import CTL, STREAM_SWINGS, STREAM_WORDS, SWINGS

TABLE_WINDOW = 3 << 30
SWING_WINDOW = 4 << 30
FENCE_NONE, FENCE_ADDRESS, FENCE_WHOLE, FENCE_EITHER = 0, 1, 2, 3
NOWHERE = -1
LEAF = 0x47  # V R W A
LEAF_D = 0x80


@kernel
def reach(m, v, va, access):
    """Byte offset that an access to `va` gets to; NOWHERE if it was refused or undone by others too often in a row."""
    regime = read_once(m, v + VCPU.data_regime)
    at = tlb_host(m, v, va, access, regime)
    if at < 0 and mmu_translate(m, v, va, access) == XL_OK:
        at = tlb_host(m, v, va, access, regime)
    return at if at >= 0 else NOWHERE


@kernel
def put_entry(m, v, va, value, keep):
    """Store `value` to the PTE mapped at `va`, or with `keep` what it holds. Returns 0 if the MMU refused.

    A store to a table that the MMU tracks is carried out under mmu_lock; one to an unsync table goes straight to RAM."""
    at = tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime))
    if at < 0:
        status = mmu_translate(m, v, va, TLB_WRITE)
        if status == XL_TRACKED:
            at = tracked_begin(m, v)
            if at < 0:
                return 0
            store64(m, at, load64(m, at) if keep else value)
            tracked_end(m, v, at, 8)
            return 1
        if status != XL_OK:
            return 0
        at = tlb_host(m, v, va, TLB_WRITE, read_once(m, v + VCPU.data_regime))
        if at < 0:
            return 0  # undone by others too often in a row
    if keep:
        amo_or64(m, at, 0)  # a plain store could undo A and D that another vCPU's fault sets meanwhile
    else:
        store64(m, at, value)
    return 1


@kernel
def fence(m, v, ctl, va, x):
    """SFENCE.VMA of `va` or whole, as CTL.fences says."""
    fences = read_once(m, ctl + CTL.fences)
    if fences == FENCE_NONE:
        return 0
    return mmu_sfence(m, v, va, int(fences == FENCE_ADDRESS or (fences == FENCE_EITHER and x & 1 == 1)))


@kernel
def rewrite_table(m, v, ctl, x):
    """Store an entry of some guest table again as it is, and fence some address or everything."""
    va = TABLE_WINDOW + urem(shr(x, 33), read_once(m, ctl + CTL.tables)) * 4096 + (shr(x, 20) & 511) * 8
    put_entry(m, v, va, 0, 1)
    return fence(m, v, ctl, read_once(m, ctl + CTL.va) + (shr(x, 40) & 63) * 4096, shr(x, 50))


@kernel
def swing(m, v, ctl, number, n, page, x):
    """Point entry `n` of vCPU `number` at `page`, and fence. Returns the page it leads to now: the one before if the MMU refused."""
    leads = ctl + CTL.size + number * STREAM_WORDS + STREAM_SWINGS + n
    slot = number * SWINGS + n
    gfn = read_once(m, read_once(m, v + VCPU.vm) + VM.base_gfn) + page
    bits = LEAF + (shr(x, 48) & 1) * LEAF_D
    if put_entry(m, v, read_once(m, ctl + CTL.swings) + slot * 8, (gfn << 10) | bits, 0) == 0:
        return read_once(m, leads)
    fetch_add(m, ctl + CTL.swung, 1)
    fence(m, v, ctl, SWING_WINDOW + slot * 4096, shr(x, 50))
    write_once(m, leads, page)
    return page


@kernel
def peek(m, v, ctl, x):
    """Load through an entry of whomever: what it leads to is a page of RAM, in the frame that is behind that page now."""
    slots = read_once(m, read_once(m, v + VCPU.vm) + VM.harts) * SWINGS
    at = reach(m, v, SWING_WINDOW + urem(shr(x, 33), slots) * 4096, TLB_READ)
    if at >= 0 and backing(m, read_once(m, v + VCPU.vm), index_of_frame(m, at >> 12)) != at >> 12:
        fetch_add(m, ctl + CTL.wrong, 1)
    return 0
