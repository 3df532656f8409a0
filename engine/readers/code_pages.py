"""Which code page a text that is no UTF-8 is in: cp1252 unless another explains its letters clearly better.

The letters are judged by chardet, which measures better than anything of our own (`benchmarks.dialects`) where a text
is long or its script another one, and worse on a few western letters; so cp1252 holds unless it is clearly beaten.
"""

from __future__ import annotations

import codecs
import re

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
_LINE_WITH_OTHERS = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*[\r\n]*")
#: The bytes that cp1252 and cp1250 read alike.
_ALIKE = bytes(
    byte for byte in range(0x80, 0x100)
    if bytes([byte]).decode("cp1252", "replace") == bytes([byte]).decode("cp1250", "replace") != "\ufffd"
)  # fmt: skip


def guess_code_page(sample: bytes) -> tuple[str, float]:
    """The code page of a text, and how sure that is, from 0.0 to 1.0.

    Args:
        sample: bytes that are not all ASCII; `SAMPLE_BYTES` of them are enough.
    """
    sample = b"".join(_LINE_WITH_OTHERS.findall(sample))[:_JUDGED_BYTES]
    # What happens to be UTF-8 in between says nothing.
    text = sample.decode("utf-8", "surrogateescape")
    rest = "".join(c for c in text if c.isascii() or "\udc80" <= c <= "\udcff").encode("ascii", "surrogateescape")
    if _OWN_ALPHABET.search(rest) is None and not rest.translate(None, bytes(range(128)) + _ALIKE):
        return "cp1252", 0.9  # another Latin code page gives the same text
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
    if best != "cp1252" and likely[best] < (_CLEARLY if is_many else _CLEARLY_OF_FEW) * western:
        return "cp1252", 0.5
    rivals = [value for name, value in likely.items() if _reads_otherwise(sample, name, best)]
    first, second = likely.get(best, 0.0), max(rivals, default=0.0)
    return best, round(first / (first + second), 3) if first else 0.0


def _python_name(name: str | None) -> str:
    try:
        return codecs.lookup(name or "").name
    except LookupError:
        return ""


def _reads_otherwise(sample: bytes, one: str, other: str) -> bool:
    return one != other and sample.decode(one, "replace") != sample.decode(other, "replace")
