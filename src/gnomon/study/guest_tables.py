"""guest_tables: Sv39 page tables in RAM pages of a rig, written before anything shadows them (privileged spec 4.3, 4.4)."""

from __future__ import annotations

from gnomon.study.rig import BASE_GFN, Rig

V, R, W, X, U, G, A, D = 1, 2, 4, 8, 16, 32, 64, 128
SV39 = 8 << 60


def satp(gfn: int) -> int:
    """The signed word of an Sv39 satp."""
    return (SV39 | gfn) - (1 << 64)


def pte(gfn: int, bits: int) -> int:
    """A guest PTE."""
    return gfn << 10 | bits


class Tables:
    """One address space, its tables in RAM pages from `first` on; `next` is the first page that is not one of them."""

    def __init__(self, rig: Rig, first: int):
        self.rig, self.next = rig, first
        self.root = self.page()
        self.below: dict[tuple[int, ...], int] = {}

    def page(self) -> int:
        self.next += 1
        self.rig.back(self.next - 1)
        return self.next - 1

    def table(self, va: int, level: int) -> int:
        """Page index of the table of `level` for `va`, made if need be."""
        if level == 3:
            return self.root
        key = (level, va >> (12 + 9 * level))
        if key not in self.below:
            made = self.page()
            self.below[key] = made
            self.rig.poke(self.table(va, level + 1), (va >> (12 + 9 * level)) & 511, pte(BASE_GFN + made, V))
        return self.below[key]

    def map(self, va: int, index: int, bits: int = V | R | W | X | A | D, level: int = 1) -> None:
        """Map `va` to page `index` with a leaf at `level`."""
        self.rig.poke(self.table(va, level), self.slot(va, level), pte(BASE_GFN + index, bits))

    @staticmethod
    def slot(va: int, level: int) -> int:
        return (va >> (12 + 9 * (level - 1))) & 511

    @property
    def satp(self) -> int:
        return satp(BASE_GFN + self.root)
