"""Which code page of the Latin alphabet a text is in, by what its letters are and stand beside.

The same byte is `ł` in one page and `³` in another. For each language of a page it is known how often
each of its letters beyond ASCII comes, and beside which others (`scripts/letter_statistics.py`); the page
one of whose languages makes the bytes likeliest is the one.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category

#: Those of Windows, and what is like them: they agree in many letters.
WINDOWS_PAGES = ("cp1252", "cp1250", "iso8859-2", "cp1254", "cp1257")
#: Code page → the one whose languages it shares, and how much rarer it is, as a logarithm.
PAGES: Mapping[str, tuple[str, float]] = {
    "cp1252": ("cp1252", 0.0),
    "cp1250": ("cp1250", 1.5),
    "iso8859-2": ("cp1250", 2.0),
    "cp1254": ("cp1254", 1.5),
    "cp1257": ("cp1257", 1.5),
    # What Excel saves as "CSV (MS-DOS)" and "CSV (Macintosh)" in western countries.
    "cp850": ("cp1252", 7.0),
    "mac_roman": ("cp1252", 7.0),
}
_NEIGHBOURS = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz*_")}
#: What a letter costs that the language has not, or not there; a sign; one where it does not stand; a control, and an
#: accent without its letter.
_FOREIGN, _SIGN, _MISPLACED, _CONTROL = 13.0, 5.0, 13.0, 14.0
#: What a letter costs more that belongs to another language of the page: tables of names hold several.
_LOAN = 2.0
#: What a capital amid small letters costs beside.
_CAPITAL_INSIDE = 4.0
_AFTER_LETTERS, _BEFORE_LETTERS = "®™©’”»…°²³ªº€–—\xa0", "“‘„«¿¡©’–—\xa0§µ"
#: A letter to Unicode, a sign to its users.
_MICRO = "µ"
#: Before names only.
_COPYRIGHT = "©"
#: The most that a letter costs on average where a text is in one of the languages.
_LIKELY = 10.5
#: The share of letters that stand beside one of ASCII, or alone: those of an own alphabet hardly do.
_LATIN_SHARE = 0.6
#: Different triples of bytes that are looked at.
_TRIPLES = 3_000


class LatinVerdict(NamedTuple):
    """The likeliest page."""

    encoding: str
    confidence: float
    """0.5 where another that gives another text is as likely, up to 1.0."""
    cost: float
    """Of a letter, on average: some 3 to 7 in a text of one language."""
    is_likely: bool
    """Whether the text is in one of the known languages at all."""


def guess_latin(sample: bytes) -> LatinVerdict:
    """Judge bytes that are not all ASCII."""
    triples = Counter(
        (before, byte, behind)
        for before, byte, behind in zip(b"\n" + sample, sample, sample[1:] + b"\n", strict=False)
        if byte >= 0x80
    ).most_common(_TRIPLES)
    costs = {page: _cost(page, triples) + rarity for page, (_, rarity) in PAGES.items()}
    best = min(costs, key=lambda page: costs[page])
    high = {byte for (_, byte, _), _ in triples}
    rivals = [cost for page, cost in costs.items() if any(_characters(page)[b] != _characters(best)[b] for b in high)]
    lead = min(rivals, default=math.inf) - costs[best]
    count = sum(number for _, number in triples)
    confidence = 0.99 if lead > 40 else 1 / (1 + math.exp(-lead / 4))
    cost = (costs[best] - PAGES[best][1]) / count
    is_latin = sum(number for triple, number in triples if _stands_among_ascii(*triple)) >= _LATIN_SHARE * count
    return LatinVerdict(best, round(min(0.99, confidence), 3), cost, is_latin and cost <= _LIKELY)


def _stands_among_ascii(before: int, _: int, behind: int) -> bool:
    return (before < 0x80 and behind < 0x80) or any(chr(byte).isalpha() for byte in (before, behind) if byte < 0x80)


def _cost(page: str, triples: list[tuple[tuple[int, int, int], int]]) -> float:
    """Of its likeliest language."""
    characters, languages = _characters(page), _statistics()[PAGES[page][0]]
    costs = dict.fromkeys(languages, 0.0)
    for (before, byte, behind), number in triples:
        character, left, right = characters[byte], characters[before], characters[behind]
        letter = character.lower()
        before_index, behind_index = _neighbour(left), _neighbour(right)
        extra = _CAPITAL_INSIDE if character.isupper() and left.islower() else 0.0
        if not character.isalpha() or character == _MICRO:
            cost = _cost_of_sign(character, left, right)
            for language in costs:
                costs[language] += number * cost
            continue
        each = dict.fromkeys(languages, _FOREIGN)
        for language, letters in languages.items():
            known = letters.get(letter)
            if known is not None:
                cost = (known[0] + known[1 + before_index] + known[29 + behind_index] - 144) / 2
                each[language] = min(_FOREIGN, cost)
        most = min(each.values()) + _LOAN
        for language, cost in each.items():
            costs[language] += number * (min(cost, most) + extra)
    return min(costs.values())


def _cost_of_sign(character: str, left: str, right: str) -> float:
    if character == "\ufffd" or character < "\xa0" or category(character) == "Sk":
        return _CONTROL
    is_misplaced = (
        (left.isalpha() and character not in _AFTER_LETTERS)
        or (right.isalpha() and character not in _BEFORE_LETTERS)
        or (right.islower() and character == _COPYRIGHT)
    )
    return _MISPLACED if is_misplaced else _SIGN


def _neighbour(character: str) -> int:
    return _NEIGHBOURS.get(character.lower(), _NEIGHBOURS["*"] if character.isalpha() else _NEIGHBOURS["_"])


@lru_cache(maxsize=8)
def _characters(page: str) -> str:
    """The character of each byte."""
    return "".join(bytes([byte]).decode(page, "replace") for byte in range(256))


@lru_cache(maxsize=1)
def _statistics() -> dict[str, dict[str, dict[str, bytes]]]:
    """Page → language → letter → costs, twice and from 48 on: its own, 28 for what stands before it, 28 behind."""
    # Takes 5 ms to load, and few processes come here.
    from importlib import resources

    text = resources.files("engine.readers").joinpath("latin_letters.json").read_text(encoding="utf-8")
    return {
        page: {
            language: {letter: costs.encode() for letter, costs in letters.items()}
            for language, letters in languages.items()
        }
        for page, languages in json.loads(text).items()
    }
