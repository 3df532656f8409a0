"""What the compiled loop `record_ends` does, on whole arrays: for an installation without it. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LF, _CR = 10, 13


def record_ends(
    data: bytes, base: int, delimiter: int, quote: int, is_last: bool
) -> tuple[Sequence[int], Sequence[int]] | None:
    """The end of each record of bytes that begin with one, by quote parity; see `engine.native._loops.record_ends`."""
    # numpy takes a while to load.
    import numpy as np

    codes = np.frombuffer(data, np.uint8)
    ends = _line_ends(data, codes, is_last=is_last)
    line_counts = np.arange(1, len(ends) + 1)
    if quote >= 0 and quote in data:
        quotes = np.flatnonzero(codes == quote)
        if not _is_regular(codes, quotes, delimiter, is_last=is_last):
            return None
        # searchsorted gives the number of quotes before each line's end.
        is_end = (np.searchsorted(quotes, ends) & 1) == 0
        ends, line_counts = ends[is_end], line_counts[is_end]
    return _packed(ends + base), _packed(line_counts)


def _packed(numbers: npt.NDArray[np.int64]) -> array[int]:
    packed = array("q")
    packed.frombytes(numbers.astype("int64").tobytes())
    return packed


def _is_regular(codes: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64], delimiter: int, *, is_last: bool) -> bool:
    """Whether every quote stands where parity can be trusted with it."""
    import numpy as np

    if is_last and len(quotes) % 2:
        return False  # a quote that never closes
    may_border = np.zeros(256, np.bool_)
    may_border[[_LF, _CR, delimiter, codes[quotes[0]]]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    if opening[0] == 0:
        opening = opening[1:]
    if len(closing) and closing[-1] == len(codes) - 1:
        closing = closing[:-1]
    return bool(may_border[codes[opening - 1]].all() and may_border[codes[closing + 1]].all())


def _line_ends(data: bytes, codes: npt.NDArray[np.uint8], *, is_last: bool) -> npt.NDArray[np.int64]:
    """Offsets behind each LF, CRLF or lone CR; at the end of the source also behind an unended last line."""
    import numpy as np

    ends = np.flatnonzero(codes == _LF) + 1
    if b"\r" in data:
        returns = np.flatnonzero(codes == _CR)
        if returns[-1] == len(codes) - 1:
            # The next block may begin with the LF of this CR.
            lone = returns[:-1][codes[returns[:-1] + 1] != _LF]
            if is_last:
                lone = np.append(lone, returns[-1])
        else:
            lone = returns[codes[returns + 1] != _LF]
        if len(lone):
            ends = np.sort(np.concatenate([ends, lone + 1]), kind="stable")
    if is_last and len(codes) and (not len(ends) or ends[-1] != len(codes)):
        ends = np.append(ends, len(codes))
    return ends
