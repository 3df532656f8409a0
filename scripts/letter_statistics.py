"""Makes engine/readers/latin_letters.json from the names that Unicode's CLDR has in each language (by way of Babel).

    python scripts/letter_statistics.py

For every letter beyond ASCII of a language: its share of those, and how often which letters stand before and behind it,
as -2 times the natural logarithm, rounded, one character each from "0" on.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

from babel import Locale

TARGET = Path(__file__).resolve().parent.parent / "engine" / "readers" / "latin_letters.json"
#: Code page → the languages that are written in it.
LANGUAGES = {
    "cp1252": ["de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "ca"],
    "cp1250": ["pl", "cs", "sk", "hu", "hr", "sl", "ro", "sq"],
    "cp1254": ["tr"],
    "cp1257": ["lt", "lv", "et"],
}
#: Words with letters that names hardly have.
OTHER_WORDS = {"fr": ["cœur", "sœur", "vœu", "nœud", "œil", "bœuf", "mœurs", "œuf", "chœur"]}
#: What can stand beside a letter: ASCII letters, another letter, none.
NEIGHBOURS = "abcdefghijklmnopqrstuvwxyz*_"
_WORD = re.compile(r"[^\W\d_]{3,}")


def words_of(language: str) -> list[str]:
    """Names of countries, languages, currencies, scripts, months, days, cities and time zones."""
    locale = Locale(language)
    texts = [
        str(name)
        for names in (locale.territories, locale.languages, locale.currencies, locale.scripts, locale.variants)
        for name in names.values()
    ]
    for names in (locale.months, locale.days):
        texts += [name for form in ("format", "stand-alone") for name in names[form]["wide"].values()]
    texts += [str(zone["city"]) for zone in locale.time_zones.values() if zone.get("city")]
    texts += [name for zone in locale.meta_zones.values() for name in zone.get("long", {}).values()]
    return sorted({word for text in texts for word in _WORD.findall(text)} | set(OTHER_WORDS.get(language, ())))


def statistics(words: list[str]) -> dict[str, str]:
    """Letter → share, what stands before it, what behind it."""
    count: Counter[str] = Counter()
    before: dict[str, Counter[str]] = defaultdict(Counter)
    behind: dict[str, Counter[str]] = defaultdict(Counter)
    for word in words:
        text = f"_{word.lower()}_"
        for index, letter in enumerate(text):
            if not letter.isascii():
                count[letter] += 1
                before[letter][_neighbour(text[index - 1])] += 1
                behind[letter][_neighbour(text[index + 1])] += 1
    total = sum(count.values())

    def coded(share: float) -> str:
        return chr(ord("0") + round(-2 * math.log(share)))

    def row(of: Counter[str], all_of_it: int) -> str:
        return "".join(coded((of[each] + 0.5) / (all_of_it + 0.5 * len(NEIGHBOURS))) for each in NEIGHBOURS)

    return {
        letter: coded(n / total) + row(before[letter], n) + row(behind[letter], n)
        for letter, n in sorted(count.items())
        if n >= max(2, 0.003 * total)
    }


def _neighbour(character: str) -> str:
    return character if character in NEIGHBOURS else "*"


def main() -> None:
    """Write the file."""
    found = {
        page: {language: statistics(words_of(language)) for language in languages}
        for page, languages in LANGUAGES.items()
    }
    TARGET.write_text(json.dumps(found, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
