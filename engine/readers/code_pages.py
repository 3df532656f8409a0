"""Which code page a text that is no UTF-8 is in: a Latin one by its letters (`latin`), others by chardet.

cp1252 holds where nothing speaks clearly for another. What is asked first is what takes no tables of a
hundred milliseconds: most files do without chardet.
"""

from __future__ import annotations

import codecs
import re

from engine.readers.latin import WINDOWS_PAGES, LatinVerdict, guess_latin

#: What files are in, as Python names it. chardet knows more, of which short texts look like many.
_CODE_PAGES = (
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp866", "cp852"),
    *("iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "koi8-r", "koi8-u"),
    *("cp932", "shift_jis", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "cp949"),
)
#: Read as cp1252, or as latin-1 where bytes do not allow that.
_WESTERN = ("cp1252", "iso8859-1", "iso8859-15")
#: How many times as likely as cp1252 another must be, where there are that many bytes to judge by, or fewer.
_CLEARLY, _CLEARLY_OF_FEW, _MANY_BYTES = 1.5, 2.5, 12
#: Bytes that are enough, and those of its lines with more than ASCII that are judged.
SAMPLE_BYTES = 64 * 1024
_JUDGED_BYTES = 16 * 1024
#: Characters beyond ASCII of an own alphabet come one after the other.
_OWN_ALPHABET = re.compile(rb"([\x80-\xff])(?!\1)[\x80-\xff]{2}")
_LINE_WITH_OTHERS = re.compile(rb"(?<![^\r\n])[^\r\n\x80-\xff]*+[\x80-\xff][^\r\n]*+[\r\n]*+")
#: The bytes that all Latin code pages of Windows read alike; below A0 MS-DOS and Macintosh have letters where they have
#: quotes and dashes.
_ALIKE = bytes(
    byte for byte in range(0xA0, 0x100)
    if {bytes([byte]).decode(page, "replace") for page in WINDOWS_PAGES} == {bytes([byte]).decode("cp1252", "replace")}
)  # fmt: skip
#: Shift JIS of kana and everyday kanji; bytes of its half-width kana, and those of others, are not among them.
_SHIFT_JIS = re.compile(
    rb"(?:[\x81-\x84\x88-\x97][\x40-\x7e\x80-\xfc]|\x98[\x40-\x72]|[\xe0-\xe2][\x40-\x7e\x80-\xfc]|[\x00-\x7f])*+"
)
#: A character by itself that is rather an umlaut of DOS, and the letter behind it.
_AMID_A_WORD = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f](?![^\x00-\x7f])|(?<![^\x00-\x7f])[^\x00-\x7f](?=[A-Za-z])")
#: What a letter costs at most in a text that is surely Latin.
_FLUENT = 6.5
#: Characters of two bytes that are enough to tell it, where so many of their first ones are below A0.
_FEW_CHARACTERS, _LOW_SHARE = 2, 0.5


def guess_code_page(sample: bytes) -> tuple[str, float]:
    """The code page of a text, and how sure that is, from 0.0 to 1.0.

    Args:
        sample: bytes that are not all ASCII; `SAMPLE_BYTES` of them are enough.
    """
    sample = telling_lines(sample)[:_JUDGED_BYTES]
    # What happens to be UTF-8 in between says nothing.
    text = sample.decode("utf-8", "surrogateescape")
    rest = "".join(c for c in text if c.isascii() or "\udc80" <= c <= "\udcff").encode("ascii", "surrogateescape")
    if _OWN_ALPHABET.search(rest) is None and not rest.translate(None, bytes(range(128)) + _ALIKE):
        return "cp1252", 0.9  # another Latin code page gives the same text
    if _is_shift_jis(sample) and not _is_fluent(guess_latin(sample)):
        return "cp932", 0.9
    latin = guess_latin(rest)
    if latin.is_likely:
        return latin.encoding, latin.confidence
    # Its tables take a tenth of a second to load; most files do without.
    import chardet

    likely: dict[str, float] = {}
    for guess in chardet.detect_all(sample, ignore_threshold=True):
        encoding = _python_name(guess["encoding"])
        if encoding in _CODE_PAGES or encoding in _WESTERN:
            likely.setdefault(encoding, guess["confidence"])
    western = max(likely.pop(name, 0.0) for name in _WESTERN)
    likely["cp1252"] = western
    best = max(likely, key=lambda name: likely[name])
    is_many = len(sample) - len(sample.translate(None, bytes(range(128, 256)))) >= _MANY_BYTES
    if best == "cp1252" or likely[best] < (_CLEARLY if is_many else _CLEARLY_OF_FEW) * western:
        return latin.encoding, min(0.5, latin.confidence)
    rivals = [value for name, value in likely.items() if _reads_otherwise(sample, name, best)]
    first, second = likely.get(best, 0.0), max(rivals, default=0.0)
    return best, round(first / (first + second), 3) if first else 0.0


def telling_lines(data: bytes) -> bytes:
    """The lines that hold more than ASCII; the others say nothing."""
    return b"".join(_LINE_WITH_OTHERS.findall(data))


def _is_fluent(latin: LatinVerdict) -> bool:
    return latin.is_likely and latin.cost <= _FLUENT


def _is_shift_jis(sample: bytes) -> bool:
    if _SHIFT_JIS.fullmatch(sample) is None:
        return False
    try:
        text = sample.decode("cp932")
    except UnicodeDecodeError:
        return False
    characters = [c for c in text if not c.isascii()]
    if 2 * len(_AMID_A_WORD.findall(text)) > len(characters):
        return False
    low = sum(0x81 <= c.encode("cp932")[0] <= 0x9F for c in characters)
    return len(characters) >= _FEW_CHARACTERS and low >= _LOW_SHARE * len(characters)


def _python_name(name: str | None) -> str:
    try:
        return codecs.lookup(name or "").name
    except LookupError:
        return ""


def _reads_otherwise(sample: bytes, one: str, other: str) -> bool:
    return one != other and sample.decode(one, "replace") != sample.decode(other, "replace")
