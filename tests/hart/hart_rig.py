"""A machine for tests of the hart layer: the real MMU over a small host; console, finisher and CLINT are Python."""

from __future__ import annotations

import numpy as np
from elftools.elf.elffile import ELFFile

from gnomon.hart.execute import hart_run
from gnomon.hart.exits import EXIT_MMIO, EXIT_WFI, mmio_complete
from gnomon.hart.interrupt import clear_interrupt, mtime, raise_interrupt, set_mtimecmp, wfi_wait
from gnomon.hart.state import DECODE_WORDS, HART, hart_reset, set_context
from gnomon.hart.trap import mmio_fault
from gnomon.lang import PAGE_SIZE, kernel
from gnomon.mmu.setup import static_words, vcpu_create, vm_create
from gnomon.mmu.slot import backing_fault
from gnomon.mmu.vm_words import VM
from gnomon.sync.spinlock import spin_lock, spin_unlock
from gnomon.vm.host import Host

RAM = 0x8000_0000
CODE, DATA = RAM, RAM + 0x10000
UART, FINISHER, CLINT = 0x1000_0000, 0x10_0000, 0x200_0000
MSIP, PASSED = 8, 0x5555
SHADOW_PAGES = 256


@kernel
def guest_frame(m, vm, t, index):
    """pfn behind guest page `index`, allocated if need be."""
    spin_lock(m, vm + VM.mmu_lock)
    pfn = backing_fault(m, vm, t, index)
    spin_unlock(m, vm + VM.mmu_lock)
    return pfn


@kernel
def decode_words(m, words):
    """Room for a decode cache."""
    return static_words(m, words)


def unsigned(value) -> int:
    return int(value) & (1 << 64) - 1


def signed(value) -> int:
    return ((int(value) & (1 << 64) - 1) ^ (1 << 63)) - (1 << 63)


def assembled(code) -> bytes:
    return b"".join(word.to_bytes(4 if word & 3 == 3 else 2, "little") for word in code)


class Bench:
    """`harts` vCPUs of one machine with `pages` pages of RAM. `x`, `csr` and memory go by hart 0 unless said otherwise."""

    def __init__(self, pages: int = 64, harts: int = 1, sbi: int = 0):
        self.host = Host(pages + 2048 + 512 + 80 * harts)
        self.m = self.host.arena
        self.vm = vm_create(self.m, RAM >> 12, pages, SHADOW_PAGES)
        assert self.vm
        self.pages, self.sbi, self.console, self.code = pages, sbi, bytearray(), None
        self.threads = [self.host.thread() for _ in range(harts)]
        self.vcpus = [vcpu_create(self.m, self.vm, t) for t in self.threads]
        self.tables = [decode_words(self.m, DECODE_WORDS) for _ in self.vcpus]
        self.v = self.vcpus[0]
        for hart in range(harts):
            self.reset(RAM, hart)

    def reset(self, pc: int = RAM, hart: int = 0) -> None:
        hart_reset(self.m, self.vcpus[hart], hart, pc, self.sbi, self.tables[hart])

    def place(self, code, pc: int = CODE) -> None:
        """Put instructions (an int each, 16 bits if its two low bits say so) at pc and go there."""
        self.write(pc, assembled(code))
        self.set("pc", pc)

    def get(self, field: str, hart: int = 0) -> int:
        return unsigned(self.m.words[self.vcpus[hart] + getattr(HART, field)])

    def set(self, field: str, value: int, hart: int = 0) -> None:
        self.m.words[self.vcpus[hart] + getattr(HART, field)] = signed(value)
        if field in ("priv", "mstatus", "satp"):
            set_context(self.m, self.vcpus[hart])

    def x(self, n: int, hart: int = 0) -> int:
        return unsigned(self.m.words[self.vcpus[hart] + HART.x + n])

    def set_x(self, n: int, value: int, hart: int = 0) -> None:
        self.m.words[self.vcpus[hart] + HART.x + n] = signed(value)

    def _page(self, gpa: int) -> np.ndarray:
        at = guest_frame(self.m, self.vm, self.threads[0], (gpa - RAM) >> 12) * PAGE_SIZE
        return self.m.octets[at : at + PAGE_SIZE]

    def write(self, gpa: int, data: bytes) -> None:
        while data:
            room = PAGE_SIZE - gpa % PAGE_SIZE
            part, data = data[:room], data[room:]
            self._page(gpa)[gpa % PAGE_SIZE : gpa % PAGE_SIZE + len(part)] = np.frombuffer(part, np.uint8)
            gpa += len(part)

    def read(self, gpa: int, size: int) -> bytes:
        out = b""
        while len(out) < size:
            room = min(PAGE_SIZE - gpa % PAGE_SIZE, size - len(out))
            out += self._page(gpa)[gpa % PAGE_SIZE : gpa % PAGE_SIZE + room].tobytes()
            gpa += room
        return out

    def read64(self, gpa: int) -> int:
        return int.from_bytes(self.read(gpa, 8), "little")

    def load_elf(self, path) -> None:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                self.write(segment["p_paddr"], segment.data())
            symbols = elf.get_section_by_name(".symtab")
            found = symbols.get_symbol_by_name("tohost") if symbols else None
            self.tohost = found[0]["st_value"] if found else None
            self.set("pc", elf["e_entry"])

    def step(self, budget: int = 1 << 20) -> int:
        return hart_run(self.m, self.v, budget)

    def run(self, slices: int = 100, budget: int = 1 << 20):
        """Run until the finisher or tohost is written. Returns what was written there, None when `slices` were not enough."""
        for _ in range(slices):
            exit_code = self.step(budget)
            while exit_code == EXIT_MMIO and self.code is None:
                self.device()
                exit_code = self.step(budget)
            if self.code is None and getattr(self, "tohost", None):
                self.code = self.read64(self.tohost) or None
            if self.code is not None:
                return self.code
            if exit_code == EXIT_WFI:
                wfi_wait(self.m, self.v, 50_000_000)
        return None

    def device(self) -> None:
        """Serve EXIT_MMIO."""
        gpa, is_write, value = self.get("mmio_gpa"), self.get("mmio_is_write"), self.get("mmio_value")
        result = 0
        if UART <= gpa < UART + 256:
            result = 0x60
            if is_write and gpa == UART:
                self.console.append(value & 255)
        elif gpa == FINISHER and is_write:
            self.code = value
        elif gpa == CLINT and is_write:
            (raise_interrupt if value & 1 else clear_interrupt)(self.m, self.v, MSIP)
        elif gpa == CLINT:
            result = self.get("mip") >> 3 & 1
        elif gpa == CLINT + 0x4000 and is_write:
            set_mtimecmp(self.m, self.v, signed(value))
        elif gpa == CLINT + 0x4000:
            result = self.get("mtimecmp")
        elif gpa == CLINT + 0xBFF8:
            result = mtime(self.m, self.v)
        else:
            mmio_fault(self.m, self.v)
            return
        mmio_complete(self.m, self.v, signed(result))
