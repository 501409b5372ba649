"""wire: does every wrong byte meet a clear error before it can do anything?"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.migrate import wire
from gnomon.migrate.wire import BATCH, PAGE, Type, WireError


def header_of(kind=Type.COMMIT, flags=0, length=0, head=b"", sequence=0):
    return wire.pack_header(kind, flags, length, head, sequence)


def index_of(gfns, zero=None, *, sums=None, flags=0, rest=None):
    """A header and index for these pages, whose contents do not matter."""
    gfns = np.array(gfns, np.int64)
    zero = np.zeros(len(gfns), np.uint8) if zero is None else np.array(zero, np.uint8)
    sums = np.zeros(int((zero == 0).sum()), np.uint64) if sums is None else np.array(sums, np.uint64)
    head = wire.pack_index(gfns, zero, sums)
    rest = len(sums) * PAGE if rest is None else rest
    return wire.unpack_header(header_of(Type.PAGES, flags, len(head) + rest, head), 0), memoryview(head)


def refusal(header, head, pages=1000, after=-1):
    with pytest.raises(WireError) as caught:
        wire.unpack_index(header, head, pages, after)
    return caught.value.message


@given(st.sampled_from(Type), st.integers(0, 2**32 - 1), st.binary(max_size=64))
def test_does_a_header_say_at_the_other_end_what_it_was_told(kind, sequence, body):
    body = body.ljust(wire.INDEX.size, b"\0") if kind is Type.PAGES else body
    found = wire.unpack_header(header_of(kind, 0, len(body), body, sequence), sequence)
    assert (found.kind, found.length, found.head, found.sequence) == (kind, len(body), len(body), sequence)
    wire.check_head(found, body)


@given(st.integers(0, wire.HEADER.size * 8 - 1))
def test_is_any_flipped_bit_of_a_header_seen(bit):
    found = bytearray(header_of(Type.FINISH, 0, 3, b"abc", 5))
    found[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError, match="damaged"):
        wire.unpack_header(found, 5)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (header_of(sequence=4), "expected number 0, found 4"),
        (wire.pack_header(99, 0, 0, b"", 0), "unknown type: 99"),
        (header_of(flags=2), "unknown flags: 0x2"),
        (header_of(flags=wire.LZ4), "COMMIT frame has unknown flags"),
        (header_of(Type.FINISH, 0, 1 << 30, b"x"), "1073741824 bytes is longer than its limit: 4096"),
        (header_of(Type.STATE, 0, 0xFFFFFFFF, b"x"), "4294967295 bytes is longer than its limit: 16777216"),
        (header_of(Type.PAGES, 0, 0xFFFFFFFF, b"x"), "is longer than its limit"),
        (header_of(Type.FINISH, 0, 9, b"x"), "must be summed whole, not 1 of it"),
        (header_of(Type.PAGES, 0, 4, b""), "cannot have an index of 0"),
        (header_of(Type.PAGES, 0, 20000, b"x" * 10000), "cannot have an index of 10000"),
    ],
)
def test_is_a_header_judged_before_its_length_is_believed(header, says):
    with pytest.raises(WireError) as caught:
        wire.unpack_header(header, 0)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (wire.PREAMBLE.pack(b"GET / HT", 0, 0), "does not speak Gnomon's migration protocol: its first bytes are b'GET / HT'"),
        (wire.preamble(7), "speaks version 7 of the migration protocol and this Gnomon speaks version 1"),
        (wire.PREAMBLE.pack(wire.MAGIC, wire.VERSION, 5), "reserved bytes are not zero: 0x5"),
    ],
)
def test_is_a_stranger_told_from_another_version(found, says):
    with pytest.raises(WireError) as caught:
        wire.check_preamble(found, "host:7000")
    assert says in caught.value.message and "host:7000" in caught.value.message


@given(st.sets(st.integers(0, 999), min_size=1, max_size=BATCH), st.randoms(use_true_random=False))
def test_does_an_index_survive_the_wire(gfns, random):
    gfns = sorted(gfns)
    zero = [random.randint(0, 1) for _ in gfns]
    sums = [random.getrandbits(64) for z in zero if not z]
    found = wire.unpack_index(*index_of(gfns, zero, sums=sums), 1000, -1)
    assert found.gfns.tolist() == gfns
    assert found.zero.tolist() == [bool(z) for z in zero]
    assert found.sums.tolist() == sums


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (index_of([1000]), "page 1000 is outside the guest, which has 1000 pages"),
        (index_of([2**32 - 1]), "page 4294967295 is outside the guest"),
        (index_of([5, 5]), "page 5 is sent twice in one round"),
        (index_of([9, 3]), "page 3 comes after page 9, and pages of a round ascend"),
        (index_of([1, 2], rest=100), "2 pages are 8192 bytes, and this frame carries 100"),
        (index_of([1], flags=wire.LZ4, rest=PAGE), "1 pages compressed are less than 4096 bytes"),
        (index_of([1], flags=wire.LZ4, rest=0), "this frame carries 0"),
        (index_of([1, 2], [0, 1], sums=[1, 2]), "marks 1 as carried and carries 2"),
        (index_of([1, 2], [0, 7], sums=[1]), "marks 1 as carried and carries 1"),
        (index_of([1], sums=[1, 2]), "PAGES frame of 1 pages cannot carry 2"),
        (index_of([]), f"holds 1 to {BATCH} pages, and this one says 0"),
    ],
)
def test_is_an_index_that_lies_refused(given, says):
    assert says in refusal(*given)


@pytest.mark.parametrize(("count", "kept"), [(0xFFFFFFFF, 1), (BATCH + 1, 1), (1, 0xFFFFFFFF), (200, 3)])
def test_is_a_huge_count_refused_before_it_is_used(count, kept):
    head = wire.INDEX.pack(count, kept, 0) + bytes(13)
    header = wire.unpack_header(header_of(Type.PAGES, 0, len(head) + PAGE, head), 0)
    assert "PAGES" in refusal(header, memoryview(head)) or "index" in refusal(header, memoryview(head))


def test_may_a_round_return_to_a_page_of_an_earlier_batch():
    assert "page 4 comes after page 10" in refusal(*index_of([4, 20]), after=10)
    assert "page 10 is sent twice" in refusal(*index_of([10, 20]), after=10)


@settings(max_examples=50)
@given(st.integers(1, 4), st.data())
def test_is_any_flipped_bit_of_a_page_seen(kept, data):
    content = bytearray(np.random.default_rng(kept).bytes(kept * PAGE))
    sums = wire.page_sums(memoryview(content))
    index = wire.Index(np.arange(10, 10 + kept), np.zeros(kept, bool), sums, 0)
    wire.check_pages(index, memoryview(content))
    bit = data.draw(st.integers(0, kept * PAGE * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError, match=f"page {10 + bit // 8 // PAGE} is damaged"):
        wire.check_pages(index, memoryview(content))


def test_is_a_compressed_batch_bounded_by_what_it_announced():
    packed = wire.compress(memoryview(bytes(4 * PAGE)))
    packed_sum = wire.checksum(packed)
    assert bytes(wire.decompress(memoryview(packed), 4, packed_sum)) == bytes(4 * PAGE)
    for announced in (3, 5):
        with pytest.raises(WireError, match="decompress"):
            wire.decompress(memoryview(packed), announced, packed_sum)
    assert wire.compress(memoryview(np.random.default_rng(1).bytes(PAGE))) is None


def test_is_a_flipped_bit_of_a_compressed_block_seen_even_where_the_pages_come_out_the_same():
    packed = wire.compress(memoryview(bytes(4 * PAGE)))
    packed_sum, same = wire.checksum(packed), 0
    for bit in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError, match="compressed pages"):
            wire.decompress(memoryview(damaged), 4, packed_sum)
        try:
            same += wire.lz4.block.decompress(damaged, uncompressed_size=4 * PAGE) == bytes(4 * PAGE)
        except wire.lz4.block.LZ4BlockError:
            continue
    assert same, "no damage that the sums of the pages would have missed: this test shows nothing"


@pytest.mark.parametrize("body", [b"", b"\xc1", wire.encode({"number": -1}), wire.encode(["x"]), wire.encode({"number": 1, "more": 2})])
def test_is_a_message_of_another_shape_refused(body):
    with pytest.raises(WireError, match="ROUND_DONE frame cannot be read"):
        wire.decode(Type.ROUND_DONE, body)


def test_does_a_frame_that_carries_nothing_refuse_a_passenger():
    with pytest.raises(WireError, match="COMMIT frame carries nothing, and this one carries 2 bytes"):
        wire.decode(Type.COMMIT, b"no")
