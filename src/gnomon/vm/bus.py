"""bus: which device answers at a guest physical address that is no RAM. Called between hart_run's EXIT_MMIO and mmio_complete."""

from __future__ import annotations

from gnomon.hart.interrupt import clear_interrupt, mtime, raise_interrupt, set_mtimecmp
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import shr, zext32
from gnomon.lang.atomics import read_once, write_once
from gnomon.mmu.vcpu import VCPU
from gnomon.mmu.vm_words import VM
from gnomon.vm.devices import CLINT_BASE, CLINT_SIZE, FINISHER_BASE, FINISHER_SIZE, UART_BASE, UART_SIZE
from gnomon.vm.finish import finisher_write
from gnomon.vm.uart import uart_read, uart_write

MSIP_BIT = 1 << 3
MTIMECMP_OFFSET = 0x4000
MTIME_OFFSET = 0xBFF8
LOW_HALF = (1 << 32) - 1

BUS_DONE = 0  # loads leave their value in HART.mmio_value
BUS_BUSY = 1  # the console is full: try again later
BUS_FAULT = 2  # nobody answers


@kernel
def half(word, offset, size):
    """What a load of `size` bytes at byte `offset` of the little-endian device register `word` sees."""
    return shr(word, (offset & 7) * 8) if size < 8 else word


@kernel
def with_half(word, offset, size, value):
    """`word` after a store of `size` (4 or 8) bytes `value` at byte `offset` of it."""
    if size == 8:
        return value
    if offset & 4:
        return (word & LOW_HALF) | (value << 32)
    return (word & ~LOW_HALF) | zext32(value)


@kernel
def clint_access(m, vm, v, offset, size, is_write, value):
    """The core-local interruptor: msip at 0, mtimecmp at 0x4000, mtime at 0xbff8. Harts that do not exist read 0."""
    harts = read_once(m, vm + VM.harts)
    if size < 4:
        return BUS_FAULT
    found = 0
    if offset < MTIMECMP_OFFSET:
        number = offset >> 2
        if number < harts:
            target = read_once(m, vm + VM.vcpus + number)
            if is_write and value & 1:
                raise_interrupt(m, target, MSIP_BIT)
            elif is_write:
                clear_interrupt(m, target, MSIP_BIT)
            found = int(read_once(m, target + HART.mip) & MSIP_BIT != 0)
    elif offset >= MTIME_OFFSET and offset < MTIME_OFFSET + 8:
        found = half(mtime(m, v), offset, size)
    elif offset < MTIME_OFFSET:
        number = (offset - MTIMECMP_OFFSET) >> 3
        if number < harts:
            target = read_once(m, vm + VM.vcpus + number)
            old = read_once(m, target + HART.mtimecmp)
            if is_write:
                set_mtimecmp(m, target, with_half(old, offset, size, value))
            found = half(old, offset, size)
    write_once(m, v + HART.mmio_value, found)
    return BUS_DONE


@kernel
def bus_access(m, v):
    """Perform the access that HART.mmio_* describes. Returns BUS_*."""
    vm = read_once(m, v + VCPU.vm)
    gpa = read_once(m, v + HART.mmio_gpa)
    size = read_once(m, v + HART.mmio_size)
    is_write = read_once(m, v + HART.mmio_is_write)
    value = read_once(m, v + HART.mmio_value)
    if gpa >= UART_BASE and gpa < UART_BASE + UART_SIZE:
        if is_write == 0:
            write_once(m, v + HART.mmio_value, uart_read(m, vm, gpa & 7))
        elif uart_write(m, vm, gpa & 7, value) == 0:
            return BUS_BUSY
        return BUS_DONE
    if gpa >= CLINT_BASE and gpa < CLINT_BASE + CLINT_SIZE:
        return clint_access(m, vm, v, gpa - CLINT_BASE, size, is_write, value)
    if gpa >= FINISHER_BASE and gpa < FINISHER_BASE + FINISHER_SIZE:
        if is_write:
            finisher_write(m, vm, value)
        else:
            write_once(m, v + HART.mmio_value, 0)
        return BUS_DONE
    return BUS_FAULT
