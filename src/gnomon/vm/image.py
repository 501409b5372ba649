"""image: what a guest file says: where its bytes go, where it starts, and where HTIF is. ELF by pyelftools, or Linux's flat Image.

Everything is checked before the machine is touched: a bad file leaves it as it was.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from gnomon.errors import GnomonError
from gnomon.vm.devices import RAM_BASE

SUPERVISOR_BASE = RAM_BASE + 0x20_0000
"""Where firmware leaves the next stage: a guest that starts here starts in S-mode with an SBI below it."""
IMAGE_MAGIC = b"RSC\x05"
IMAGE_HEADER = struct.Struct("<IIQQQIIQQ4sI")
MAX_SEGMENTS = 256
_PARSER_FAULTS = (ELFError, ValueError, LookupError, ArithmeticError, AttributeError, TypeError, struct.error)
"""What pyelftools raises for files that lie about themselves."""


@dataclass
class Segment:
    """`data` goes to guest physical address `gpa`, zeroes up to `size` bytes after it."""

    gpa: int
    data: bytes
    size: int


@dataclass
class Image:
    """A guest ready to be placed."""

    entry: int
    segments: list[Segment]
    supervisor: bool
    tohost: int | None = None
    fromhost: int | None = None
    symbols: dict[str, int] = field(default_factory=dict)


def _refuse(path, what: str, hint: str | None = None) -> GnomonError:
    return GnomonError(f"{path}: {what}", hint=hint, exit_code=2)


def read_image(path: str | Path, memory: int) -> Image:
    """Read the guest at `path` for a machine of `memory` bytes.

    Raises GnomonError: no such file, not an ELF or Image, wrong class, byte order or machine, damaged, or outside RAM."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror}") from error
    if data[:4] == b"\x7fELF":
        image = _read_elf(path, data)
    elif data[56:60] == IMAGE_MAGIC:
        image = _read_flat(path, data)
    else:
        found = data[:4].hex(" ") or "nothing"
        raise _refuse(path, f"is not an ELF file or a RISC-V Linux Image: it begins with {found}, an ELF with 7f 45 4c 46")
    for segment in image.segments:
        end = segment.gpa + segment.size
        if segment.gpa < RAM_BASE or end > RAM_BASE + memory:
            raise _refuse(
                path,
                f"a segment at {segment.gpa:#x}-{end:#x} lies outside RAM {RAM_BASE:#x}-{RAM_BASE + memory:#x}",
                hint="give the machine more --memory, or link the guest at 0x80000000",
            )
    if not any(s.gpa <= image.entry < s.gpa + s.size for s in image.segments):
        raise _refuse(path, f"its entry point lies in none of its segments: {image.entry:#x}")
    return image


def _read_elf(path, data: bytes) -> Image:
    try:
        elf = ELFFile(io.BytesIO(data))
        if elf.elfclass != 64:
            raise _refuse(path, f"is a {elf.elfclass}-bit ELF, the machine is 64-bit", hint="compile with -march=rv64imac -mabi=lp64")
        if not elf.little_endian:
            raise _refuse(path, "is a big-endian ELF, the machine is little-endian")
        if elf["e_machine"] != "EM_RISCV":
            raise _refuse(path, f"is for {elf['e_machine']}, the machine is EM_RISCV", hint="compile with a riscv64 compiler")
        if elf["e_type"] != "ET_EXEC":
            raise _refuse(path, f"is {elf['e_type']}, only ET_EXEC can be placed", hint="link with -static -no-pie")
        if elf.num_segments() > MAX_SEGMENTS:
            raise _refuse(path, f"has {elf.num_segments()} segments, at most {MAX_SEGMENTS} are sensible")
        segments, entry = [], elf["e_entry"]
        for segment in elf.iter_segments():
            if segment["p_type"] != "PT_LOAD" or segment["p_memsz"] == 0:
                continue
            content = segment.data() if segment["p_filesz"] else b""
            if len(content) != segment["p_filesz"] or segment["p_filesz"] > segment["p_memsz"]:
                raise _refuse(path, f"is cut off: a segment has {len(content)} bytes of {segment['p_filesz']}")
            skip = _headers_below_ram(elf, segment, content)
            if skip < segment["p_memsz"]:
                segments.append(Segment(segment["p_paddr"] + skip, content[skip:], segment["p_memsz"] - skip))
            if segment["p_vaddr"] <= elf["e_entry"] < segment["p_vaddr"] + segment["p_memsz"]:
                entry = elf["e_entry"] - segment["p_vaddr"] + segment["p_paddr"]
        symbols = _symbols(elf)
    except GnomonError:
        raise
    except _PARSER_FAULTS as error:
        raise _refuse(path, f"is a damaged ELF: {error or type(error).__name__}") from error
    if not segments:
        raise _refuse(path, "has no segment to load: 0 of type PT_LOAD")
    return Image(entry, segments, entry >= SUPERVISOR_BASE, symbols.get("tohost"), symbols.get("fromhost"), symbols)


def _headers_below_ram(elf, segment, content: bytes) -> int:
    """Bytes at a segment's start that are only the file's own headers, notes and padding, where they would lie below RAM.

    ld's default script maps them in front of .text: with -Ttext=0x80000000 they begin a page earlier, or at 0x10000."""
    below = min(RAM_BASE - segment["p_paddr"], segment["p_memsz"])
    if below <= 0 or segment["p_offset"] != 0:
        return 0
    rest = bytearray(content[:below])
    spans = [(0, elf["e_ehsize"]), (elf["e_phoff"], elf["e_phnum"] * elf["e_phentsize"])]
    spans += [(note["p_offset"], note["p_filesz"]) for note in elf.iter_segments("PT_NOTE")]
    for start, size in spans:
        rest[start : start + size] = bytes(len(rest[start : start + size]))
    return 0 if any(rest) else below


def _symbols(elf) -> dict[str, int]:
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols() if symbol.name in ("tohost", "fromhost")}


def _read_flat(path, data: bytes) -> Image:
    if len(data) < IMAGE_HEADER.size:
        raise _refuse(path, f"is cut off: an Image has a header of {IMAGE_HEADER.size} bytes, this file has {len(data)}")
    _, _, offset, size, flags, _, _, _, _, _, _ = IMAGE_HEADER.unpack_from(data)
    if flags & 1:
        raise _refuse(path, "is a big-endian Image, the machine is little-endian")
    base = RAM_BASE + (offset or 0x20_0000)
    return Image(base, [Segment(base, data, max(size, len(data)))], True)
