"""sbi: the supervisor binary interface, with Gnomon as the firmware: one call, decoded and done or handed on.

sbi_call follows EXIT_SBI and says what is left to do:

    SBI_DONE       nothing, run on
    SBI_PUTCHAR    put the byte HART.sbi_value on the console, run on
    SBI_GETCHAR    sbi_answer_legacy with a byte of console input, or -1
    SBI_WRITE      put HART.sbi_count bytes at guest physical HART.sbi_value on the console, then sbi_answer(0, number done)
    SBI_READ       put up to HART.sbi_count bytes of console input there, then sbi_answer(0, number done)
    SBI_WFI        sleep with wfi_wait, run on
    SBI_STOPPED    the hart has stopped: hsm_wait until it is started
    SBI_SHUTDOWN   the guest wants a reset: HART.sbi_value is its type (0 shutdown, 1 cold, 2 warm), HART.sbi_count its reason

Extensions: BASE (2.0), TIME, IPI, RFENCE (without the hypervisor's), HSM (retentive suspend), SRST, DBCN, legacy 0 to 8.
Context    the hart's own thread, outside guest mode; pc is behind the ecall already
"""

from __future__ import annotations

from gnomon.hart.hsm import SBI_ERR_INVALID_PARAM, SBI_ERR_NOT_SUPPORTED, SBI_SUCCESS, hsm_start, hsm_status
from gnomon.hart.interrupt import SSIP, clear_interrupt, update_timer
from gnomon.hart.remote import ALL_HARTS, argument, hart_named, legacy_mask, mask_fault, remote_flush, remote_interrupt
from gnomon.hart.state import HART, HSM_STOPPED
from gnomon.lang import kernel
from gnomon.lang.atomics import store_release, write_once

SBI_DONE, SBI_PUTCHAR, SBI_GETCHAR, SBI_WRITE, SBI_READ, SBI_WFI, SBI_STOPPED, SBI_SHUTDOWN = 0, 1, 2, 3, 4, 5, 6, 7

LEGACY_LAST = 8
BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN = 0x10, 0x54494D45, 0x735049, 0x52464E43, 0x48534D, 0x53525354, 0x4442434E
SPEC_VERSION = 2 << 24
IMPLEMENTATION = 0x676E6F6D
RETENTIVE = 0


@kernel(entry=True)
def sbi_call(m, v):
    """Do the SBI call in a0 … a7, or say what the owner has to do (see above)."""
    extension = argument(m, v, 7)
    if extension >= 0 and extension <= LEGACY_LAST:
        return legacy_call(m, v, extension)
    function = argument(m, v, 6)
    if extension == TIME and function == 0:
        return sbi_answer(m, v, set_timer(m, v, argument(m, v, 0)), 0)
    if extension == IPI and function == 0:
        error = mask_fault(m, v, argument(m, v, 0), argument(m, v, 1))
        if error == SBI_SUCCESS:
            remote_interrupt(m, v, argument(m, v, 0), argument(m, v, 1))
        return sbi_answer(m, v, error, 0)
    if extension == RFENCE and function >= 0 and function <= 2:
        error = mask_fault(m, v, argument(m, v, 0), argument(m, v, 1))
        if error == SBI_SUCCESS and function:
            remote_flush(m, v, argument(m, v, 0), argument(m, v, 1))
        return sbi_answer(m, v, error, 0)
    if extension == BASE:
        return base_call(m, v, function)
    if extension == HSM:
        return hsm_call(m, v, function)
    if extension == SRST and function == 0:
        return reset_call(m, v)
    if extension == DBCN:
        return console_call(m, v, function)
    return sbi_answer(m, v, SBI_ERR_NOT_SUPPORTED, 0)


@kernel(entry=True)
def sbi_answer(m, v, error, value):
    """Return from an SBI call: a0 = error, a1 = value. Returns SBI_DONE."""
    write_once(m, v + HART.x + 10, error)
    write_once(m, v + HART.x + 11, value)
    return SBI_DONE


@kernel(entry=True)
def sbi_answer_legacy(m, v, value):
    """Return from a legacy call: only a0 changes. Returns SBI_DONE."""
    write_once(m, v + HART.x + 10, value)
    return SBI_DONE


@kernel
def hand_on(m, v, status, value, count):
    """Leave the rest of the call to the owner."""
    write_once(m, v + HART.sbi_value, value)
    write_once(m, v + HART.sbi_count, count)
    return status


@kernel
def set_timer(m, v, deadline):
    """STIP from `deadline` on, and not before."""
    write_once(m, v + HART.stimecmp, deadline)
    update_timer(m, v)
    return SBI_SUCCESS


@kernel
def base_call(m, v, function):
    """Who we are, and which extensions there are."""
    if function == 0:
        return sbi_answer(m, v, SBI_SUCCESS, SPEC_VERSION)
    if function == 1:
        return sbi_answer(m, v, SBI_SUCCESS, IMPLEMENTATION)
    if function == 2:
        return sbi_answer(m, v, SBI_SUCCESS, 1)
    if function == 3:
        return sbi_answer(m, v, SBI_SUCCESS, has_extension(argument(m, v, 0)))
    if function >= 4 and function <= 6:
        return sbi_answer(m, v, SBI_SUCCESS, 0)  # mvendorid, marchid, mimpid
    return sbi_answer(m, v, SBI_ERR_NOT_SUPPORTED, 0)


@kernel
def has_extension(number):
    """1 if sbi_call knows the extension."""
    if number >= 0 and number <= LEGACY_LAST:
        return 1
    absent = number != BASE and number != TIME and number != IPI and number != RFENCE
    return 0 if absent and number != HSM and number != SRST and number != DBCN else 1


@kernel
def hsm_call(m, v, function):
    """hart_start, hart_stop, hart_get_status, hart_suspend."""
    if function == 1:
        store_release(m, v + HART.hsm, HSM_STOPPED)
        return SBI_STOPPED
    if function == 3:
        if argument(m, v, 0) & 0xFFFFFFFF == RETENTIVE:
            sbi_answer(m, v, SBI_SUCCESS, 0)
            return SBI_WFI
        return sbi_answer(m, v, SBI_ERR_NOT_SUPPORTED, 0)
    if function != 0 and function != 2:
        return sbi_answer(m, v, SBI_ERR_NOT_SUPPORTED, 0)
    target = hart_named(m, v, argument(m, v, 0))
    if target == 0:
        return sbi_answer(m, v, SBI_ERR_INVALID_PARAM, 0)
    if function == 0:
        return sbi_answer(m, v, hsm_start(m, target, argument(m, v, 1), argument(m, v, 2)), 0)
    return sbi_answer(m, v, SBI_SUCCESS, hsm_status(m, target))


@kernel
def reset_call(m, v):
    """system_reset: shutdown, cold or warm reboot."""
    kind = argument(m, v, 0) & 0xFFFFFFFF
    if kind > 2:
        return sbi_answer(m, v, SBI_ERR_INVALID_PARAM, 0)
    return hand_on(m, v, SBI_SHUTDOWN, kind, argument(m, v, 1) & 0xFFFFFFFF)


@kernel
def console_call(m, v, function):
    """The debug console: bytes at a physical address, or one byte in a0."""
    if function == 2:
        hand_on(m, v, SBI_PUTCHAR, argument(m, v, 0) & 255, 1)
        sbi_answer(m, v, SBI_SUCCESS, 0)
        return SBI_PUTCHAR
    if function < 0 or function > 2:
        return sbi_answer(m, v, SBI_ERR_NOT_SUPPORTED, 0)
    if argument(m, v, 2) != 0 or argument(m, v, 1) < 0 or argument(m, v, 0) < 0:
        return sbi_answer(m, v, SBI_ERR_INVALID_PARAM, 0)
    return hand_on(m, v, SBI_READ if function else SBI_WRITE, argument(m, v, 1), argument(m, v, 0))


@kernel
def legacy_call(m, v, number):
    """The calls of SBI 0.1: one number each, result in a0 alone, hart masks behind pointers."""
    if number == 8:
        return hand_on(m, v, SBI_SHUTDOWN, 0, 0)
    if number == 2:
        return SBI_GETCHAR
    status = SBI_DONE
    if number == 0:
        set_timer(m, v, argument(m, v, 0))
    elif number == 1:
        status = hand_on(m, v, SBI_PUTCHAR, argument(m, v, 0) & 255, 1)
    elif number == 3:
        clear_interrupt(m, v, SSIP)
    elif number == 4 or number >= 6:
        pointer = argument(m, v, 0)
        mask = legacy_mask(m, v, pointer)
        base = 0 if pointer else ALL_HARTS
        if number == 4:
            remote_interrupt(m, v, mask, base)
        else:
            remote_flush(m, v, mask, base)
    sbi_answer_legacy(m, v, 0)
    return status
