"""Which delimiter, quote and escape a CSV uses, judged by a sample of its text.

Each candidate cuts the sample by the exact rule; the one whose records agree most on their number
of cells wins, less where its cells hold other candidates, or quotes in other places than at both
ends. What is looked at is bounded, so that no text takes longer than a fraction of a second.
"""

from engine.readers.dialect.detect import detect_dialect
from engine.readers.dialect.verdict import DELIMITERS, ESCAPE, UNTESTED, Verdict

__all__ = ["DELIMITERS", "ESCAPE", "UNTESTED", "Verdict", "detect_dialect"]
