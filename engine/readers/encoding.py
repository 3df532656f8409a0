"""Which encoding a text is in: the byte order mark, then what the bytes allow."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence

from engine.native import loops

#: Longest first: UTF-32's mark begins with UTF-16's.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Every byte but those that the code page 1252 leaves undefined.
_DEFINED_IN_CP1252 = bytes(byte for byte in range(256) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D))
#: Below this confidence a user is told that the encoding may be another.
_SURE = 0.75
#: Bytes decoded in one go: they stay in the processor's cache.
_SLICE_BYTES = 256 * 1024


def normalise(encoding: str) -> str:
    """Python's name of a codec; "utf-8-sig" is "utf-8", since marks are skipped anyway."""
    name = codecs.lookup(encoding).name
    return "utf-8" if name == "utf-8-sig" else name


def is_for_files(encoding: str) -> bool:
    """Whether files come in it: not so the codecs of host names and of program text."""
    return encoding.replace("_", "-") not in ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")


def needs_transcoding(encoding: str) -> bool:
    """Whether delimiters and line ends cannot be found by looking at single bytes, as in UTF-16 and Shift JIS."""
    if encoding in ("utf-8", "ascii"):
        return False
    # Byte by byte tells codecs that switch their tables by an escape sequence, as ISO-2022-JP does.
    is_ascii = all(bytes([byte]).decode(encoding, "replace") == chr(byte) for byte in range(128))
    return not is_ascii or len(bytes(range(256)).decode(encoding, "replace")) != 256


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """The encoding that the mark at the start names, and the mark's length in bytes."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return None


def wide_without_mark(head: bytes) -> str | None:
    """UTF-16 or UTF-32 told by where the zero bytes of ASCII characters stand; None for anything else."""
    head = head[: len(head) // 4 * 4]
    zeros = [head[lane::4].count(0) for lane in range(4)]
    quarter = len(head) // 4
    if not any(zeros):
        return None
    if zeros[3] == quarter and zeros[2] > 0.5 * quarter > zeros[0]:
        return "utf-32-le"
    if zeros[0] == quarter and zeros[1] > 0.5 * quarter > zeros[3]:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    is_dominant = max(even, odd) > 2 * min(even, odd)
    return encoding if is_dominant and _is_utf_16(head.decode(encoding, "replace")) else None


def _is_utf_16(text: str) -> bool:
    """Whether this is the text, and not one of single bytes, some of them zero, taken two at a time."""
    if any(c < " " and c not in "\t\r\n" for c in text):
        return False
    # Of text in other scripts only the delimiters, spaces and line ends have zero bytes.
    if "\n" not in text and "\r" not in text and sum(c.isascii() for c in text) < 0.5 * len(text):
        return False
    others = [ord(c) for c in text if ord(c) > 0xFF]
    two_letters = sum(0x20 <= code >> 8 < 0x7F and 0x20 <= code & 0xFF < 0x7F for code in others)
    return two_letters <= 0.6 * len(others)


class EncodingEvidence:
    """Tells UTF-8 from a single-byte code page by everything it was shown, in constant memory."""

    def __init__(self) -> None:
        self._tail = b""
        self._multibyte = 0
        self._undecodable = 0
        self._undefined_in_cp1252 = False
        #: Lines with more than ASCII, from that with the first undecodable byte on.
        self._gathered = b""

    def watch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The same blocks, each shown on its way."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, data: bytes) -> None:
        """Show the next bytes of a stream, cut anywhere."""
        if not self._tail and data.isascii():
            return
        for start in range(0, len(data), _SLICE_BYTES):
            stop = min(start + _SLICE_BYTES, len(data))
            if self._tail or not self._is_utf_8(data, start, stop):
                self._add_slice(self._tail + data[start:stop])

    def add_sample(self, data: bytes) -> None:
        """Show bytes from elsewhere, whose first and last character may be cut."""
        start = 0
        while start < min(3, len(data)) and 0x80 <= data[start] < 0xC0:
            start += 1
        self.add(data[start:])
        self._tail = b""

    def verdict(self) -> str:
        """UTF-8 unless most of what is not ASCII cannot be; then a code page (`code_pages`), and in place of
        cp1252 latin-1 where that cannot be."""
        return self.verdict_with_confidence()[0]

    def verdict_with_confidence(self, sample: bytes | None = None) -> tuple[str, float]:
        """The verdict, and how sure it is, from 0.0 to 1.0.

        Args:
            sample: whole lines to judge a code page by; None for those from that with the first undecodable byte on.
        """
        undecodable = self._undecodable + len(self._tail)
        if undecodable <= self._multibyte:
            return "utf-8", round((self._multibyte + 1) / (self._multibyte + undecodable + 1), 3)
        # Its tables take a while to load, and UTF-8 needs none.
        from engine.readers.code_pages import SAMPLE_BYTES, guess_code_page

        encoding, confidence = guess_code_page(sample or (self._gathered or self._tail)[:SAMPLE_BYTES])
        return "iso8859-1" if encoding == "cp1252" and self._undefined_in_cp1252 else encoding, confidence

    def _is_utf_8(self, data: bytes, start: int, stop: int) -> bool:
        """Add a slice without a copy, where all of it is UTF-8 and so was everything before."""
        if loops is None or self._gathered:
            return False
        cut = stop - _incomplete_bytes(data[max(start, stop - 3) : stop])
        count = loops.continuation_bytes(data, start, cut)
        if count < 0:
            return False
        self._multibyte += count
        self._tail = data[cut:stop]
        return True

    def _add_slice(self, data: bytes) -> None:
        if self._is_utf_8(data, 0, len(data)):
            return
        cut = len(data) - _incomplete_bytes(data)
        data, self._tail = data[:cut], data[cut:]
        whole, gather_from = data, 0 if self._gathered else len(data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line_start = 1 + max(data.rfind(b"\n", 0, error.start), data.rfind(b"\r", 0, error.start))
            gather_from = min(gather_from, line_start)
            text = data.decode("utf-8", "ignore")
            valid = text.encode("utf-8")
            self._undecodable += len(data) - len(valid)
            if not self._undefined_in_cp1252:
                undefined = data.translate(None, _DEFINED_IN_CP1252)
                self._undefined_in_cp1252 = undefined != valid.translate(None, _DEFINED_IN_CP1252)
            data = valid
        self._multibyte += len(data) - len(text)
        if gather_from < len(whole):
            from engine.readers.code_pages import SAMPLE_BYTES, telling_lines

            if len(self._gathered) < SAMPLE_BYTES:
                self._gathered = (self._gathered + telling_lines(whole[gather_from:]))[:SAMPLE_BYTES]


def encoding_advice(encoding: str, confidence: float) -> tuple[str, ...]:
    """What a user may want to say of an encoding that was found by looking."""
    if confidence >= _SURE:
        return ()
    return (f"The encoding {encoding} is a guess by few letters. If these look wrong, say encoding.",)


def _incomplete_bytes(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that is not whole."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
        if byte < 0x80:
            break
    return 0


def detect_encoding(head: bytes, samples: Sequence[bytes] = ()) -> tuple[str, int, float]:
    """The encoding of a source, how many bytes of a byte order mark it begins with, and how sure that is.

    Args:
        head: the first bytes of the source.
        samples: bytes from further on, cut anywhere.
    """
    marked = byte_order_mark(head)
    if marked is not None:
        return *marked, 1.0
    wide = wide_without_mark(head[:4096])
    if wide is not None:
        return wide, 0, 0.9
    evidence = EncodingEvidence()
    for sample in (head, *samples):
        evidence.add_sample(sample)
    encoding, confidence = evidence.verdict_with_confidence(b"\n".join((head, *samples)))
    return encoding, 0, confidence
