"""Guest accesses narrower than a word, as the harts make them: neighbours in one word of the host are not each other's business."""

from __future__ import annotations

from gnomon.check.scenario import Scenario, call
from gnomon.check.scenarios.entry import Entry, Mutant, register
from gnomon.check.scenarios.machine_stage import Stage
from gnomon.check.scenarios.stage import DATA_AT
from gnomon.hart.access import put_bytes
from gnomon.hart.amo import AMO_ADD, amo32, store_conditional
from gnomon.hart.state import HART
from gnomon.lang import kernel
from gnomon.lang.arith import shl
from gnomon.lang.atomics import read_once, write_once
from gnomon.lang.guest_memory import amo_add64, load32s, load64, store8, store16, store32, store64

GUEST_AT = DATA_AT + 64
GUEST = GUEST_AT << 3
STORED, COUNTED = "every byte stored is there", "every count is there"
EXPECTED = 0x66_5555_4444_3322_00
"""What put_low() and put_high() leave of a word that was 0."""


@kernel
def put_low(m, at):
    """A hart's stores: a byte, and two bytes that are not aligned."""
    put_bytes(m, at + 1, 0x3322, 2)
    return put_bytes(m, at + 7, 0x66, 1)


@kernel
def put_high(m, at):
    """Another's: four bytes that are not aligned."""
    return put_bytes(m, at + 3, 0x55554444, 4)


@kernel
def holds_word(m, at, value):
    """1 if the word at `at` is `value`."""
    return read_once(m, at) == value


@kernel
def put_by_word(m, at, value, count):
    """Mutant of put_bytes(): reads the word, changes its bytes, stores the word."""
    word = at & ~7
    inside = (at & 7) * 8
    mask = shl(shl(1, 8 * count) - 1, inside)
    return store64(m, word, (load64(m, word) & ~mask) | (shl(value, inside) & mask))


@kernel
def put_anywhere(m, at, value, count):
    """Mutant of put_bytes(): one access, aligned or not."""
    if count == 4:
        return store32(m, at, value)
    if count == 2:
        return store16(m, at, value)
    return store8(m, at, value)


@kernel
def count_by_lr_sc(m, v, at):
    """Add one to the 32 bits at `at`: LR, as load_reserved() leaves it, and SC until it stores."""
    while True:
        value = load32s(m, at)
        write_once(m, v + HART.reservation_at, at)
        write_once(m, v + HART.reservation_size, 4)
        write_once(m, v + HART.reservation_value, value)
        if store_conditional(m, v, at, 4, value + 1) == 0:
            return 0


@kernel
def count_by_amo(m, at):
    """Take one from the 32 bits at `at`, add one to those beside them."""
    amo32(m, at, AMO_ADD, -1)
    amo32(m, at + 4, AMO_ADD, 1)
    return 0


@kernel
def compare_then_store(m, v, at, size, value):
    """Mutant of store_conditional(): looks, then stores."""
    if load32s(m, at) != read_once(m, v + HART.reservation_value):
        return 1
    store32(m, at, value)
    return 0


@kernel
def amo_of_word(m, at, function, value):
    """Mutant of amo32(): adds in the whole word."""
    return amo_add64(m, at & ~7, shl(value, (at & 7) * 8))


def neighbours(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, vcpus=2)
    s = stage.scenario
    s.thread("hart 0", call(put_low, GUEST))
    s.thread("hart 1", call(put_high, GUEST))
    s.label(GUEST_AT, "guest data")
    s.at_end(STORED, holds_word, GUEST_AT, EXPECTED)
    return s


def counters(mutant: Mutant | None) -> Scenario:
    stage = Stage(mutant, vcpus=2)
    s = stage.scenario
    for n, v in enumerate(stage.vcpus):
        s.thread(f"hart {n}", call(count_by_lr_sc, v, GUEST))
        for name in ("reservation_at", "reservation_size", "reservation_value"):
            s.label(v + getattr(HART, name), f"vcpu {n}.{name}")
    s.thread("hart 2", call(count_by_amo, GUEST))
    s.label(GUEST_AT, "guest counters")
    s.at_end(COUNTED, holds_word, GUEST_AT, (1 << 32) + 1)
    return s


register(
    Entry(
        "guest/bytes",
        "stores of a few bytes leave their neighbours alone, aligned or not (A2)",
        neighbours,
        {
            "by-word": Mutant("reads a word, changes bytes, stores the word", {put_bytes: put_by_word}, property=STORED),
            "anywhere": Mutant("one access, aligned or not", {put_bytes: put_anywhere}, property="misaligned access"),
        },
    )
)
register(
    Entry(
        "guest/atomics",
        "32-bit AMOs and LR/SC pairs lose no count, and leave the other half of the word alone (L1)",
        counters,
        {
            "two-steps": Mutant("SC looks, then stores", {store_conditional: compare_then_store}, property=COUNTED),
            "whole-word": Mutant("adds in the whole word", {amo32: amo_of_word}, property=COUNTED),
        },
    )
)
