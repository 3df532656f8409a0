"""`python -m benchmarks.dialects`: who finds dialect and encoding of generated files, how often and how fast.

Needs the extra `bench`. A dialect is right when `csv.reader` reads by it every row that is not polluted as it was
written (blanks at the start of cells set aside, where they stand behind every comma). Stated bias: the corpus is our
own; each library is called as its documentation says, with a text of the same length.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import chardet
import charset_normalizer
import clevercsv
import duckdb

from benchmarks.dialect_corpus import DELIMITERS, Sample, corpus
from engine.readers.dialect import detect_dialect
from engine.readers.encoding import detect_encoding

#: Characters that each is shown; our own looks at as many at most.
_SAMPLE_CHARACTERS = 64 * 1024


@dataclass(frozen=True)
class Form:
    """What a candidate found."""

    delimiter: str
    quote: str
    escape: str | None
    skips_blanks: bool = False


def ours(text: str) -> Form:
    """The engine's own detection."""
    found = detect_dialect(text[:_SAMPLE_CHARACTERS], is_whole=True, later=[text[-8192:]])
    return Form(found.delimiter, found.quote_char, found.escape_char, found.blanks_before_quotes)


def sniffer(text: str) -> Form:
    """Python's own."""
    found = csv.Sniffer().sniff(text[:_SAMPLE_CHARACTERS])
    return Form(found.delimiter, found.quotechar or "", found.escapechar, found.skipinitialspace)


def clever(text: str) -> Form:
    """clevercsv, with its verbose and its time-consuming options left alone."""
    found = clevercsv.Sniffer().sniff(text[:_SAMPLE_CHARACTERS])
    return Form(found.delimiter or ",", found.quotechar or "", found.escapechar or None)


def duck(folder: Path) -> Form:
    """DuckDB's sniffer, which wants a file; the time to write it does not count."""
    found = duckdb.sql(f"SELECT Delimiter, Quote, Escape FROM sniff_csv('{folder / 'sample.csv'}')")  # noqa: S608 - own names
    delimiter, quote, escape = ("" if each in ("\0", "(empty)", None) else each for each in found.fetchall()[0])
    return Form(delimiter, quote, escape if escape and escape != quote else None)


def is_right(sample: Sample, form: Form) -> bool:
    """Whether the rows come out by it."""
    try:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE
        rows = list(
            csv.reader(
                io.StringIO(sample.text, newline=""),
                delimiter=form.delimiter,
                quotechar=form.quote or None,
                quoting=quoting,
                escapechar=form.escape,
                skipinitialspace=form.skips_blanks or sample.delimiter == ", ",
            )
        )
    except (csv.Error, TypeError, ValueError):
        return False
    left = iter(rows)
    return all(any(row == found for found in left) for row in sample.rows)


def compare_dialects(count: int, seed: int) -> None:
    """Print how many samples of each delimiter and pollution each candidate gets right."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidates: dict[str, Callable[[str], Form]] = {
            "rowmill": ours,
            "csv.Sniffer": sniffer,
            "clevercsv": clever,
            "DuckDB": lambda _text: duck(folder),
        }
        right: dict[str, Counter[str]] = defaultdict(Counter)
        seen: Counter[str] = Counter()
        seconds: dict[str, list[float]] = defaultdict(list)
        for sample in corpus(count, seed):
            groups = (
                "all",
                f"{sample.delimiter!r}",
                sample.pollution,
                f"{sample.size} rows",
                f"escape {sample.escape}",
            )
            seen.update(groups)
            (folder / "sample.csv").write_text(sample.text, encoding="utf-8", newline="")
            for title, find in candidates.items():
                began = time.process_time()
                try:
                    form: Form | None = find(sample.text)
                except Exception:  # noqa: BLE001 - each has its own way to give up
                    form = None
                seconds[title].append(time.process_time() - began)
                if form is not None and is_right(sample, form):
                    right[title].update(groups)
    print(f"{'':<18}{'files':>7}" + "".join(f"{title:>14}" for title in candidates))
    order = ["all", *(repr(each) for each in DELIMITERS)]
    for group in [*order, *sorted(set(seen) - set(order))]:
        if seen[group]:
            shares = "".join(f"{right[title][group] / seen[group]:>14.1%}" for title in candidates)
            print(f"{group:<18}{seen[group]:>7}{shares}")
    for label, place in (("median ms", 0.5), ("95 % within ms", 0.95), ("slowest ms", 1.0)):
        times = "".join(f"{1000 * sorted(each)[int(place * (len(each) - 1))]:>14.2f}" for each in seconds.values())
        print(f"{label:<25}{times}")


#: Encoding → words of a language that is written in it.
_LANGUAGES = {
    "utf-8": "Zoë Müller naïve Größe Łódź Москва 東京 café",
    "cp1252": "Zoë Müller naïve Größe prénom São Œuvre señor “Zitat” 12 €",
    "cp1250": "Łódź Gdańsk Poznań Dvořák žluťoučký kůň říjen świętokrzyskie Škoda ważny",
    "iso8859-2": "Łódź Gdańsk świętokrzyskie ważny Dvořák žluťoučký kůň příjmení Kőszeg száműzött",
    "cp1254": "İstanbul Kadıköy Güneş çiçek ağaç Şükrü ışık Beyoğlu öğrenci müdür",
    "cp1257": "Vilnius Šiauliai Panevėžys gatvė žemė Rīga Jūrmala Ķegums õpetaja Tšehhi",
    "cp1251": "Москва Казань Иван Мария Новосибирск улица дом город фамилия",
    "cp1253": "Αθήνα Θεσσαλονίκη Γεώργιος Μαρία όνομα πόλη διεύθυνση ημερομηνία",
    "shift_jis": "東京 大阪 山田太郎 住所 電話番号 名前 ありがとう カタカナ",
    "gb18030": "北京 上海 姓名 城市 电话号码 地址 公司 日期",
    "euc_kr": "서울 부산 이름 도시 전화번호 주소 회사 날짜",
}


def compare_encodings(count: int) -> None:
    """Print how many tables each candidate decodes as they were encoded."""
    candidates: dict[str, Callable[[bytes], str | None]] = {
        "rowmill": lambda data: detect_encoding(data)[0],
        "charset-normalizer": lambda data: getattr(charset_normalizer.from_bytes(data).best(), "encoding", None),
        "chardet": lambda data: chardet.detect(data)["encoding"],
    }
    rng = random.Random(1)  # noqa: S311 - data, no secrets
    print(f"{'':<18}{'files':>7}" + "".join(f"{title:>20}" for title in candidates))
    seconds: dict[str, list[float]] = defaultdict(list)
    for encoding, language in _LANGUAGES.items():
        words, right = language.split(), Counter[str]()
        for _ in range(count):
            rows = rng.choice([1, 3, 20, 400])
            text = "id,name,city\n" + "".join(
                f"{number},{rng.choice(words)},{rng.choice(['plain', 'town', rng.choice(words)])}\n"
                for number in range(rows)
            )
            data = text.encode(encoding)
            for title, find in candidates.items():
                began = time.process_time()
                found = find(data)
                seconds[title].append(time.process_time() - began)
                try:
                    right[title] += data.decode(found or "ascii") == text
                except (UnicodeDecodeError, LookupError):
                    continue
        print(f"{encoding:<18}{count:>7}" + "".join(f"{right[title] / count:>20.1%}" for title in candidates))
    print(f"{'median ms':<25}" + "".join(f"{1000 * sorted(each)[len(each) // 2]:>20.2f}" for each in seconds.values()))
    print(f"{'slowest ms':<25}" + "".join(f"{1000 * max(each):>20.2f}" for each in seconds.values()))


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dialects", description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="samples for the dialects (default: 1,000)")
    parser.add_argument("--tables", type=int, default=60, help="tables of each encoding (default: 60)")
    parser.add_argument("--seed", type=int, default=2, help="of the samples; ours was tuned on 1 (default: 2)")
    arguments = parser.parse_args()
    compare_dialects(arguments.files, arguments.seed)
    compare_encodings(arguments.tables)


if __name__ == "__main__":
    main()
