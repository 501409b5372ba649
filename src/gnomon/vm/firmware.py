"""firmware: what an SBI call needs of the machine: its console and its end. Everything else is hart/sbi.py's.

The console thread drains the output also while the harts are paused, so a wait for room ends; nothing of a call is ever half done
when the hart's thread parks.
"""

from __future__ import annotations

from gnomon.hart.hsm import SBI_ERR_INVALID_PARAM, hsm_wait
from gnomon.hart.interrupt import wfi_wait
from gnomon.hart.sbi import (
    SBI_GETCHAR,
    SBI_PUTCHAR,
    SBI_READ,
    SBI_SHUTDOWN,
    SBI_STOPPED,
    SBI_WFI,
    SBI_WRITE,
    sbi_answer,
    sbi_answer_legacy,
    sbi_call,
)
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.atomics import read_once
from gnomon.lang.guest_memory import store8
from gnomon.mmu.host_access import host_load, host_store_begin, host_store_end
from gnomon.mmu.slot import slot_index
from gnomon.mmu.vcpu import VCPU
from gnomon.vm.console import console_get, console_has_input, console_put_waiting
from gnomon.vm.finish import end_machine

MAX_SLEEP_NS = 20_000_000
MAX_TRANSFER = 512
"""Bytes of one DBCN call that are served; the guest asks again for the rest."""


@kernel
def dbcn_write(m, vm, v):
    """Put bytes of guest memory on the console."""
    start = read_once(m, v + HART.sbi_value)
    count = read_once(m, v + HART.sbi_count)
    if count > MAX_TRANSFER:
        count = MAX_TRANSFER
    done = 0
    while done < count:
        if slot_index(m, vm, start + done) < 0:
            return sbi_answer(m, v, SBI_ERR_INVALID_PARAM, 0)
        console_put_waiting(m, vm, host_load(m, vm, start + done, 1))
        done += 1
    return sbi_answer(m, v, 0, done)


@kernel
def dbcn_read(m, vm, v):
    """Put console input into guest memory."""
    start = read_once(m, v + HART.sbi_value)
    count = read_once(m, v + HART.sbi_count)
    if count > MAX_TRANSFER:
        count = MAX_TRANSFER
    done = 0
    while done < count and console_has_input(m, vm):
        at = host_store_begin(m, vm, read_once(m, v + VCPU.thread), start + done)
        if at < 0:
            return sbi_answer(m, v, SBI_ERR_INVALID_PARAM, 0)
        store8(m, at, console_get(m, vm))
        host_store_end(m, vm, read_once(m, v + VCPU.thread), start + done, 1)
        done += 1
    return sbi_answer(m, v, 0, done)


@kernel
def serve_sbi(m, v):
    """After EXIT_SBI: the call, and what it leaves to the machine."""
    vm = read_once(m, v + VCPU.vm)
    status = sbi_call(m, v)
    if status == SBI_PUTCHAR:
        console_put_waiting(m, vm, read_once(m, v + HART.sbi_value))
    elif status == SBI_GETCHAR:
        sbi_answer_legacy(m, v, console_get(m, vm))
    elif status == SBI_WRITE:
        dbcn_write(m, vm, v)
    elif status == SBI_READ:
        dbcn_read(m, vm, v)
    elif status == SBI_WFI:
        wfi_wait(m, v, MAX_SLEEP_NS)
    elif status == SBI_STOPPED:
        hsm_wait(m, v, MAX_SLEEP_NS)
    elif status == SBI_SHUTDOWN:
        end_machine(m, vm, 1 if read_once(m, v + HART.sbi_count) else 0)
    return 0
