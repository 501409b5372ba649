"""context: which root and which permissions the hart's accesses use now, as a small number that tags its TLB entries.

regime = (root slot << 3 | MXR SUM USER bits) + 1.  Slot 0 is the direct root (M-mode, or satp bare); slots 1 … cache shadow roots by
the root's ppn, so that a kernel that switches satp on every trap finds its roots, and its TLB entries, again.

Context    the hart's own thread, in guest mode or out of it: everything here is private to the vCPU
"""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.tlb import tlb_flush_all
from gnomon.mmu.vcpu import ROOT_SLOTS, VCPU
from gnomon.mmu.walk import REGIME_SLOT_SHIFT, REGIME_USER

SATP_MODE_SHIFT = 60
SATP_PPN_MASK = (1 << 44) - 1
SATP_SV39 = 8
PRIV_MACHINE = 3


@kernel
def root_slot(m, v, priv, satp):
    """Root slot for accesses of privilege `priv` under `satp`; a new root takes the slot that was new longest ago."""
    if priv == PRIV_MACHINE or (satp >> SATP_MODE_SHIFT) & 15 != SATP_SV39:
        return 0
    ppn = satp & SATP_PPN_MASK
    for slot in range(1, ROOT_SLOTS):
        if read_once(m, v + VCPU.root_satp + slot) == ppn:
            return slot
    slot = read_once(m, v + VCPU.next_slot)
    if slot < 1 or slot >= ROOT_SLOTS:
        slot = 1
    write_once(m, v + VCPU.next_slot, slot + 1)
    write_once(m, v + VCPU.root_satp + slot, ppn)
    write_once(m, v + VCPU.root + slot, 0)
    tlb_flush_all(m, v)  # entries tagged with this slot are of the root it had before
    return slot


@kernel
def mmu_set_context(m, v, fetch_priv, data_priv, satp, sum_mxr):
    """Set the regimes for fetches at `fetch_priv` and loads and stores at `data_priv` (0 U, 1 S, 3 M); sum_mxr = SUM | MXR << 1."""
    slot = root_slot(m, v, fetch_priv, satp)
    flags = 0
    if fetch_priv == 0:
        flags = REGIME_USER
    write_once(m, v + VCPU.fetch_regime, (slot << REGIME_SLOT_SHIFT | flags) + 1)
    slot = root_slot(m, v, data_priv, satp)
    flags = 0
    if slot:
        flags = sum_mxr << 1
        if data_priv == 0:
            flags = flags | REGIME_USER
    write_once(m, v + VCPU.data_regime, (slot << REGIME_SLOT_SHIFT | flags) + 1)
    return 0


@kernel
def reset_context(m, v):
    """Forget every cached root and translation: the vCPU was created or its state was replaced."""
    for slot in range(ROOT_SLOTS):
        write_once(m, v + VCPU.root + slot, 0)
        write_once(m, v + VCPU.root_satp + slot, -1)
    write_once(m, v + VCPU.fetch_regime, 1)
    write_once(m, v + VCPU.data_regime, 1)
    return tlb_flush_all(m, v)
