"""A text in UTF-16, UTF-32 or a multi-byte code page staged as UTF-8.

It is the same table, but one in which record ends can be found by looking at bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from engine.model import Source
from engine.storage import Storage

#: Stands in the staged copy for what could not be decoded: never valid UTF-8, so that the rows
#: concerned fail as undecodable when they are read, and no others.
_UNDECODABLE = b"\xff"
#: The same between decoding and encoding, where a text needs a character for it: a lone surrogate.
_UNDECODABLE_CHARACTER = "\udcff"
_HANDLER_NAME = "rowmill.mark_undecodable"


def stage_blocks(blocks: Iterable[bytes], target: Storage, target_key: str, *, encoding: str | None) -> Source:
    """Copy a text as a stream, into UTF-8 and without its byte order mark. A repeat makes the same copy.

    Args:
        blocks: the bytes of the text, cut anywhere.
        encoding: theirs; None: they are stored as they are, a byte order mark included.

    Returns:
        The copy, pinned.

    Raises:
        OutputNotWritableError: the target refuses writes.
        Exception: whatever `blocks` raises; nothing is left in the target then.
    """
    with target.open_writer(target_key) as writer:
        for data in blocks if encoding is None else as_utf8(blocks, encoding):
            writer.write(data)
    info = target.stat(target_key)
    return Source(url=target.url_of(target_key), size_bytes=info.size_bytes, etag=info.etag)


def as_utf8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8, without its byte order mark; what cannot be decoded becomes a byte that never is UTF-8."""
    codecs.register_error(_HANDLER_NAME, _mark)
    decoder = codecs.getincrementaldecoder(encoding)(_HANDLER_NAME)
    at_start = True
    for block in blocks:
        text = decoder.decode(block)
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", _HANDLER_NAME)
    yield decoder.decode(b"", True).encode("utf-8", _HANDLER_NAME)


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return _UNDECODABLE_CHARACTER, error.end
    if isinstance(error, UnicodeEncodeError):  # that character, or another lone surrogate
        return _UNDECODABLE, error.end
    raise error
