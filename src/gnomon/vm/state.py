"""state: everything of a machine that is not RAM, as bytes and back: what a migration's last message carries.

Fields go by name, so that a newer layout can still read them; the time of the guest goes on where it stopped.
"""

from __future__ import annotations

import time

import msgspec

from gnomon.hart.state import (
    HART,
    HSM_START_PENDING,
    HSM_STARTED,
    HSM_STOPPED,
    HSM_SUSPENDED,
    NO_RESERVATION,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    set_context,
)
from gnomon.lang.kernel import twin
from gnomon.lang.record import RECORDS
from gnomon.mmu.context import reset_context
from gnomon.vm.devices import DEV, INPUT_CHARS, OUTPUT_CHARS

STATE_VERSION = 1
_NOT_STATE = {"decode", "reservation_at", "time_offset_ns", "wake", "timer_chunks", "pad", "scratch", "next_pc", "word"}
_TRANSIENT = ("fetch_", "miss_", "mmio_", "sbi_")
"""Prefixes of fields that mean something only while an instruction is under way: a parked hart has none."""
_HSM_STATES = (HSM_STARTED, HSM_STOPPED, HSM_START_PENDING, HSM_SUSPENDED)
_DEVICE_FIELDS = ("ended", "htif_tohost", "htif_fromhost", "uart_ier", "uart_lcr", "uart_mcr", "uart_scr", "uart_divisor")


class HartState(msgspec.Struct):
    """Registers of one hart by name; a field of several words is a list of as many."""

    fields: dict[str, list[int]]


class MachineState(msgspec.Struct):
    """`guest_ns`: the guest's clock; `output`, `input`: console bytes not taken yet."""

    version: int
    guest_ns: int
    harts: list[HartState]
    devices: dict[str, int]
    output: bytes
    input: bytes


def _hart_fields() -> dict[str, tuple[int, int]]:
    layout = RECORDS["HART"]
    starts = dict(zip(layout._fields, layout, strict=True))
    ends = dict(zip(layout._fields, layout[1:], strict=False))
    kept = [name for name in ends if name not in _NOT_STATE and not name.startswith(_TRANSIENT)]
    return {name: (getattr(HART, name), ends[name] - starts[name]) for name in kept}


def _pending(words, vm: int, ring: int, size: int, head: int, tail: int) -> bytes:
    first, last = int(words[vm + tail]), int(words[vm + head])
    return bytes(int(words[vm + ring + n % size]) & 255 for n in range(first, last))


def save(arena, vm: int, vcpus: list[int]) -> bytes:
    """The state of a machine whose harts are parked."""
    words = arena.words
    harts = []
    for v in vcpus:
        fields = {name: [int(x) for x in words[v + at : v + at + size]] for name, (at, size) in _hart_fields().items()}
        harts.append(HartState(fields))
    guest_ns = time.monotonic_ns() - int(words[vcpus[0] + HART.time_offset_ns])
    output = _pending(words, vm, DEV.output, OUTPUT_CHARS, DEV.output_head, DEV.output_tail)
    typed = _pending(words, vm, DEV.input, INPUT_CHARS, DEV.input_head, DEV.input_tail)
    devices = {name: int(words[vm + getattr(DEV, name)]) for name in _DEVICE_FIELDS}
    return msgspec.msgpack.encode(MachineState(STATE_VERSION, guest_ns, harts, devices, output, typed))


def parse(data: bytes, harts: int) -> MachineState:
    """Check the bytes of save() against a machine of `harts` harts. Raises ValueError, and nothing has changed."""
    try:
        state = msgspec.msgpack.decode(data, type=MachineState)
    except msgspec.DecodeError as error:
        raise ValueError(f"machine state cannot be read: {error}") from error
    if state.version != STATE_VERSION:
        raise ValueError(f"machine state is of version {state.version}, this program reads version {STATE_VERSION}")
    if len(state.harts) != harts:
        raise ValueError(f"machine state is of {len(state.harts)} harts, the machine has {harts}")
    expected = {name: size for name, (_, size) in _hart_fields().items()}
    for number, hart in enumerate(state.harts):
        found = {name: len(values) for name, values in hart.fields.items()}
        if found != expected:
            odd = sorted(set(found.items()) ^ set(expected.items()))[0][0]
            raise ValueError(f"machine state of hart {number} does not fit: field {odd}")
        if not all(-(1 << 63) <= x < 1 << 63 for values in hart.fields.values() for x in values):
            raise ValueError(f"machine state of hart {number} has a value of more than 64 bits")
        if hart.fields["pc"][0] & 1:
            raise ValueError(f"machine state of hart {number} has an odd pc: {hart.fields['pc'][0] & (1 << 64) - 1:#x}")
        if hart.fields["priv"][0] not in (PRIV_U, PRIV_S, PRIV_M) or hart.fields["hsm"][0] not in _HSM_STATES:
            raise ValueError(f"machine state of hart {number} has an impossible mode: {hart.fields['priv'][0]}, {hart.fields['hsm'][0]}")
    if sorted(state.devices) != sorted(_DEVICE_FIELDS):
        raise ValueError(f"machine state has {len(state.devices)} device fields, expected {len(_DEVICE_FIELDS)}")
    for name, value in state.devices.items():
        aligned = value == -1 or value & 7 == 0  # HTIF words are read and written as one
        if not -1 <= value < 1 << 62 or (name.startswith("htif_") and not aligned):
            raise ValueError(f"machine state has an impossible {name}: {value}")
    if not 0 <= state.guest_ns < 1 << 62:
        raise ValueError(f"machine state has an impossible guest time: {state.guest_ns} ns")
    if len(state.output) > OUTPUT_CHARS or len(state.input) > INPUT_CHARS:
        raise ValueError(f"machine state has {len(state.output)} and {len(state.input)} console bytes, more than the rings hold")
    return state


def restore(arena, vm: int, vcpus: list[int], state: MachineState) -> None:
    """Put a parsed state into a machine whose harts are parked or not started. TLBs and cached roots start empty."""
    words = arena.words
    offset = time.monotonic_ns() - state.guest_ns
    for v, hart in zip(vcpus, state.harts, strict=True):
        for name, (at, size) in _hart_fields().items():
            words[v + at : v + at + size] = hart.fields[name]
        words[v + HART.time_offset_ns] = offset
        words[v + HART.reservation_at] = NO_RESERVATION
        words[v + HART.fetch_page] = 0
        words[v + HART.timer_chunks] = 0
        twin(reset_context)(arena, v)
        twin(set_context)(arena, v)
    for name in _DEVICE_FIELDS:
        words[vm + getattr(DEV, name)] = state.devices[name]
    output = (DEV.output, DEV.output_head, DEV.output_tail, state.output)
    for ring, head, tail, data in (output, (DEV.input, DEV.input_head, DEV.input_tail, state.input)):
        words[vm + head], words[vm + tail] = len(data), 0
        words[vm + ring : vm + ring + len(data)] = list(data)
