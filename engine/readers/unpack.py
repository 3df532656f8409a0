"""Compressed streams, inflated piece by piece in bounded memory: gzip, Zstandard, and what ZIP archives use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from zlib_ng import zlib_ng

from engine.config import EngineConfig
from engine.errors import SourceDamagedError, SourceTooLargeError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Bytes handed on in one piece, at most.
PIECE_BYTES = 256 * 1024
#: A stream is a bomb by its ratio only beyond this size: small ones of blank cells are harmless.
RATIO_FREE_BYTES = 16 * 1024 * 1024
#: Bytes given to an inflater at once: what stands behind a short member is copied for each of them.
_FEED_BYTES = 64 * 1024
#: A Zstandard frame may ask for so much memory, as a power of two: 128 MiB, as the `zstd` command allows.
_MAX_WINDOW_LOG = 27
#: What zlib calls a gzip stream, and one of deflate without any header.
_GZIP_BITS, _DEFLATE_BITS = 31, -15
_ERRORS = cast("tuple[type[Exception], ...]", (zlib_ng.error, zstd.ZstdError, EOFError))


class _Inflater(Protocol):
    """What inflates one member of a stream, as Python's `bz2`, `lzma` and `zstd` have it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class _ZlibInflater:
    """zlib as an `_Inflater`: by a library that is about twice as fast as Python's own."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib_ng.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # A full piece may have left output behind, although all input is taken.
        self.needs_input = not self._inner.unconsumed_tail and len(piece) < max_length
        return piece


def ungzip(blocks: Iterable[bytes], *, source: str) -> Iterator[bytes]:
    """The bytes of all members of a gzip stream; zeros that pad it are skipped, as `gzip` does.

    Raises:
        SourceDamagedError: it breaks off, a checksum is wrong, or something else follows a member.
    """
    return _inflate(blocks, lambda: _ZlibInflater(_GZIP_BITS), source=source, padding=b"\0")


def unzstd(blocks: Iterable[bytes], *, source: str) -> Iterator[bytes]:
    """The bytes of all frames of a Zstandard stream.

    Raises:
        SourceDamagedError: it breaks off, a checksum is wrong, or something else follows a frame.
    """
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
    return _inflate(blocks, lambda: zstd.ZstdDecompressor(options=options), source=source)


def undeflate(blocks: Iterable[bytes], *, source: str) -> Iterator[bytes]:
    """The bytes of one deflated entry of an archive, up to the end of its stream.

    Raises:
        SourceDamagedError: it breaks off, or makes no sense. The checksum is the caller's to compare.
    """
    return _inflate(blocks, lambda: _ZlibInflater(_DEFLATE_BITS), source=source, is_single=True)


def within_limits(pieces: Iterable[bytes], packed_bytes: int, config: EngineConfig, *, source: str) -> Iterator[bytes]:
    """The same pieces, counted on their way.

    Args:
        packed_bytes: what they were inflated from.

    Raises:
        SourceTooLargeError: there are more than `max_unpacked_bytes`, or than `max_unpacked_ratio` allows.
    """
    total_bytes = 0
    most_by_ratio = max(RATIO_FREE_BYTES, config.max_unpacked_ratio * packed_bytes)
    for piece in pieces:
        total_bytes += len(piece)
        if total_bytes > config.max_unpacked_bytes:
            raise SourceTooLargeError(
                f"{source} unpacks to more than the {config.max_unpacked_bytes:,} bytes that are allowed. Split it.",
                source=source,
                limit=config.max_unpacked_bytes,
            )
        if total_bytes > most_by_ratio:
            raise SourceTooLargeError(
                f"{source} looks like a decompression bomb: it unpacks to more than {config.max_unpacked_ratio:,} "
                "times its size. Unpack it, and import what you find.",
                source=source,
                limit=config.max_unpacked_ratio,
            )
        yield piece


def _inflate(
    blocks: Iterable[bytes],
    new_inflater: Callable[[], _Inflater],
    *,
    source: str,
    padding: bytes = b"",
    is_single: bool = False,
) -> Iterator[bytes]:
    """The members of a stream one after the other, in pieces of at most PIECE_BYTES, none of them empty."""
    inflater: _Inflater | None = new_inflater()
    is_first = True
    try:
        for data in _fed(blocks):
            while data:
                if inflater is None:
                    data = data.lstrip(padding) if padding else data
                    if not data:
                        break
                    inflater, is_first = new_inflater(), False
                piece = inflater.decompress(data, PIECE_BYTES)
                while piece or not (inflater.eof or inflater.needs_input):
                    if piece:
                        yield piece
                    if inflater.eof:
                        break
                    piece = inflater.decompress(b"", PIECE_BYTES)
                data = b""
                if inflater.eof:
                    if is_single:
                        return
                    data, inflater = inflater.unused_data, None
    except _ERRORS as error:
        what = "is damaged" if is_first else "is damaged, or something else follows what was compressed"
        raise SourceDamagedError(
            f"{source} {what}: it does not unpack ({str(error)[:100]}). Upload it again.", source=source
        ) from error
    if inflater is not None:
        what = "it was cut" if is_first else "it was cut, or something else follows what was compressed"
        raise SourceDamagedError(f"{source} breaks off: {what}. Upload it again.", source=source)


def _fed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _FEED_BYTES):
            yield block[start : start + _FEED_BYTES]
