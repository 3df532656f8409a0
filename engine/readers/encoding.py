"""Which encoding a text is in: the byte order mark, then what the bytes allow."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

#: Longest first: UTF-32's mark begins with UTF-16's.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Bytes that the code page 1252 leaves undefined.
_UNDEFINED_IN_CP1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))


def normalise(encoding: str) -> str:
    """Python's name of a codec; "utf-8-sig" is "utf-8", since marks are skipped anyway."""
    name = codecs.lookup(encoding).name
    return "utf-8" if name == "utf-8-sig" else name


def needs_transcoding(encoding: str) -> bool:
    """Whether delimiters and line ends cannot be found by looking at single bytes, as in UTF-16."""
    if encoding in ("utf-8", "ascii"):
        return False
    all_bytes = bytes(range(256))
    text = all_bytes.decode(encoding, "replace")
    return len(text) != 256 or text[:128].encode("ascii", "replace") != all_bytes[:128]


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """The encoding that the mark at the start names, and the mark's length in bytes."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return None


def mark_length(head: bytes, encoding: str) -> int:
    """How many bytes of a byte order mark to skip when the encoding is given."""
    found = byte_order_mark(head)
    return found[1] if found is not None and found[0] == encoding else 0


def wide_without_mark(head: bytes) -> str | None:
    """UTF-16 or UTF-32 told by where the zero bytes of ASCII characters stand; None for anything else."""
    head = head[: len(head) // 4 * 4]
    if len(head) < 4 or 0 not in head:
        return None
    quarter = len(head) // 4
    zeros = [head[lane::4].count(0) / quarter for lane in range(4)]
    if zeros[0] < 0.1 and min(zeros[1:]) > 0.9:
        return "utf-32-le"
    if zeros[3] < 0.1 and min(zeros[:3]) > 0.9:
        return "utf-32-be"
    if zeros[0] + zeros[2] < 0.1 and zeros[1] + zeros[3] > 1.4:
        return "utf-16-le"
    if zeros[1] + zeros[3] < 0.1 and zeros[0] + zeros[2] > 1.4:
        return "utf-16-be"
    return None


class EncodingEvidence:
    """Tells UTF-8 from a single-byte code page by everything it was shown, in constant memory."""

    def __init__(self) -> None:
        self._multibyte_characters = 0
        self._undecodable_bytes = 0
        self._undefined_in_cp1252 = False

    def add(self, data: bytes) -> None:
        """Show bytes that begin and end at a character's edge."""
        if data.isascii():
            return
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("utf-8", "ignore")
            self._undecodable_bytes += len(data) - len(text.encode("utf-8"))
            if not self._undefined_in_cp1252:
                self._undefined_in_cp1252 = any(byte in data for byte in _UNDEFINED_IN_CP1252)
            self._multibyte_characters += sum(not character.isascii() for character in text)
        else:
            self._multibyte_characters += 1  # at least; exact numbers matter only where both kinds occur

    def add_cut(self, data: bytes) -> None:
        """Show bytes that may begin and end inside a character, such as a sample from the middle."""
        head = 0
        while head < min(3, len(data)) and 0x80 <= data[head] < 0xC0:
            head += 1
        tail = len(data)
        for back in range(1, min(4, len(data) - head) + 1):
            if data[-back] >= 0xC0:
                tail = len(data) - back
                break
            if data[-back] < 0x80:
                break
        self.add(data[head:tail])

    def verdict(self) -> str:
        """UTF-8 unless most of what is not ASCII cannot be; then cp1252, or latin-1 where that cannot be either."""
        if self._undecodable_bytes <= self._multibyte_characters:
            return "utf-8"
        return "iso8859-1" if self._undefined_in_cp1252 else "cp1252"


def detect_encoding(head: bytes, samples: Sequence[bytes] = ()) -> tuple[str, int]:
    """The encoding of a source, and how many bytes of a byte order mark it begins with.

    Args:
        head: the first bytes of the source.
        samples: bytes from further on, cut anywhere.
    """
    marked = byte_order_mark(head)
    if marked is not None:
        return marked
    wide = wide_without_mark(head[:4096])
    if wide is not None:
        return wide, 0
    evidence = EncodingEvidence()
    evidence.add_cut(head)
    for sample in samples:
        evidence.add_cut(sample)
    return evidence.verdict(), 0
