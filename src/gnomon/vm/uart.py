"""uart: a 16550 without interrupts: what a polled driver needs. Registers are bytes at UART_BASE + 0 … 7."""

from __future__ import annotations

from gnomon.lang import kernel
from gnomon.lang.atomics import read_once, write_once
from gnomon.vm.console import console_get, console_has_input, console_put
from gnomon.vm.devices import DEV

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 3, 4, 5, 6, 7
DIVISOR_LATCH = 0x80
LSR_EMPTY = 0x60
LSR_READY = 0x01
IIR_NONE = 0xC1
MSR_CONNECTED = 0xB0


@kernel
def uart_read(m, vm, register):
    """The byte a load of `register` returns."""
    latched = read_once(m, vm + DEV.uart_lcr) & DIVISOR_LATCH
    if register == DATA:
        if latched:
            return read_once(m, vm + DEV.uart_divisor) & 255
        character = console_get(m, vm)
        return 0 if character < 0 else character
    if register == IER:
        if latched:
            return (read_once(m, vm + DEV.uart_divisor) >> 8) & 255
        return read_once(m, vm + DEV.uart_ier)
    if register == LSR:
        return LSR_EMPTY | console_has_input(m, vm) * LSR_READY
    if register == IIR:
        return IIR_NONE
    if register == MSR:
        return MSR_CONNECTED
    if register == LCR:
        return read_once(m, vm + DEV.uart_lcr)
    if register == MCR:
        return read_once(m, vm + DEV.uart_mcr)
    return read_once(m, vm + DEV.uart_scr)


@kernel
def uart_write(m, vm, register, value):
    """A store of byte `value` to `register`. Returns 1, or 0 if the console is full: the store must be tried again."""
    value = value & 255
    divisor = read_once(m, vm + DEV.uart_divisor)
    if read_once(m, vm + DEV.uart_lcr) & DIVISOR_LATCH and register <= IER:
        if register == DATA:
            write_once(m, vm + DEV.uart_divisor, (divisor & ~255) | value)
        else:
            write_once(m, vm + DEV.uart_divisor, (divisor & 255) | (value << 8))
    elif register == DATA:
        return console_put(m, vm, value)
    elif register == IER:
        write_once(m, vm + DEV.uart_ier, value & 15)
    elif register == LCR:
        write_once(m, vm + DEV.uart_lcr, value)
    elif register == MCR:
        write_once(m, vm + DEV.uart_mcr, value)
    elif register == SCR:
        write_once(m, vm + DEV.uart_scr, value)
    return 1
