"""What is found of a dialect, and the characters that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model import Dialect

#: In the order of preference when two explain the sample equally well.
DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|", "^", "~")
#: Candidate → what its score is worth beside the others': texts are full of these characters.
WEAK_DELIMITERS: dict[str, float] = {":": 0.45, " ": 0.5}
ESCAPE = "\\"
#: Confidence in what nothing in the sample speaks for or against.
UNTESTED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A dialect, and how well it explains the sample."""

    delimiter: str
    quote_char: str
    """Empty where quotes mean nothing."""
    escape_char: str | None = None
    blanks_before_quotes: bool = False
    """Whether blanks stand between delimiters and opening quotes."""
    confidence: float = 0.0
    """Share of the sample's records that have the usual number of cells; 0.0 where nothing was found."""
    quote_confidence: float = UNTESTED
    """Share of the cells with a quote in which it stands where quotes do."""

    def dialect(self, encoding: str = "utf-8") -> Dialect:
        """As a value of the plan."""
        return Dialect(
            delimiter=self.delimiter,
            quote_char=self.quote_char or None,
            escape_char=self.escape_char,
            skip_initial_space="quoted" if self.blanks_before_quotes else "never",
            encoding=encoding,
        )
