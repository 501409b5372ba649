"""A flat stand-in for the MMU: RAM at 0x8000_0000 is one run of the arena, no translation, no tracked pages.

install() must run before gnomon.hart is imported, in a process of its own: hart's kernels bind what they import.
"""

import sys
import types

from gnomon.lang import kernel
from gnomon.lang.arith import ult
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.tlb import tlb_fill, tlb_flush_all
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm import VM

XL_OK, XL_MMIO, XL_PAGE_FAULT, XL_ACCESS_FAULT, XL_TRACKED, XL_NOMEM = range(6)
RAM = 0x8000_0000


@kernel
def mmu_translate(m, v, va, access):
    """RAM hits, all else is a device. VM.backing holds the byte offset of RAM, VM.pages its pages."""
    vm = read_once(m, v + VCPU.vm)
    if ult(va - RAM, read_once(m, vm + VM.pages) << 12):
        regime = read_once(m, v + VCPU.fetch_regime) if access == 2 else read_once(m, v + VCPU.data_regime)
        tlb_fill(m, v, va, access, regime, read_once(m, vm + VM.backing) + ((va - RAM) & -4096))
        return XL_OK
    write_once(m, v + VCPU.fault_gpa, va)
    return XL_MMIO


@kernel
def mmu_set_context(m, v, fetch_priv, data_priv, satp, sum_mxr):
    """Regimes by privilege, so that a forgotten change of regime is a wrong hit or a miss."""
    write_once(m, v + VCPU.fetch_regime, 1 + fetch_priv)
    write_once(m, v + VCPU.data_regime, 1 + data_priv + 4 * sum_mxr)
    return 0


@kernel
def mmu_sfence(m, v, va, by_address):
    """Forget everything."""
    return tlb_flush_all(m, v)


@kernel
def tracked_begin(m, v):
    """Never called."""
    return -1


@kernel
def tracked_end(m, v, at, size):
    """Never called."""
    return 0


def install():
    for name, parts in {
        "translate": ("XL_OK", "XL_MMIO", "XL_PAGE_FAULT", "XL_ACCESS_FAULT", "XL_TRACKED", "XL_NOMEM", "mmu_translate"),
        "context": ("mmu_set_context", "mmu_sfence"),
        "track": ("tracked_begin", "tracked_end"),
    }.items():
        module = types.ModuleType(f"gnomon.mmu.{name}")
        for part in parts:
            setattr(module, part, globals()[part])
        sys.modules[module.__name__] = module
