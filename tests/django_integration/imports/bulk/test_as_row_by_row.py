"""A bulk upsert comes out as row by row, whatever is in the file."""

from __future__ import annotations

from typing import Any

import polars
import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from django_integration.imports.bulk import Lookup, bulk_upsert
from tests.django_integration.imports.bulk import oracle
from tests.django_integration.myapp.models import Departure
from tests.readers.strategies import examples

COLUMNS: dict[str, Any] = {
    "carrier": Lookup("Carrier", to="code"),
    "number": "Number",
    "price": "Price",
    "day": "Day",
    "note": "Note",
    "state": "State",
    "tag": "Tag",
}

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["AA", "BB", "AA", "BB", "AA", "XX", ""]),
        st.sampled_from(["1", "2", "3", "4", "1", "2", " 3", "-1", "5_0", "x", "", "3000000000", "9" * 20]),
        st.sampled_from(["", "1", "1.5", "12.345", "99999", "NaN", "1e9", "-0.00"]),
        st.sampled_from(["", "2024-02-29", "2023-02-29", "yesterday"]),
        st.sampled_from(["", "short", "long text", "é\t\\N", '",\n', "a\0b"]),
        st.sampled_from(["planned", "left", "planned", "left", "LEFT", ""]),
        st.sampled_from(["", "", "t1", "t2", "t3", "t4", "too long"]),
    ).map(list),
    max_size=14,
)


def clean_rows() -> st.SearchStrategy[list[list[str]]]:
    """Rows that only the database has something against: the bulk statements matter here."""
    return st.lists(
        st.tuples(
            st.sampled_from(["AA", "BB"]),
            st.sampled_from(["1", "2", "3", "4", "5", "6", "-1", "3000000000"]),
            st.sampled_from(["", "1.5"]),
            st.just("2024-02-29"),
            st.sampled_from(["", "a", "b"]),
            st.just("left"),
            st.sampled_from(["", "", "t1", "t2", "t3"]),
        ).map(list),
        max_size=20,
    )


@pytest.mark.parametrize("on_match", ["update", "skip", "error"])
def test_outcome_and_table_are_those_of_row_by_row(using: str, on_match: Any) -> None:
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=COLUMNS, on_match=on_match, using=using)

    @examples(50)
    @given(before=clean_rows(), batches=st.lists(st.one_of(ROWS, clean_rows()), min_size=1, max_size=3))
    def check(before: list[list[str]], batches: list[list[list[str]]]) -> None:
        with transaction.atomic(using=using):
            oracle.save_rows(before, "update", using)
            with transaction.atomic(using=using):
                expected = [named(oracle.save_rows(rows, on_match, using), using) for rows in batches]
                expected_table = oracle.table(using)
                transaction.set_rollback(True, using=using)
            for rows, outcomes in zip(batches, expected, strict=True):
                answer = handler(1, frame(rows), "job", {})
                stored = [
                    None if error is not None else (result["id"], result["created"])
                    for error, result in zip(answer["error"], answer["result"], strict=True)
                ]
                assert named(stored, using) == outcomes, answer["error"]
            assert oracle.table(using) == expected_table
            transaction.set_rollback(True, using=using)

    check()


def frame(rows: list[list[str]]) -> polars.DataFrame:
    return polars.DataFrame(rows, schema=dict.fromkeys(oracle.HEADER, polars.String), orient="row")


def named(stored: list[tuple[Any, bool] | None], using: str) -> list[Any]:
    """Outcomes with the record's own key in place of a number that differs from run to run."""
    names = {pk: key for pk, *key in Departure.objects.using(using).values_list("pk", "carrier__code", "number")}
    return [None if each is None else (names[each[0]], each[1]) for each in stored]


@pytest.mark.parametrize("on_match", ["update", "skip", "error"])
def test_a_large_batch_with_guilty_rows_comes_out_as_row_by_row(using: str, on_match: Any) -> None:
    # Keys differ, so that the rows go as one frame; the database refuses some, and others have cells to be cleaned.
    odd = {
        17: ["AA", "17", "1", "2024-02-29", "\t\\N\r\n", "left", ""],
        100: ["BB", "100", "", "", "", "planned", "t1"],
        101: ["AA", "101", "2.5", "2024-02-29", "", "left", "t1"],  # the tag is taken
        222: ["AA", "3000000000", "", "", "", "left", ""],
        300: ["BB", " 300", "", "29.02.2024", "", "left", ""],
        411: ["XX", "411", "", "", "", "left", ""],
        420: ["AA", "-1", "", "", "", "left", ""],
    }
    rows = [
        odd.get(number, ["AA", f"{number:04d}", "12.50", "2024-02-29", f"n{number}"[:5], "left", ""])
        for number in range(450)
    ]
    before = [["AA", "5", "", "", "", "planned", ""], ["AA", "17", "", "", "old", "planned", ""]]
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=COLUMNS, on_match=on_match, using=using)
    with transaction.atomic(using=using):
        oracle.save_rows(before, "update", using)
        with transaction.atomic(using=using):
            expected = named(oracle.save_rows(rows, on_match, using), using)
            expected_table = oracle.table(using)
            transaction.set_rollback(True, using=using)
        answer = handler(1, frame(rows), "job", {})
        stored = [
            None if error is not None else (result["id"], result["created"])
            for error, result in zip(answer["error"], answer["result"], strict=True)
        ]
        assert named(stored, using) == expected
        assert oracle.table(using) == expected_table
        assert [position for position, error in enumerate(answer["error"]) if error and position in odd]
        transaction.set_rollback(True, using=using)
