"""What was compressed comes out as it was, in small pieces; what is damaged is told, and a bomb is refused."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceTooLargeError
from engine.readers.unpack import ungzip, unzstd, within_limits
from tests.readers.strategies import block_sizes, examples

Unpack = Callable[..., Iterator[bytes]]
MIB = 1024 * 1024


def pack_zstd(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


FORMATS = [(gzip.compress, ungzip), (pack_zstd, unzstd)]
by_format = pytest.mark.parametrize(("pack", "unpack"), FORMATS, ids=["gzip", "zstd"])


def cut(data: bytes, block_bytes: int) -> list[bytes]:
    return [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]


@by_format
@examples(100)
@given(members=st.lists(st.binary(max_size=500).map(lambda data: data * (len(data) + 1)), min_size=1), size=block_sizes)
def test_members_come_out_as_they_were(
    pack: Callable[[bytes], bytes], unpack: Unpack, members: list[bytes], size: int
) -> None:
    packed = b"".join(map(pack, members))
    assert b"".join(unpack(cut(packed, size), source="s")) == b"".join(members)


@by_format
@examples(100)
@given(st.binary(min_size=1, max_size=300), st.data(), block_sizes)
def test_what_breaks_off_is_told(
    pack: Callable[[bytes], bytes], unpack: Unpack, content: bytes, data: st.DataObject, size: int
) -> None:
    packed = pack(content * 20)
    packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    with pytest.raises(SourceDamagedError, match="breaks off"):
        list(unpack(cut(packed, size), source="s"))


@by_format
@examples(200)
@given(st.binary(min_size=1, max_size=300), st.data(), st.integers(1, 255))
def test_a_changed_byte_is_told_or_changes_nothing(
    pack: Callable[[bytes], bytes], unpack: Unpack, content: bytes, data: st.DataObject, change: int
) -> None:
    packed = bytearray(pack(content))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= change
    try:
        found = b"".join(unpack([bytes(packed)], source="s"))
    except SourceDamagedError:
        return
    # Flags that nothing depends on, times and names may change.
    assert found == content


def test_zeros_behind_a_gzip_stream_are_padding_and_anything_else_is_told() -> None:
    packed = gzip.compress(b"a,b\n")
    assert b"".join(ungzip([packed, bytes(1000), packed + bytes(10)], source="s")) == b"a,b\na,b\n"
    with pytest.raises(SourceDamagedError, match="something else follows"):
        list(ungzip([packed + b"x"], source="s"))


def test_gzip_headers_with_everything_in_them_are_read() -> None:
    target = io.BytesIO()
    with gzip.GzipFile("a name.csv", "wb", fileobj=target, mtime=1) as file:
        file.write(b"a,b\n")
    extra = bytearray(target.getvalue())
    extra[3] |= 0b10100  # an extra field and a comment
    name_end = extra.index(b"\0", 10) + 1
    data = bytes(extra[:10]) + b"\x04\0abcd" + bytes(extra[10:name_end]) + b"a comment\0" + bytes(extra[name_end:])
    assert gzip.decompress(data) == b"a,b\n"
    assert b"".join(ungzip(cut(data, 3), source="s")) == b"a,b\n"


def test_a_zstandard_frame_that_is_to_be_skipped_holds_nothing() -> None:
    skipped = b"\x50\x2a\x4d\x18\x02\0\0\0xx"
    packed = skipped + zstd.compress(b"a") + skipped + zstd.compress(b"b")
    assert b"".join(unzstd(cut(packed, 5), source="s")) == b"ab"


def test_a_zstandard_window_of_too_much_memory_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(b"x") + compressor.flush()  # a stream of unknown length has its whole window
    with pytest.raises(SourceDamagedError, match="too much memory"):
        list(unzstd([packed], source="s"))


@by_format
def test_pieces_are_small_and_a_bomb_is_refused_soon(pack: Callable[[bytes], bytes], unpack: Unpack) -> None:
    packed = pack(bytes(200 * MIB))
    sizes: list[int] = []
    pieces = within_limits(unpack(cut(packed, MIB), source="s"), len(packed), EngineConfig(), source="s")
    with pytest.raises(SourceTooLargeError, match="bomb"):
        sizes.extend(map(len, pieces))
    assert max(sizes) <= 256 * 1024
    assert sum(sizes) <= max(16 * MIB, 100 * len(packed))


def test_what_packs_well_passes_while_it_is_small() -> None:
    packed = gzip.compress(bytes(15 * MIB))
    assert sum(map(len, within_limits(ungzip([packed], source="s"), len(packed), EngineConfig(), source="s"))) == (
        15 * MIB
    )


def test_the_limits_are_settings() -> None:
    pieces = repeat(bytes(MIB))
    with pytest.raises(SourceTooLargeError, match="more than the 3,145,728 bytes"):
        list(within_limits(pieces, 10**9, EngineConfig(max_unpacked_bytes=3 * MIB), source="s"))
    with pytest.raises(SourceTooLargeError, match="more than 7 times its size"):
        list(within_limits(pieces, 4 * MIB, EngineConfig(max_unpacked_ratio=7), source="s"))


def test_a_stream_of_a_million_empty_members_takes_no_time_for_each_of_them_again() -> None:
    member = gzip.compress(b"")
    assert list(ungzip(repeat(member * 3000, 20), source="s")) == []
    assert zlib.decompress(member, 31) == b""
