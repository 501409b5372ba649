"""guest PTE: an entry of the guest's own tables. Specification: RISC-V Privileged, "Sv39: Page-Based 39-bit Virtual-Memory System"."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.arith import shr
from gnomon.mmu.shadow_page import TABLE_SHIFT
from gnomon.mmu.spte import ACCESS_ALL, ACCESSED, DIRTY, EXECUTABLE, READABLE, USER, WRITABLE

PTE_VALID = 1
PTE_PPN_SHIFT = 10
PTE_PPN_MASK = (1 << 44) - 1
PTE_RESERVED_SHIFT = 54


@kernel
def is_malformed(pte, level):
    """1 if a valid PTE breaks the format: reserved bits, W without R, a non-leaf with A, D or U, a misaligned superpage."""
    if shr(pte, PTE_RESERVED_SHIFT) or pte & (READABLE | WRITABLE) == WRITABLE:
        return 1
    if pte & (READABLE | EXECUTABLE) == 0:
        return int(pte & (ACCESSED | DIRTY | USER) != 0 or level == 1)
    return int(((pte >> PTE_PPN_SHIFT) & ((1 << (TABLE_SHIFT * (level - 1))) - 1)) != 0)


@kernel
def pte_gfn(pte):
    """The gfn that a PTE names."""
    return (pte >> PTE_PPN_SHIFT) & PTE_PPN_MASK


@kernel
def pte_access(pte):
    """R W X U that an spte may have for a leaf PTE: W only with D, so that the first store comes to us and sets D."""
    if pte & DIRTY == 0:
        return pte & ACCESS_ALL & ~WRITABLE
    return pte & ACCESS_ALL
