"""wire: the bytes of a migration. Frames are judged here; sockets are in channel.py.

A connection begins, in each direction, with 12 bytes: magic `\\x89GNOMON\\n`, version u16, zero u16. Then frames (little-endian):

    0  type      u16     which message, see Type
    2  flags     u16     LZ4 on a pages frame, else 0
    4  length    u32     bytes that follow this header
    8  head      u32     how many of them `head_sum` covers: all of a control frame, the index of a pages frame
    12 sequence  u32     0, 1, 2 … in each direction
    16 head_sum  u64     xxh3-64 of the head
    24 own_sum   u64     xxh3-64 of bytes 0..23

The index of a pages frame: count u32, kept u32, packed_sum u64, gfns u32[count], zero u8[count], sums u64[kept]. After it come the `kept`
pages that are not all zero, raw or as one lz4 block; packed_sum is the xxh3-64 of that block, 0 without one. Different blocks can hold
the same pages, so the sums of the pages alone would let a damaged one pass.

Guarantees W1  no length is believed before own_sum is right and the length is within the limit of its type
           W2  no page reaches the guest before its gfn is in range, ascending within the round, and its sum is right
           W3  whatever is wrong is a WireError that says what, with both numbers
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Annotated, NamedTuple

import lz4.block
import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest as checksum

from gnomon.errors import GnomonError

MAGIC = b"\x89GNOMON\n"
VERSION = 1
PREAMBLE = struct.Struct("<8sHH")
HEADER = struct.Struct("<HHIIIQQ")
OWN_SUM = struct.Struct("<Q")
SUMMED = HEADER.size - OWN_SUM.size
INDEX = struct.Struct("<IIQ")

PAGE = 4096
BATCH = 256
"""Pages of one frame: 1 MiB, large enough to make its overhead vanish, small enough to bound every buffer."""

LZ4 = 1


class Type(IntEnum):
    HELLO = 1
    WELCOME = 2
    PAGES = 3
    ROUND_END = 4
    ROUND_DONE = 5
    STATE = 6
    FINISH = 7
    PREPARED = 8
    COMMIT = 9
    ACK = 10
    RELEASE = 11
    STARTED = 12
    ABORT = 13


INDEX_LIMIT = INDEX.size + BATCH * (4 + 1 + 8)
LIMITS = {
    Type.HELLO: 64 << 10,
    Type.PAGES: INDEX_LIMIT + BATCH * PAGE,
    Type.STATE: 16 << 20,
}
CONTROL_LIMIT = 4 << 10
"""The limit of every type without its own."""


class WireError(GnomonError):
    """The peer's bytes are not a migration stream of this version."""


# Messages ------------------------------------------------------------------------------------------------------------------------

Count = Annotated[int, msgspec.Meta(ge=0)]


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """The source introduces the guest: what the destination must build, and whether it ran."""

    session: bytes
    name: str
    software: str
    page: Count
    memory: Count
    harts: Count
    shadow_pages: Count
    running: bool


class Welcome(msgspec.Struct, forbid_unknown_fields=True):
    session: bytes
    name: str
    software: str


class RoundEnd(msgspec.Struct, forbid_unknown_fields=True):
    number: Count
    pages: Count
    zero: Count


class RoundDone(msgspec.Struct, forbid_unknown_fields=True):
    number: Count


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    """What all of memory, and the state, hash to: FINISH by the source, PREPARED by the destination."""

    pages: Count
    digest: str
    state: str


def state_digest(state: bytes) -> str:
    """What Identity.state says of a machine's state."""
    return f"{checksum(state):016x}"


class Abort(msgspec.Struct, forbid_unknown_fields=True):
    reason: str


MESSAGES = {
    Type.HELLO: Hello,
    Type.WELCOME: Welcome,
    Type.ROUND_END: RoundEnd,
    Type.ROUND_DONE: RoundDone,
    Type.FINISH: Identity,
    Type.PREPARED: Identity,
    Type.ABORT: Abort,
}
_decoders = {kind: msgspec.msgpack.Decoder(shape) for kind, shape in MESSAGES.items()}
encode = msgspec.msgpack.Encoder().encode


def decode(kind: Type, body: bytes):
    """The message of a control frame; None for those that carry nothing."""
    if kind not in _decoders:
        if len(body):
            raise WireError(f"a {kind.name} frame carries nothing, and this one carries {len(body)} bytes")
        return None
    try:
        return _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"a {kind.name} frame cannot be read: {error}") from None


# Headers -------------------------------------------------------------------------------------------------------------------------


class Header(NamedTuple):
    kind: Type
    flags: int
    length: int
    head: int
    sequence: int
    head_sum: int


def preamble(version: int = VERSION) -> bytes:
    return PREAMBLE.pack(MAGIC, version, 0)


def check_preamble(found: bytes, peer: str) -> None:
    magic, version, reserved = PREAMBLE.unpack(found)
    if magic != MAGIC:
        raise WireError(f"{peer} does not speak Gnomon's migration protocol: its first bytes are {bytes(found[:8])!r}")
    if version != VERSION:
        raise WireError(
            f"{peer} speaks version {version} of the migration protocol and this Gnomon speaks version {VERSION}",
            "run the same release of Gnomon on both sides",
        )
    if reserved:
        raise WireError(f"{peer} sent a preamble whose reserved bytes are not zero: {reserved:#x}")


def pack_header(kind: Type, flags: int, length: int, head: bytes, sequence: int) -> bytes:
    bare = HEADER.pack(kind, flags, length, len(head), sequence, checksum(head), 0)[:SUMMED]
    return bare + OWN_SUM.pack(checksum(bare))


def unpack_header(found: bytes | memoryview, sequence: int) -> Header:
    """Judge a header before one of its numbers is used (W1)."""
    kind, flags, length, head, order, head_sum, own_sum = HEADER.unpack(found)
    if checksum(found[:SUMMED]) != own_sum:
        raise WireError(f"the header of frame {sequence} is damaged: its checksum does not match")
    if order != sequence:
        raise WireError(f"a frame is lost or repeated: expected number {sequence}, found {order}")
    try:
        kind = Type(kind)
    except ValueError:
        raise WireError(f"frame {sequence} is of an unknown type: {kind}") from None
    if flags & ~LZ4 or (flags and kind is not Type.PAGES):
        raise WireError(f"a {kind.name} frame has unknown flags: {flags:#x}")
    limit = LIMITS.get(kind, CONTROL_LIMIT)
    if length > limit:
        raise WireError(f"a {kind.name} frame of {length} bytes is longer than its limit: {limit}")
    if kind is Type.PAGES:
        if not INDEX.size <= head <= min(length, INDEX_LIMIT):
            raise WireError(f"a PAGES frame of {length} bytes cannot have an index of {head}")
    elif head != length:
        raise WireError(f"a {kind.name} frame of {length} bytes must be summed whole, not {head} of it")
    return Header(kind, flags, length, head, order, head_sum)


def check_head(header: Header, head: bytes | memoryview) -> None:
    if checksum(head) != header.head_sum:
        raise WireError(f"a {header.kind.name} frame is damaged: its checksum does not match")


# Pages ---------------------------------------------------------------------------------------------------------------------------


class Index(NamedTuple):
    """What a pages frame holds: every gfn, which of them are all zero, the sums of the others and of the lz4 block they come in."""

    gfns: np.ndarray
    zero: np.ndarray
    sums: np.ndarray
    packed_sum: int

    @property
    def kept(self) -> int:
        return len(self.sums)


def page_sums(data: memoryview) -> np.ndarray:
    """xxh3-64 of every page of `data`."""
    return np.fromiter((checksum(data[at : at + PAGE]) for at in range(0, len(data), PAGE)), np.uint64, len(data) // PAGE)


def pack_index(gfns: np.ndarray, zero: np.ndarray, sums: np.ndarray, packed: bytes | None = None) -> bytes:
    """`packed` is the lz4 block that follows, None where the pages follow raw."""
    return b"".join(
        (
            INDEX.pack(len(gfns), len(sums), 0 if packed is None else checksum(packed)),
            gfns.astype("<u4").tobytes(),
            zero.astype(np.uint8).tobytes(),
            sums.astype("<u8", copy=False).tobytes(),
        )
    )


def unpack_index(header: Header, head: memoryview, pages: int, after: int) -> Index:
    """Judge the index of a pages frame for a guest of `pages` pages; `after` is the last gfn of the round so far (W2)."""
    count, kept, packed_sum = INDEX.unpack_from(head)
    if not 0 < count <= BATCH:
        raise WireError(f"a PAGES frame holds 1 to {BATCH} pages, and this one says {count}")
    if kept > count:
        raise WireError(f"a PAGES frame of {count} pages cannot carry {kept}")
    expected = INDEX.size + count * 5 + kept * 8
    if header.head != expected:
        raise WireError(f"the index of {count} pages, {kept} of them carried, has {expected} bytes, and this one has {header.head}")
    rest = header.length - header.head
    if header.flags & LZ4 and not 0 < rest < kept * PAGE:
        raise WireError(f"{kept} pages compressed are less than {kept * PAGE} bytes, and this frame carries {rest}")
    if not header.flags & LZ4 and rest != kept * PAGE:
        raise WireError(f"{kept} pages are {kept * PAGE} bytes, and this frame carries {rest}")
    if not header.flags & LZ4 and packed_sum:
        raise WireError(f"a PAGES frame that is not compressed has no sum of a compressed block, and this one says {packed_sum:#018x}")
    at = INDEX.size
    gfns = np.frombuffer(head, "<u4", count, at).astype(np.int64)
    zero = np.frombuffer(head, np.uint8, count, at + count * 4)
    sums = np.frombuffer(head, "<u8", kept, at + count * 5)
    if (zero > 1).any() or count - int(zero.sum()) != kept:
        raise WireError(f"a PAGES frame of {count} pages marks {int((zero == 0).sum())} as carried and carries {kept}")
    if int(gfns.max()) >= pages:
        raise WireError(f"page {int(gfns.max())} is outside the guest, which has {pages} pages")
    if int(gfns[0]) <= after or (np.diff(gfns) <= 0).any():
        steps = np.diff(gfns, prepend=after)
        wrong = int(np.flatnonzero(steps <= 0)[0])
        before = after if wrong == 0 else int(gfns[wrong - 1])
        how = "is sent twice in one round" if int(gfns[wrong]) == before else f"comes after page {before}, and pages of a round ascend"
        raise WireError(f"page {int(gfns[wrong])} {how}")
    return Index(gfns, zero.astype(bool), sums, packed_sum)


def compress(data: memoryview) -> bytes | None:
    """`data` as one lz4 block, or None where that would not be smaller."""
    packed = lz4.block.compress(data, mode="fast", store_size=False)
    return packed if len(packed) < len(data) else None


def decompress(packed: memoryview, kept: int, packed_sum: int) -> memoryview:
    """The `kept` pages of the lz4 block `packed`, which is judged before it is opened."""
    found = checksum(packed)
    if found != packed_sum:
        raise WireError(f"a PAGES frame is damaged: the checksum of its compressed pages is {found:#018x}, not {packed_sum:#018x}")
    try:
        data = lz4.block.decompress(packed, uncompressed_size=kept * PAGE)
    except lz4.block.LZ4BlockError:
        raise WireError(f"a PAGES frame cannot be decompressed to the {kept} pages it announces") from None
    if len(data) != kept * PAGE:
        raise WireError(f"a PAGES frame decompresses to {len(data)} bytes, not to {kept} pages of {PAGE}")
    return memoryview(data)


def check_pages(index: Index, data: memoryview) -> None:
    """Every carried page has the sum its index gives it (W2)."""
    found = page_sums(data)
    if not np.array_equal(found, index.sums):
        wrong = int(np.flatnonzero(found != index.sums)[0])
        gfn = int(index.gfns[~index.zero][wrong])
        raise WireError(f"page {gfn} is damaged: its checksum is {int(found[wrong]):#018x}, not {int(index.sums[wrong]):#018x}")
