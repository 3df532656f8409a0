import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from engine.results.csv_format import encode_lines, result_line
from engine.results.records import count_records, read_records, record_pieces

CELLS = st.one_of(
    st.text(alphabet=st.sampled_from('",\r\n\té😀\u2028\x0b\x1ea'), max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


@given(rows=st.lists(st.tuples(st.lists(CELLS, max_size=5), CELLS), max_size=8), block_bytes=st.integers(1, 50))
def test_records_are_read_as_pythons_csv_module_does_wherever_blocks_end(
    rows: list[tuple[list[str], str]], block_bytes: int
) -> None:
    data = encode_lines([result_line(row, extra) for row, extra in rows])
    blocks = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)]
    expected = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert list(read_records(blocks)) == expected == [[*row, extra] for row, extra in rows]


def test_plain_newlines_and_a_missing_last_one_are_understood() -> None:
    assert list(read_records([b'a,b\n"c', b'\nd","e"\nf,"g"'])) == [["a", "b"], ["c\nd", "e"], ["f", "g"]]


def test_cells_beyond_the_csv_modules_limit_are_read() -> None:
    cell = 'x"\n' * 100_000
    assert list(read_records([encode_lines([result_line(["a"], cell)])])) == [["a", cell]]


@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8),
    block_bytes=st.integers(1, 60),
    piece_bytes=st.integers(1, 60),
)
def test_pieces_are_whole_records_and_are_counted_right(
    rows: list[list[str]], block_bytes: int, piece_bytes: int
) -> None:
    data = encode_lines([result_line(row[:-1], row[-1]) for row in rows])
    blocks = [data[at : at + block_bytes] for at in range(0, len(data), block_bytes)]
    pieces = list(record_pieces(blocks, piece_bytes))
    assert b"".join(pieces) == data
    assert [row for piece in pieces for row in read_records([piece])] == rows
    for piece in pieces:
        count = len(list(read_records([piece])))
        assert count_records(piece) == count
        assert count == 1 or len(piece) <= piece_bytes
