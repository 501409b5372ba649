"""HART: the registers of one hart, and how it starts.

The record lies at v + HART_AT of the vCPU's block; the offsets below already contain HART_AT, so `v + HART.pc` is the word.

Owns       every word of HART; the decode cache of DECODE_WORDS words that HART.decode refers to (allocated by the machine)
Guarantees S1  x[0] is never written: decode sends writes to x0 to `scratch`, the word behind x31
           S2  only `mip`, `wake`, `mtimecmp` and `hsm` are ever written by other threads; each has a cache line of its own
Context    hart_reset runs before the hart's thread does, or on that thread
"""

from __future__ import annotations

from gnomon.lang import kernel, record
from gnomon.lang.atomics import read_once, store_release, write_once
from gnomon.mmu.context import mmu_set_context
from gnomon.mmu.tlb import TLB_AT
from gnomon.mmu.vcpu import HART_AT, VCPU

PRIV_U, PRIV_S, PRIV_M = 0, 1, 3
NO_RESERVATION = -1

DECODE_ENTRIES = 16384
"""Instructions that the decode cache holds: two words each, 256 KiB a hart of which only what is used is touched."""
DECODE_WORDS = 2 * DECODE_ENTRIES

HSM_STARTED, HSM_STOPPED, HSM_START_PENDING, HSM_SUSPENDED = 0, 1, 2, 4
"""States of a hart as SBI's HSM extension numbers them."""

_layout = record(
    "HART",
    "Registers of one hart: privileged specification names; offsets from the vCPU's reference.",
    x=32,
    scratch=1,  # S1: where writes to x0 go
    pc=1,
    next_pc=1,  # where the instruction in hand goes when it retires
    instret=1,  # instructions retired; minstret itself
    cycle_offset=1,  # mcycle = instret + cycle_offset
    priv=1,
    sbi=1,  # 1: the hart starts in S-mode and Gnomon plays the firmware below it
    decode=1,  # word ref of the decode cache
    fetch_page=1,  # the page that fetches come from, as last looked up
    fetch_addend=1,
    reservation_at=1,  # byte offset that LR reserved, NO_RESERVATION if none
    reservation_value=1,
    reservation_size=1,
    mstatus=1,
    mie=1,
    seip=1,  # the bit of mip.SEIP that M-mode software writes
    medeleg=1,
    mideleg=1,
    mtvec=1,
    mscratch=1,
    mepc=1,
    mcause=1,
    mtval=1,
    mcounteren=1,
    menvcfg=1,
    stvec=1,
    sscratch=1,
    sepc=1,
    scause=1,
    stval=1,
    scounteren=1,
    senvcfg=1,
    satp=1,
    pmpcfg=4,  # pmpcfg0 at +0 and pmpcfg2 at +2
    pmpaddr=16,
    stimecmp=1,
    time_offset_ns=1,  # time = (monotonic_ns - time_offset_ns) / 100
    timer_chunks=1,  # chunks until the clock is looked at again
    word=1,  # the decoded instruction that left the loop
    miss_va=1,  # MISS: the translation it needs
    miss_access=1,
    mmio_gpa=1,  # EXIT_MMIO: the access that the owner performs
    mmio_va=1,
    mmio_size=1,
    mmio_is_write=1,
    mmio_value=1,
    mmio_rd=1,  # word offset of the destination from v
    mmio_signed=1,
    sbi_value=1,  # SBI_PUTCHAR, SBI_WRITE, SBI_READ, SBI_SHUTDOWN: what sbi_call hands to the vm layer
    sbi_count=1,
    start_pc=1,  # HSM: where a started hart begins, and its a1
    start_opaque=1,
    pad=8,
    mip=8,  # S2
    wake=8,  # S2: a futex word, counted up whenever a sleeping hart should look again
    mtimecmp=8,  # S2
    hsm=8,  # S2
)
HART = type(_layout)(*(HART_AT + offset for offset in _layout))
"""Offsets from v; HART.size is one past the last word."""

ITLB_ENTRIES = 64
_fetch_layout = record(
    "FETCH",
    "What the hart knows about fetching; private to a run, never part of its state.",
    valid=1,  # HART.fetch_page and fetch_addend may be used
    flushes=1,  # VCPU.tlb_flushes that the entries are from
    itlb=2 * ITLB_ENTRIES,  # tag and addend of pages to fetch from
)
FETCH = type(_fetch_layout)(*(HART.size + offset for offset in _fetch_layout))
assert FETCH.size <= TLB_AT

MISA = (2 << 62) | (1 << 0) | (1 << 2) | (1 << 8) | (1 << 12) | (1 << 18) | (1 << 20)  # RV64 A C I M S U
MISA -= 1 << 64
ALL_EXCEPTIONS = 0xB3FF  # what medeleg can hold: all but the ecall of M-mode and reserved causes
S_INTERRUPTS = 0x222  # SSIP STIP SEIP
MENVCFG_STCE = -(1 << 63)  # stimecmp works (Sstc)
NEVER = (1 << 63) - 1


@kernel(entry=True)
def hart_reset(m, v, hart_id, pc, sbi, decode):
    """Power-on state: M-mode at `pc`, or S-mode when `sbi` is 1, with a0 = hart_id. The caller sets other registers (a1) afterwards."""
    for word in range(HART.x, FETCH.size):
        write_once(m, v + word, 0)
    write_once(m, v + HART.x + 10, hart_id)
    write_once(m, v + HART.pc, pc)
    write_once(m, v + HART.decode, decode)
    write_once(m, v + HART.sbi, sbi)
    write_once(m, v + HART.reservation_at, NO_RESERVATION)
    write_once(m, v + HART.mtimecmp, NEVER)
    write_once(m, v + HART.stimecmp, NEVER)
    write_once(m, v + HART.priv, PRIV_M)
    if sbi:
        write_once(m, v + HART.priv, PRIV_S)
        write_once(m, v + HART.medeleg, ALL_EXCEPTIONS)
        write_once(m, v + HART.mideleg, S_INTERRUPTS)
        write_once(m, v + HART.mcounteren, 7)
        write_once(m, v + HART.menvcfg, MENVCFG_STCE)
    store_release(m, v + HART.hsm, HSM_STARTED)
    return set_context(m, v)


@kernel
def set_context(m, v):
    """Tell the MMU the translation regimes that priv, satp and mstatus now ask for."""
    priv = read_once(m, v + HART.priv)
    status = read_once(m, v + HART.mstatus)
    data_priv = priv
    if status & (1 << 17):  # MPRV
        data_priv = (status >> 11) & 3
    next_slot = read_once(m, v + VCPU.next_slot)
    mmu_set_context(m, v, priv, data_priv, read_once(m, v + HART.satp), (status >> 18) & 3)
    if read_once(m, v + VCPU.next_slot) != next_slot:  # a root slot got another root: regimes mean something else now
        return forget_fetches(m, v)
    write_once(m, v + FETCH.valid, 0)
    return 0


@kernel
def forget_fetches(m, v):
    """Drop every translation that fetch.py keeps."""
    write_once(m, v + FETCH.valid, 0)
    for n in range(ITLB_ENTRIES):
        write_once(m, v + FETCH.itlb + 2 * n, 0)
    return 0
