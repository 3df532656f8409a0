"""Archives of members that were compressed in pieces, read back by Python's own zipfile."""

from __future__ import annotations

import io
import zipfile
import zlib

from hypothesis import given
from hypothesis import strategies as st

from engine.results.zip_container import Checked, Member, checked, deflated, zip_segments


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_checksums_of_pieces_add_up_to_that_of_the_whole(pieces: list[bytes]) -> None:
    whole = Checked()
    for piece in pieces:
        whole = whole.then(checked(piece))
    data = b"".join(pieces)
    assert (whole.crc32, whole.raw_bytes) == (zlib.crc32(data), len(data))


def test_checksums_add_up_over_lengths_beyond_32_bits() -> None:
    zeros, total, doubled = checked(bytes(1024)), Checked(), checked(bytes(1024))
    for _ in range(23):
        doubled = doubled.then(doubled)
    assert doubled.raw_bytes == 2**33
    for _ in range(8):
        total = total.then(zeros)
    assert total == checked(bytes(8 * 1024))
    # x to the power of 2^32 - 1 is 1, so the checksum of zeros has that period in bits.
    assert Checked(raw_bytes=2**32 - 1).then(zeros).crc32 == zeros.crc32
    assert Checked(crc32=5).then(Checked(raw_bytes=2**32 - 1)).crc32 == 5


@given(
    contents=st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=4), min_size=1, max_size=4),
    max_32=st.sampled_from([0xFFFF_FFFF, 1, 30, 100]),
)
def test_zipfile_reads_members_back_also_where_numbers_need_64_bits(contents: list[list[bytes]], max_32: int) -> None:
    members = []
    for number, pieces in enumerate(contents):
        segments = []
        for piece in pieces:
            compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
            segments.append(compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH))
        segments.append(deflated(b"end", level=1))
        members.append(Member(name=f"x/{number}", checked=checked(b"".join([*pieces, b"end"])), segments=segments))
    data = b"".join(segment for segment in zip_segments(members, max_32=max_32) if isinstance(segment, bytes))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {f"x/{number}": b"".join([*pieces, b"end"]) for number, pieces in enumerate(contents)}
    assert data == b"".join(segment for segment in zip_segments(members, max_32=max_32) if isinstance(segment, bytes))
