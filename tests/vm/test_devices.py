"""Devices through guests of a few instructions: UART, CLINT, finisher, HTIF, and what nobody answers."""

import pytest
from vm_rig import (
    A0,
    A1,
    A2,
    CLINT,
    FINISHER,
    LONG,
    LOOP,
    MIB,
    T0,
    T1,
    T2,
    UART,
    WFI,
    ZERO,
    addi,
    branch,
    constant,
    finish,
    load,
    machine,
    slli,
    store,
    until,
)

from gnomon.guests import path
from gnomon.hart.state import HART
from gnomon.vm.devices import OUTPUT_CHARS, RAM_BASE


def ended(guest, **shape):
    with machine(guest, **shape) as made:
        return made.start().wait(LONG), bytes(made.console)


def result_of(program, code, **shape):
    """Run `code`, then return x10 as exit code (its low 8 bits + 1, so that 0 is seen too)."""
    tail = [
        0x0FF57513,  # andi a0, a0, 255
        addi(A0, A0, 1),
        slli(A0, A0, 16),
        *constant(T0, 0x3333),
        0x00556533,  # or a0, a0, t0
        *constant(T0, FINISHER),
        store(A0, T0, 0, 4),
        LOOP,
    ]
    return ended(program([*code, *tail]), **shape)[0] - 1


@pytest.mark.parametrize("code", [0, 1, 7, 255, 65535])
def test_is_the_finishers_code_the_exit_code(program, code):
    """0x5555 passes, code << 16 | 0x3333 fails with that code."""
    assert ended(program(finish(code)))[0] == code


@pytest.mark.parametrize(("word", "code"), [(0x7777, 0), (0x3333, 1)])
def test_do_the_finishers_other_words_end_it(program, word, code):
    """A reset ends with 0, a failure without a code with 1."""
    assert ended(program([*constant(T0, FINISHER), *constant(T1, word), store(T1, T0, 0, 4), LOOP]))[0] == code


def test_is_an_unknown_word_to_the_finisher_nothing(program):
    """The machine goes on."""
    assert ended(program([*constant(T0, FINISHER), addi(T1, ZERO, 5), store(T1, T0, 0, 4), *finish(3)]))[0] == 3


def test_does_the_console_deliver_every_byte_once(program):
    """More bytes than the ring holds, as fast as the guest stores them: the hart waits, nothing is lost or doubled."""
    count = 3 * OUTPUT_CHARS
    code = [
        *constant(T0, UART),
        *constant(T2, count),
        addi(T1, ZERO, 0),
        store(T1, T0, 0, 1),
        addi(T1, T1, 1),
        branch("lt", T1, T2, -8),
    ]
    assert ended(program([*code, *finish()])) == (0, bytes(n & 255 for n in range(count)))


def test_does_the_uart_read_as_a_16550(program):
    """LSR is empty and not ready; scratch keeps its byte; the divisor hides behind DLAB; IIR says no interrupt."""
    uart = constant(T0, UART)
    assert result_of(program, [*uart, load(A0, T0, 5, 1)]) == 0x60
    assert result_of(program, [*uart, addi(T1, ZERO, 0x5A), store(T1, T0, 7, 1), load(A0, T0, 7, 1)]) == 0x5A
    assert result_of(program, [*uart, load(A0, T0, 2, 1)]) == 0xC1
    latch = [addi(T1, ZERO, 0x80), store(T1, T0, 3, 1), addi(T1, ZERO, 0x33), store(T1, T0, 0, 1), load(A0, T0, 0, 1)]
    assert result_of(program, [*uart, *latch]) == 0x33


def test_does_the_guest_read_what_is_typed(program):
    """LSR turns ready, the byte is read once, and echoed."""
    code = [*constant(T0, UART), load(T1, T0, 5, 1), 0x00137313, branch("eq", T1, ZERO, -8), load(A0, T0, 0, 1)]
    code[len(constant(T0, UART)) + 1] = 0x0013_7313 & ~0xF8000 | T1 << 15 & 0xF8000  # andi t1, t1, 1
    code += [store(A0, T0, 0, 1), *finish()]
    with machine(program(code)) as made:
        made.start()
        made.send_console(b"Q")
        assert made.wait(LONG) == 0
    assert made.console == b"Q"


def test_is_msip_of_every_hart_its_software_interrupt(program):
    """Hart 0 sets msip of hart 1 and reads it back; a hart that does not exist reads 0."""
    clint = constant(T0, CLINT)
    code = [*clint, addi(T1, ZERO, 1), store(T1, T0, 4, 4), load(A0, T0, 4, 4), load(A1, T0, 8, 4), 0x00B50533]
    guard = [branch("ne", A0, ZERO, 0)]  # harts but 0 wait here
    guard[0] = branch("eq", A0, ZERO, 8)
    assert result_of(program, [guard[0], LOOP, *code], harts=2) == 1


def test_does_mtime_go_on_and_mtimecmp_keep(program):
    """Two reads of mtime in a row never go back; mtimecmp reads as written, by halves too."""
    mtime = [*constant(T0, CLINT + 0xBFF8), load(A1, T0, 0, 8), load(A2, T0, 0, 8), 0x00B634B3 & 0 | 0x00B63533]  # sltu a0, a2, a1
    assert result_of(program, mtime) == 0
    compare = [*constant(T0, CLINT + 0x4000), addi(T1, ZERO, 77), store(T1, T0, 0, 4), store(ZERO, T0, 4, 4), load(A0, T0, 0, 8)]
    assert result_of(program, compare) == 77


def test_is_an_address_nobody_answers_a_trap_of_the_guest(program):
    """A load from a hole ends in the guest's own trap handler with cause 5, the host none the wiser."""
    handler = [0x34202573]  # csrr a0, mcause
    at = RAM_BASE + 0x100
    body = [*constant(T0, at), 0x30529073, *constant(T1, 0x1800_0000), load(A0, T1, 0, 4), LOOP]
    code = [*body, *[addi(0, 0, 0)] * (64 - len(body)), *handler]
    assert result_of(program, code) == 5


def test_does_a_sleeping_hart_wake_for_the_timer(program):
    """WFI with mtimecmp in the near future and MTIE set goes on."""
    code = [*constant(T0, CLINT + 0xBFF8), load(T1, T0, 0, 8), *constant(T2, 100_000), 0x00730333, *constant(T0, CLINT + 0x4000)]
    code += [store(T1, T0, 0, 8), addi(T2, ZERO, 0x80), 0x3043A073, WFI, *finish(9)]
    assert ended(program(code))[0] == 9


def test_does_htif_end_print_and_answer():
    """The shipped htif guest ends through `tohost`."""
    assert ended(path("htif"))[0] == 0


def test_does_htif_write_go_to_the_console(program):
    """Device 1, command 1 is putchar; then tohost = 1 passes. tohost is zeroed when served."""
    tohost = RAM_BASE + 0x1000
    put = [*constant(T0, tohost), addi(T1, ZERO, 0x101), slli(T1, T1, 48), addi(T1, T1, ord("h"))]
    put += [store(T1, T0, 0, 8), load(T2, T0, 0, 8), branch("ne", T2, ZERO, -4)]
    done = [addi(T1, ZERO, 1), store(T1, T0, 0, 8), LOOP]
    assert ended(program([*put, *done], symbols={"tohost": tohost})) == (0, b"h")


def test_does_typing_give_up_when_the_machine_ends(program):
    """send_console to a guest that reads nothing returns once it is stopped."""
    import threading

    with machine(program([LOOP]), memory=8 * MIB) as made:
        made.start()
        typist = threading.Thread(target=made.send_console, args=(bytes(10_000),), daemon=True)
        typist.start()
        until(lambda: int(made.arena.words[made.vcpus[0] + HART.instret]) > 0)
        made.stop()
        typist.join(LONG)
        assert not typist.is_alive()
