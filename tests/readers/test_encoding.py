"""Encodings are told by their mark, by zero bytes, or by what all bytes of a source allow, however they come."""

from __future__ import annotations

import codecs
import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.readers import EncodingEvidence, needs_transcoding
from engine.readers.encoding import detect_encoding, is_for_files, normalise, wide_without_mark
from tests.readers.growth import assert_linear
from tests.readers.strategies import blocks_of, examples

WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
LATIN = "id,name\n1,Zoë\n2,naïve\n"
CYRILLIC = "имя,город\nИван,Москва\nМария,Казань\n"
CHINESE = "姓名,城市\n上海,一个\n北京,上\n" * 3


def every_text_encoding() -> list[str]:
    found = set()
    for name in [*encodings.aliases.aliases.values(), "cp1006", "cp720", "cp874"]:
        try:
            info = codecs.lookup(name)
        except LookupError:  # another platform's
            continue
        if info._is_text_encoding and is_for_files(info.name):
            found.add(info.name)
    return sorted(found)


@pytest.mark.parametrize("text", [LATIN, CYRILLIC, CHINESE, "a,b\n", "1\n", "a,\U0001f600\n" * 3])
def test_wide_encodings_are_found_with_and_without_a_mark(text: str) -> None:
    for encoding in WIDE:
        assert detect_encoding(text.encode(encoding))[:2] == (encoding, 0)
        mark = "\ufeff".encode(encoding)
        assert detect_encoding(mark + text.encode(encoding))[:2] == (encoding, len(mark))
    assert detect_encoding(codecs.BOM_UTF8 + text.encode())[:2] == ("utf-8", 3)
    assert detect_encoding(text.encode())[:2] == ("utf-8", 0)


@pytest.mark.parametrize(
    "data",
    [
        b"a,\0\nb,c\n",
        b"abc,\0\nabd,\0\n" * 10,
        b"a\0\0\0,b\0\0\0\n" * 9,
        b"\0",
        b"a,b\n\0,1\n",
        b"ab\0\n" * 50,
        b"abc\0" * 50,
        b"a,b\n" * 100 + b"\0" * 30,
    ],
)
def test_zero_bytes_in_a_text_of_single_bytes_do_not_make_it_wide(data: bytes) -> None:
    assert wide_without_mark(data) is None


@examples(100)
@given(st.text(st.sampled_from('ab,;\n"é漢\U0001f600')), st.data())
def test_the_verdict_does_not_depend_on_how_the_bytes_come(text: str, draw: st.DataObject) -> None:
    for data in (
        text.encode(),
        text.encode("cp1252", "ignore"),
        text.encode() + b"\xe9" * draw.draw(st.integers(0, 9)),
    ):
        whole, parts = EncodingEvidence(), EncodingEvidence()
        whole.add(data)
        assert list(parts.watch(iter(blocks := draw.draw(blocks_of(data))))) == blocks
        assert parts.verdict() == whole.verdict()


@examples(50)
@given(st.text(st.sampled_from("éü漢\U0001f600a"), min_size=4), st.integers(0, 12), st.integers(0, 12))
def test_a_sample_cut_inside_characters_is_judged_by_its_whole_ones(text: str, start: int, end: int) -> None:
    data = text.encode()
    assert detect_encoding(b"a,b\n", [data[start : len(data) - end]])[:2] == ("utf-8", 0)


def test_a_code_page_is_found_by_bytes_that_cannot_be_utf_8() -> None:
    assert detect_encoding("Größe,prénom\n".encode("cp1252"))[:2] == ("cp1252", 0)
    assert detect_encoding("“quoted” – text\n".encode("cp1252"))[:2] == ("cp1252", 0)
    assert detect_encoding("naïve\x81\x8d\n".encode("latin-1"))[:2] == ("iso8859-1", 0)
    assert detect_encoding(b"plain\n", ["é".encode("cp1252") * 3])[:2] == ("cp1252", 0)


def test_few_broken_bytes_do_not_make_a_utf_8_text_a_code_page() -> None:
    evidence = EncodingEvidence()
    for block in ("é,".encode() * 500_000, b"a\xe9" * 20, "é,".encode() * 10):
        evidence.add(block)
    assert evidence.verdict() == "utf-8"


def test_stray_utf_8_characters_do_not_hide_that_the_rest_is_a_code_page_with_curly_quotes() -> None:
    # The second byte of "Á" in UTF-8 is one that cp1252 leaves undefined.
    data = "Á".encode() + "“a” “b” “c”".encode("cp1252")
    assert detect_encoding(data)[:2] == ("cp1252", 0)


def test_a_character_cut_by_the_end_of_the_source_counts_against_utf_8() -> None:
    evidence = EncodingEvidence()
    evidence.add(b"abc\xe4")
    assert evidence.verdict() == "cp1252"


@pytest.mark.parametrize("encoding", every_text_encoding())
def test_an_encoding_is_read_byte_by_byte_only_where_bytes_of_ascii_mean_nothing_else(encoding: str) -> None:
    if needs_transcoding(encoding):
        return
    if encoding in ("utf-8", "ascii"):
        return
    for code in range(256):
        text = bytes([code]).decode(encoding, "replace")
        assert len(text) == 1
        assert (text.isascii() and ord(text) == code) == (code < 128)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-7", "shift_jis", "gb18030", "euc_kr", "big5", "iso2022_jp", "hz", "cp037"]
)
def test_encodings_that_share_bytes_between_characters_need_transcoding(encoding: str) -> None:
    assert needs_transcoding(normalise(encoding))


def test_an_encodings_other_names_are_one_name() -> None:
    assert normalise("UTF8") == normalise("utf-8-sig") == "utf-8"
    assert normalise("latin-1") == normalise("ISO-8859-1")


@pytest.mark.parametrize("soup", ["é".encode(), b"\xe9", b"a", b"\xe9\xc3\xa9", b"\x81", b"\xf0", b"\xf0\x9f\x98"])
def test_judging_takes_time_in_proportion_to_the_bytes(soup: bytes) -> None:
    assert_linear(lambda data: EncodingEvidence().add(data), soup * (1 << 19))
