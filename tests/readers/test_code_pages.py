"""Code pages are told by their letters, and cp1252 holds where nothing speaks clearly for another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.readers.code_pages import guess_code_page
from engine.readers.encoding import detect_encoding
from tests.readers.growth import seconds
from tests.reading import read

TEXTS = {
    "cp1251": "имя,город\nИван,Москва\nМария,Казань\n",
    "cp1253": "όνομα,πόλη\nΓεώργιος,Αθήνα\nΜαρία,Θεσσαλονίκη\n",
    "koi8-r": "имя,город\nИван,Москва\nМария,Казань\n",
    "cp1250": "imię,miasto\nŁukasz,Łódź\nŚwiętosława,Gdańsk\nZażółć,Poznań\n",
    "shift_jis": "名前,都市\n山田太郎,東京\n鈴木花子,大阪\nカタカナ,ひらがな\n",
    "gb18030": "姓名,城市\n张三,北京\n李四,上海\n",
    "euc_kr": "이름,도시\n김철수,서울\n이영희,부산\n",
}


@pytest.mark.parametrize(("encoding", "text"), TEXTS.items())
def test_texts_of_other_scripts_are_read_as_they_were_written(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    found, mark_bytes, confidence = detect_encoding(data * 5)
    assert data.decode(found) == text
    assert mark_bytes == 0
    assert 0.5 <= confidence <= 1.0


LATIN = {
    "cp1250": [
        "Łódź",
        "Gdańsk,Kraków",
        "żółw",
        "Škoda",
        "příjmení",
        "žluťoučký kůň",
        "őszibarack,fűszer",
        "București,Iași",
    ],
    "cp1254": ["İstanbul,Beyoğlu,Kadıköy,Şişli", "Güneş,ağaç", "Şükrü Işık"],
    "cp1257": ["Vilniaus gatvė,Žemė", "Rīga,Jūrmala,Ķegums", "Šiauliai,Panevėžys"],
    "iso8859-2": [
        "Łódź,Świętokrzyska,Białystok",
        "sądzić,pomocą",
        "ryż,płaszcz,odzież",
        "Benešová,Křížová",
        "Šimek,Ledeč nad Sázavou",
    ],
}


@pytest.mark.parametrize(("encoding", "text"), [(page, text) for page, texts in LATIN.items() for text in texts])
def test_a_few_words_of_another_latin_page_are_read_as_they_were_written(encoding: str, text: str) -> None:
    text = text.replace("ș", "ş").replace("ț", "ţ")
    found, _ = guess_code_page(text.encode(encoding))
    assert text.encode(encoding).decode(found) == text


NAMES = {
    "German": "Müller,Köln\nJürgen Groß,Düsseldorf\nSchäfer,Österreich\n",
    "French": "Hélène,Besançon\nFrançois,Orléans\nNoël,Sète\n",
    "Danish": "Søren,Århus\nJørgen,København\nBjørn,Næstved\n",
    "Portuguese": "João,São Paulo\nConceição,Évora\nAntónio,Setúbal\n",
}


@pytest.mark.parametrize("encoding", ["cp850", "mac_roman"])
@pytest.mark.parametrize("language", NAMES)
def test_what_excel_saves_for_ms_dos_and_macintosh_is_read_as_it_was_written(language: str, encoding: str) -> None:
    text = "name,city\n" + NAMES[language] * 3
    assert text.encode(encoding).decode(detect_encoding(text.encode(encoding))[0]) == text


def test_words_of_several_languages_of_one_page_are_of_that_page() -> None:
    text = "Größe,prénom,São,señor,naïve,Håkan,Łukasz\n"
    western = text.replace("Łukasz", "Zoë")
    assert guess_code_page(western.encode("cp1252"))[0] == "cp1252"
    eastern = "Dvořák,Łukasz,Wałęsa,Kőszeg,Dunaújváros,Đorđe,Žižek,Čech,Świętosława\n"
    assert eastern.encode("cp1250").decode(guess_code_page(eastern.encode("cp1250"))[0]) == eastern


@pytest.mark.parametrize("text", ["名前", "東京", "電話番号,町", "住所\n大阪"])
def test_a_few_words_of_japanese_are_shift_jis(text: str) -> None:
    data = f"id,a\n1,{text}\n".encode("shift_jis")
    assert data.decode(guess_code_page(data)[0]) == f"id,a\n1,{text}\n"


def test_what_few_letters_leave_open_is_shown_as_a_guess(tmp_path: Path) -> None:
    """And no row is lost by it: the cells are those of the encoding that is shown."""
    path = tmp_path / "t.csv"
    path.write_bytes("id,name\n1,Dvořák\n".encode("cp1250"))
    found = engine.inspect(path)
    assert found.rows == [["1", "Dvořák".encode("cp1250").decode(found.encoding)]]
    assert found.detection.confidence["encoding"] < 0.75
    assert [advice for advice in found.detection.advice if f"{found.encoding} is a guess" in advice]
    told = engine.inspect(path, encoding="cp1250")
    assert (told.rows, told.detection.advice) == ([["1", "Dvořák"]], ())
    path.write_bytes("id,name\n1,Dvořák\n2,Žluťoučký kůň\n3,příjmení\n".encode("cp1250"))
    assert (engine.inspect(path).encoding, engine.inspect(path).detection.advice) == ("cp1250", ())


@pytest.mark.parametrize("count_total_first", [True, False])
def test_the_whole_file_takes_a_guess_back(tmp_path: Path, count_total_first: bool) -> None:
    path = tmp_path / "t.csv"
    lines = [b"1,Dvo\xf8\xe1k"] + [b"2,plain text"] * 60_000 + ["3,Žluťoučký kůň,příjmení".encode("cp1250")] * 50
    path.write_bytes(b"id,name\n" + b"\n".join(lines))
    reading = read(path, count_total_first=count_total_first)
    assert reading.rows[0] == ["1", "Dvořák"]
    assert reading.plan.detection.advice == ()


@pytest.mark.parametrize(
    "text",
    [
        "Größe",
        "prénom,élève\n",
        "São Paulo,12 €\n",
        "señor\n",
        "“Zitat” – naïve\n",
        "Håkan,Åsa\n",
        "ééé",
        "\xa0",
        "50 µm",
        "« Été »",
        "250 m³ ± 5",
    ],
)
def test_western_words_are_cp1252_however_few(text: str) -> None:
    assert guess_code_page(text.encode("cp1252"))[0] == "cp1252"


@pytest.mark.parametrize("soup", [b"\xff", b"\x80\n", b"\xe9,", b"\xd0\xcf\n", bytes(range(128, 256))])
def test_any_bytes_get_a_code_page_soon(soup: bytes) -> None:
    guess_code_page(soup)
    assert seconds(lambda: guess_code_page(soup * (64 * 1024 // len(soup)))) < 0.5


def test_what_needs_no_tables_loads_none() -> None:
    program = (
        "import sys\nfrom engine.readers.encoding import detect_encoding\n"
        "detect_encoding('Größe,é\\n'.encode('cp1252'))\ndetect_encoding('Москва'.encode())\n"
        "print('chardet' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
