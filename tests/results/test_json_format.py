import asyncio
import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.results import json_format
from engine.results.json_format import result_json, results_json

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.times(),
    st.decimals(),
    st.uuids(),
    st.binary(),
    st.sets(st.integers() | st.text()),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans() | st.floats() | st.dates(), inner)
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


@given(VALUES)
def test_any_value_becomes_json_that_utf8_can_hold(value: Any) -> None:
    text = result_json(value)
    text.encode()
    json.loads(text)


@given(VALUES)
def test_both_ways_write_the_same(value: Any) -> None:
    try:
        fast = orjson.dumps(value, json_format._plain, json_format._OPTIONS).decode()
    except orjson.JSONEncodeError:
        return
    assert json_format._dump(value, 0) == fast


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())))
def test_plain_values_read_back_equal_however_large(value: dict[str, Any]) -> None:
    assert json.loads(result_json(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": 1}, '{"id":1}'),
        ({"name": "Ä", "none": None}, '{"name":"Ä","none":null}'),
        ({"at": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC)}, '{"at":"2024-02-29T01:02:03+00:00"}'),
        ({"day": datetime.date(2024, 2, 29), "big": 10**30}, '{"day":"2024-02-29","big":1' + "0" * 30 + "}"),
        ({"nan": float("nan")}, '{"nan":null}'),
        ({"price": decimal.Decimal("1.50")}, '{"price":"1.50"}'),
        ({"set": {"b", "a", "c"}}, '{"set":["a","b","c"]}'),
        ({2: "a", None: "b", 1.5: "c", True: "d"}, '{"2":"a","null":"b","1.5":"c","true":"d"}'),
        ({(1, 2): "a"}, '{"(1, 2)":"a"}'),
        ({"half": "\ud800é"}, '{"half":"\\ud800é"}'),
        ({"n": np.int64(3), "a": np.array([1, 2]), "f": np.float64(0.5)}, '{"n":3,"a":[1,2],"f":0.5}'),
        (
            {"colour": Colour.RED, "p": Point(1, datetime.date(2024, 1, 1))},
            '{"colour":"red","p":{"x":1,"when":"2024-01-01"}}',
        ),
        (
            {"colour": Colour.RED, "p": Point(2**70, datetime.date(2024, 1, 1))},
            '{"colour":"red","p":{"x":1180591620717411303424,"when":"2024-01-01"}}',
        ),
        (MappingProxyType({"a": b"\xff"}), '{"a":"\\\\xff"}'),
        ({"object": object(), "type": int}, '{"object":"<object>","type":"<class \'int\'>"}'),
        ({"hostile": Hostile()}, '{"hostile":"<Hostile>"}'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (None, "null"),
    ],
)
def test_what_handlers_return(value: Any, expected: str) -> None:
    assert result_json(value) == expected


def test_values_that_contain_themselves_or_are_too_large_end_as_text() -> None:
    loop: list[Any] = [1]
    loop += [loop, loop]
    assert result_json(loop) == '"<list>"'
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert json.loads(result_json(deep)) == "<list>"
    assert json.loads(result_json(10**5_000)) == hex(10**5_000)


@pytest.mark.parametrize("error", [SystemExit(4), asyncio.CancelledError(), ValueError()])
def test_a_value_that_ends_more_than_itself_when_it_is_written_does_not(error: BaseException) -> None:
    class Ending:
        def __str__(self) -> str:
            raise error

    name = Ending.__qualname__
    assert result_json({"a": Ending()}) == f'{{"a":"<{name}>"}}'
    assert results_json([{"a": Ending()}, 1]) == [f'{{"a":"<{name}>"}}', "1"]


def test_a_ctrl_c_while_a_value_is_written_passes_through() -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result_json({"a": Interrupted()})
