"""Code pages are told by their letters, and cp1252 holds where nothing speaks clearly for another."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.readers.code_pages import guess_code_page
from engine.readers.encoding import detect_encoding
from tests.readers.growth import seconds

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


@pytest.mark.parametrize(
    "text",
    ["Größe", "prénom,élève\n", "São Paulo,12 €\n", "señor\n", "“Zitat” – naïve\n", "Håkan,Åsa\n", "ééé", "\xa0"],
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
