"""Guest files: is every bad one refused in one sentence, with the machine as it was?"""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vm_rig import LONG, MIB, elf, finish, machine

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.vm.devices import DEV, RAM_BASE
from gnomon.vm.image import IMAGE_HEADER, IMAGE_MAGIC, read_image
from gnomon.vm.machine import Machine

GOOD = elf(finish(), symbols={"tohost": RAM_BASE + 0x1000, "fromhost": RAM_BASE + 0x1040})


@pytest.fixture(scope="module")
def untouched():
    made = Machine(8 * MIB)
    yield made
    made.stop()


def refused(made, file, match):
    """load() raises one sentence that names the file, and nothing has changed."""
    before = made.ram_hash(), made.get_state()[:0], made.arena.words[made.vm : made.vm + DEV.size].copy()
    with pytest.raises(GnomonError, match=match) as told:
        made.load(file)
    assert "\n" not in told.value.message
    assert not told.value.message.endswith(".")
    assert made.ram_hash() == before[0]
    assert np.array_equal(made.arena.words[made.vm : made.vm + DEV.size], before[2])
    assert made.state_name == "new"


BAD = {
    "text": (b"#!/bin/sh\nexit 0\n", "is not an ELF"),
    "nothing": (b"", "begins with nothing"),
    "32-bit": (elf(finish(), klass=1), "32-bit|damaged|big"),
    "big-endian": (elf(finish(), order=2), "big-endian|damaged"),
    "x86": (elf(finish(), machine=62), "EM_X86_64"),
    "unknown machine": (elf(finish(), machine=0x7777), "the machine is EM_RISCV"),
    "shared object": (elf(finish(), kind=3), "only ET_EXEC"),
    "below RAM": (elf(finish(), at=0x1000), "outside RAM"),
    "above RAM": (elf(finish(), at=RAM_BASE + 8 * MIB), "outside RAM"),
    "beyond the end": (elf(finish(), memsz=8 * MIB + 1), "outside RAM"),
    "wraps": (elf(finish(), memsz=(1 << 64) - 1), "outside RAM"),
    "file size above memory size": (elf(finish(), memsz=4), "cut off"),
    "entry elsewhere": (elf(finish(), entry=RAM_BASE + MIB), "entry point"),
    "nothing to load": (elf(b"", memsz=0), "no segment"),
    "no room for the tree": (elf(finish(), memsz=8 * MIB), "device tree"),
    "half an Image": (b"\0" * 56 + IMAGE_MAGIC, "cut off"),
    "big-endian Image": (IMAGE_HEADER.pack(0, 0, 0, 64, 1, 0, 0, 0, 0, IMAGE_MAGIC, 0), "big-endian"),
    "Image outside RAM": (IMAGE_HEADER.pack(0, 0, 1 << 60, 64, 0, 0, 0, 0, 0, IMAGE_MAGIC, 0), "outside RAM"),
    "Image too large": (IMAGE_HEADER.pack(0, 0, 0, 1 << 62, 0, 0, 0, 0, 0, IMAGE_MAGIC, 0), "outside RAM"),
}


@pytest.mark.parametrize("what", BAD)
def test_is_it_refused(what, untouched, tmp_path):
    """Each kind of wrong file, one sentence."""
    data, match = BAD[what]
    file = tmp_path / "guest"
    file.write_bytes(data)
    refused(untouched, file, match)


def test_is_a_file_that_is_not_there_refused(untouched, tmp_path):
    """No such file, and a directory."""
    refused(untouched, tmp_path / "none.elf", "cannot be read")
    refused(untouched, tmp_path, "cannot be read")


@pytest.mark.parametrize("name", ["dirty", "isa/alu", "htif"])
def test_is_a_truncated_guest_refused(name, untouched, tmp_path):
    """Cut at every 64th byte: refused, unless only what is not loaded is missing."""
    data = path(name).read_bytes()
    file = tmp_path / "cut.elf"
    refusals = 0
    for size in range(0, len(data), 64):
        file.write_bytes(data[:size])
        try:
            read_image(file, 8 * MIB)
        except GnomonError:
            refusals += 1
    assert refusals >= len(data) // 64 // 3


_tries = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_tries
@given(st.lists(st.tuples(st.integers(0, 0x200), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_does_a_damaged_elf_raise_anything_but_gnomon_error(tmp_path, hits, tail):
    """Bytes changed in the headers (or in the section headers and symbols at the end): one sentence or a fine image, nothing else."""
    data = bytearray(GOOD)
    for at, value in hits:
        data[len(data) - 1 - at if tail else at] = value
    file = tmp_path / "flipped.elf"
    file.write_bytes(bytes(data))
    try:
        image = read_image(file, 8 * MIB)
    except GnomonError:
        return
    assert all(s.gpa >= RAM_BASE and s.gpa + s.size <= RAM_BASE + 8 * MIB for s in image.segments)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 511), st.integers(0, 7))
def test_does_a_flipped_bit_leave_the_machine_unchanged_or_loaded(tmp_path, untouched, at, bit):
    """load() of a good ELF with one bit of its headers flipped: refused with nothing changed, or placed."""
    data = bytearray(GOOD)
    data[at] ^= 1 << bit
    file = tmp_path / "flipped.elf"
    file.write_bytes(bytes(data))
    before = untouched.ram_hash()
    try:
        untouched.load(file)
    except GnomonError:
        assert untouched.ram_hash() == before


def test_are_segments_placed_where_they_say(program):
    """Bytes at their physical address, zeroes up to the memory size, the rest untouched."""
    body = bytes(range(1, 250)) * 40
    with machine() as made:
        made.load(program(finish()))
        made.load(program(body, at=RAM_BASE + 0x3210, memsz=len(body) + 5000))
        out, zero = np.zeros(8 * 4096, np.uint8), np.zeros(8, np.uint8)
        made.read_pages(np.arange(8), out, zero)
        assert out[0x3210 : 0x3210 + len(body)].tobytes() == body
        assert not out[0x3210 + len(body) : 0x3210 + len(body) + 5000].any()


@pytest.mark.parametrize(("address", "kept"), [(RAM_BASE + 0x1000, True), (RAM_BASE + 0xFFC, False), (RAM_BASE + 3, False), (0, False)])
def test_is_tohost_taken_only_where_it_is_one_word_of_ram(program, address, kept):
    """A tohost that lies across two pages would be a store across two frames of the host: no HTIF then."""
    with machine(program(finish(), symbols={"tohost": address})) as made:
        assert (int(made.arena.words[made.vm + DEV.htif_tohost]) == address - RAM_BASE) == kept


def test_is_a_started_machine_left_alone(program):
    """load() after start() says so."""
    with machine(program([0x6F])) as made:
        made.start()
        for wrong in (lambda: made.load(program(finish())), made.start):
            with pytest.raises(GnomonError, match="started already"):
                wrong()


def headers_below_ram(file, filler=b""):
    """What `ld -Ttext=0x80000000` makes: one segment that begins with the file's own headers, a page below RAM."""
    data = bytearray(elf(finish(7)))
    size = len(data) - 0x1000
    struct.pack_into("<QQQQQ", data, 64 + 8, 0, RAM_BASE - 0x1000, RAM_BASE - 0x1000, size + 0x1000, size + 0x1000)
    data[0x1000 - len(filler) : 0x1000] = filler
    file.write_bytes(data)
    return file


def test_does_a_guest_run_whose_first_segment_begins_with_its_own_headers(tmp_path):
    with machine(headers_below_ram(tmp_path / "headers.elf")) as made:
        assert made.start().wait(LONG) == 7


def test_is_a_segment_refused_where_more_than_headers_lies_below_ram(untouched, tmp_path):
    """Only headers may fall away: a byte that the guest would miss is refused as before."""
    refused(untouched, headers_below_ram(tmp_path / "more.elf", b"\1"), "outside RAM")
