"""devices: the words of a machine that belong to its devices, at vm + VM_DEVICES. Layout and addresses are QEMU's `virt` machine.

0x0010_0000  test finisher        0x0200_0000  CLINT        0x1000_0000  16550 UART        0x8000_0000  RAM
"""

from __future__ import annotations

from gnomon.lang import record
from gnomon.mmu.vm_words import VM_DEVICES, VM_WORDS

FINISHER_BASE, FINISHER_SIZE = 0x10_0000, 0x1000
CLINT_BASE, CLINT_SIZE = 0x200_0000, 0x1_0000
UART_BASE, UART_SIZE = 0x1000_0000, 0x100
RAM_BASE = 0x8000_0000

OUTPUT_CHARS = 1024
INPUT_CHARS = 256

_layout = record(
    "DEV",
    "Device state of a machine; offsets from the VM's reference.",
    ended=8,  # exit code + 1 once the guest ended itself, else 0
    throttle=1,  # percent of time the harts are kept from running
    htif_tohost=1,  # byte offset from RAM's start, -1 without HTIF
    htif_fromhost=1,
    uart_ier=1,
    uart_lcr=1,
    uart_mcr=1,
    uart_scr=1,
    uart_divisor=1,
    uart_lock=8,  # harts may use the UART at once
    output_head=8,  # characters ever put in; written under uart_lock
    output_tail=8,  # characters ever taken out; written by the console thread
    input_head=8,  # written by the console thread
    input_tail=8,  # written under uart_lock
    output=OUTPUT_CHARS,
    input=INPUT_CHARS,
)
DEV = type(_layout)(*(VM_DEVICES + offset for offset in _layout))
assert DEV.size <= VM_WORDS
