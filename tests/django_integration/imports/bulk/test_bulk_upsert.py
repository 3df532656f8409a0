"""What a bulk upsert says of single rows, what it writes beside the cells, and what it refuses to be made of."""

from __future__ import annotations

import random
from typing import Any

import polars
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from django_integration.imports.bulk import Column, Lookup, Option, bulk_upsert
from engine.handlers import resolve_handler
from tests.django_integration.myapp.models import Carrier, Departure, Station

COLUMNS: dict[str, Any] = {"carrier": Lookup("Carrier", to="code"), "number": "No", "note": "Note", "tag": "Tag"}

#: A handler as a project has it: found by its dotted path.
import_stations = bulk_upsert(Station, match=("code",), columns={"code": "Code", "name": "Name"})


def frame(header: str, *rows: str) -> polars.DataFrame:
    names = header.split(",")
    return polars.DataFrame([row.split(",") for row in rows], schema=dict.fromkeys(names, polars.String), orient="row")


def departures(using: str, *rows: str, on_match: Any = "update") -> dict[str, list[Any]]:
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=COLUMNS, on_match=on_match, using=using)
    return handler(1, frame("Carrier,No,Note,Tag", *rows), "job", {})


def test_each_failure_is_tied_to_its_row(using: str) -> None:
    rows = ["AA,1,fine,t1", "AA,x,,", "ZZ,2,,", "AA,3,too long,", "BB,4,,t1", "BB,-5,,", "BB,6,fine,t2"]
    errors = departures(using, *rows)["error"]
    assert errors[0] is errors[6] is None
    assert errors[1] == "No: “x” value must be an integer."
    assert errors[2] == "Carrier: There is no carrier with code 'ZZ'."
    assert errors[3] == "Note: Ensure this value has at most 5 characters (it has 8)."
    assert "tag" in errors[4]
    assert "number_not_negative" in errors[5]
    assert Departure.objects.using(using).count() == 2


def test_a_lookup_finds_none_but_the_records_that_the_options_of_the_job_allow(using: str) -> None:
    lookup = Lookup("Carrier", to="code", among=lambda options: Q(code__in=options["carriers"]))
    handler = bulk_upsert(
        Departure, match=("carrier", "number"), columns={"carrier": lookup, "number": "No"}, using=using
    )
    batch = frame("Carrier,No", "AA,1", "BB,2")
    foreign = "Carrier: There is no carrier with code 'BB'."
    assert handler(1, batch, "job", {"carriers": ["AA"]})["error"] == [None, foreign]
    # It keeps nothing of the job before.
    assert handler(1, batch, "job", {"carriers": ["AA", "BB"]})["error"] == [None, None]


def test_a_record_that_a_condition_over_a_relation_finds_twice_is_one(using: str) -> None:
    departures(using, "AA,1,,", "AA,2,,")
    lookup = Lookup("Carrier", to="code", among=lambda _options: Q(departure__number__in=[1, 2]))
    columns: dict[str, Any] = {"carrier": lookup, "number": "No"}
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=columns, using=using)
    assert handler(1, frame("Carrier,No", "AA,3"), "job", {})["error"] == [None]


def test_a_condition_that_says_nothing_does_not_let_everything_pass(using: str) -> None:
    lookup = Lookup("Carrier", to="code", among=lambda _options: None)  # type: ignore[arg-type, return-value]
    columns: dict[str, Any] = {"carrier": lookup, "number": "No"}
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=columns, using=using)
    with pytest.raises(ImproperlyConfigured, match="must give a Q, not None"):
        handler(1, frame("Carrier,No", "AA,3"), "job", {})


def test_a_field_may_have_the_value_of_an_option_whatever_the_file_says(using: str) -> None:
    columns: dict[str, Any] = {"carrier": Option("carrier_id"), "number": "No"}
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=columns, using=using)
    batch = frame("No,options['carrier_id'],carrier_id", "1,9,9", "2,9,9")
    ours = Carrier.objects.using(using).get(code="BB")
    assert handler(1, batch, "job", {"carrier_id": ours.pk})["error"] == [None, None]
    assert set(Departure.objects.using(using).values_list("carrier_id", flat=True)) == {ours.pk}
    assert handler(1, batch, "job", {})["error"] == ["The job has no option 'carrier_id'."] * 2


def test_all_that_is_wrong_with_a_row_is_told_and_hostile_values_are_cut(using: str) -> None:
    (error,) = departures(using, f"{'Z' * 5000},x,,")["error"]
    assert error.startswith("Carrier: There is no carrier with code 'ZZZ")
    assert error.endswith("No: “x” value must be an integer.")
    assert len(error) < 300


def test_the_second_row_of_a_key_is_a_match_of_the_first(using: str) -> None:
    rows = ["AA,1,first,", "AA,1,last,"]
    for on_match, note, second in (("update", "last", False), ("skip", "first", False), ("error", "first", None)):
        answer = departures(using, *rows, on_match=on_match)
        record = Departure.objects.using(using).get()
        assert record.note == note
        assert answer["result"][0] == {"id": record.pk, "created": True}
        assert answer["result"][1] == (None if second is None else {"id": record.pk, "created": second})
        if on_match == "error":
            assert answer["error"][1] == "There is a departure with Carrier 'AA', No '1' already."
        record.delete(using=using)


@pytest.mark.parametrize("on_match", ["update", "skip"])
def test_each_row_has_the_id_of_its_record_however_long_the_rows_are(using: str, on_match: Any) -> None:
    """Records are told by the order in which the database gives their ids."""
    chance = random.Random(11)  # noqa: S311
    codes = [f"{number}" for number in chance.sample(range(10_000), 6_000)]
    names = ["é" * chance.randint(1, 10) for _ in codes]
    handler = bulk_upsert(
        Station, match=("code",), columns={"code": "Code", "name": "Name"}, on_match=on_match, using=using
    )
    half = polars.DataFrame({"Code": codes[::2], "Name": names[::2]})
    assert handler(1, half, "job", {})["error"] == [None] * len(half)
    answer = handler(1, polars.DataFrame({"Code": codes, "Name": names}), "job", {})
    found = {record.pk: (record.code, record.name) for record in Station.objects.using(using)}
    assert [found[result["id"]] for result in answer["result"]] == list(zip(codes, names, strict=True))
    assert [result["created"] for result in answer["result"]] == [False, True] * (len(codes) // 2)


def test_fields_without_a_column_are_set_as_save_sets_them(using: str) -> None:
    departures(using, "AA,1,a,", "AA,2,a,")
    first, second = Departure.objects.using(using).order_by("number")
    assert first.seats == 100
    assert first.token != second.token
    Departure.objects.using(using).update(seats=7)
    departures(using, "AA,1,b,")
    again = Departure.objects.using(using).get(number=1)
    assert (again.note, again.seats, again.token, again.made_at) == ("b", 7, first.token, first.made_at)
    assert again.changed_at > first.changed_at


def most_queries(using: str, rows: int) -> int:
    """A handful where the database can insert or update by a key, as MariaDB cannot; there rows go one by one."""
    return 10 if connections[using].features.supports_update_conflicts_with_target else 5 * rows


def test_a_batch_takes_few_statements_and_one_query_per_foreign_key(using: str) -> None:
    with CaptureQueriesContext(connections[using]) as captured:
        departures(using, *[f"AA,{number},," for number in range(250)])
    queries = [query["sql"] for query in captured.captured_queries]
    assert len([sql for sql in queries if sql.startswith("SELECT") and Carrier._meta.db_table in sql]) == 1
    assert len(queries) < most_queries(using, 250)


def test_overwritten_rows_of_a_plain_table_do_not_reach_the_database(using: str) -> None:
    handler = bulk_upsert(Station, match=("code",), columns={"code": "Code", "name": "Name"}, using=using)
    rows = [f"s{number % 3},n{number}" for number in range(90)]
    with CaptureQueriesContext(connections[using]) as captured:
        answer = handler(1, frame("Code,Name", *rows), "job", {})
    assert len(captured.captured_queries) < most_queries(using, 90)
    assert [each["created"] for each in answer["result"]] == [True] * 3 + [False] * 87
    assert sorted(Station.objects.using(using).values_list("name", flat=True)) == ["n87", "n88", "n89"]


def test_a_row_may_name_the_record_that_an_earlier_row_makes(using: str) -> None:
    columns: dict[str, Any] = {"code": "Code", "name": "Code", "parent": Lookup("Parent", to="code")}
    handler = bulk_upsert(Station, match=("code",), columns=columns, using=using)
    answer = handler(1, frame("Code,Parent", "a,", "b,a", "c,d", "d,b"), "job", {})
    assert answer["error"] == [None, None, "Parent: There is no station with code 'd'.", None]


def test_a_foreign_key_that_names_two_records_is_refused(using: str) -> None:
    columns: dict[str, Any] = {"carrier": Lookup("Name", to="name"), "number": "No"}
    handler = bulk_upsert(Departure, match=("carrier", "number"), columns=columns, using=using)
    assert handler(1, frame("Name,No", "same,1"), "job", {})["error"] == [
        "Name: There is more than one carrier with name 'same'."
    ]


def test_a_column_can_be_parsed_by_a_function(using: str) -> None:
    columns: dict[str, Any] = {
        "code": Column("Code", str.lower),
        "name": "Code",
        "floor": Column("Floor", ["ground", "first"].index),
    }
    handler = bulk_upsert(Station, match=("code",), columns=columns, using=using)
    answer = handler(1, frame("Code,Floor", "ABC,first", "DEF,roof"), "job", {})
    assert answer["error"] == [None, "Floor: ValueError: 'roof' is not in list"]
    assert Station.objects.using(using).values_list("code", "name", "floor").get() == ("abc", "ABC", 1)


def test_a_file_without_the_column_fails_every_row_and_says_what_it_has(using: str) -> None:
    handler = bulk_upsert(Station, match=("code",), columns={"code": "Code", "name": "Name"}, using=using)
    answer = handler(1, frame("code,Name", "a,b", "c,d"), "job", {})
    assert answer["error"] == ["The file has no column 'Code'; it has 'code', 'Name'."] * 2


class CarrierSerializer(serializers.ModelSerializer[Carrier]):
    """Refuses one name of its own accord."""

    class Meta:
        model = Carrier
        fields = ("code", "name")

    def validate_name(self, value: str) -> str:
        if value == "bad":
            raise serializers.ValidationError("Not this one.")
        return value.title()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("on_match", "name", "third"), [("update", "New", None), ("skip", "Old", None), ("error", "Old", "")]
)
def test_a_serializer_validates_and_saves_each_row(on_match: Any, name: str, third: str | None) -> None:
    Carrier.objects.create(code="AA", name="Old")
    handler = bulk_upsert(
        Carrier,
        match=("code",),
        columns={"code": "Code", "name": "Name"},
        on_match=on_match,
        serializer=CarrierSerializer,
    )
    answer = handler(1, frame("Code,Name", "BB,bo", "CC,bad", "AA,new", "LONG,x"), "job", {})
    assert answer["error"][0] is None
    assert answer["error"][1] == "Name: Not this one."
    assert answer["error"][2] == (None if third is None else "There is a carrier with Code 'AA' already.")
    assert "at most 3 characters" in answer["error"][3]
    assert dict(Carrier.objects.values_list("code", "name")) == {"AA": name, "BB": "Bo"}


def test_it_is_found_by_its_dotted_path() -> None:
    assert resolve_handler(f"{__name__}.import_stations") is import_stations


@pytest.mark.parametrize(
    ("model", "changes", "says"),
    [
        (Station, {"match": ("name",)}, "unique constraint covers exactly the match fields ('name')"),
        (Station, {"match": ()}, "unique constraint covers exactly"),
        (Station, {"match": "code"}, "write match=('code',)"),
        (Station, {"match": ("floor",)}, "columns has no file column for it"),
        (Station, {"on_match": "replace"}, "one of 'update', 'skip', 'error'"),
        (Station, {"columns": {"code": "Code", "nam": "Name"}}, "the fields are id, code, name, floor, parent"),
        (Station, {"columns": {"code": Lookup("Code", to="x")}}, "is no foreign key"),
        (Station, {"columns": {"code": "Code", "parent": Column("P", int)}}, "is a foreign key"),
        (Station, {"columns": {"code": "Code", "id": "Id"}}, "keys do not change"),
    ],
)
def test_what_cannot_work_is_told_when_it_is_made(model: Any, changes: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"match": ("code",), "columns": {"code": "Code", "name": "Name"}, **changes}
    with pytest.raises(ImproperlyConfigured, match=r"^bulk_upsert\(myapp.Station\)") as caught:
        bulk_upsert(model, **arguments)
    assert says in str(caught.value)
