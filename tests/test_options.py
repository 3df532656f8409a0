from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import OptionError
from engine.options import KNOWN, MAX_CUSTOM_OPTIONS_BYTES, ImportOptions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)

VALID: dict[str, list[Any]] = {
    "batch_size": [1, 500, 100_000],
    "count_total_first": [True, False],
    "header_rows": [0, 1, 1_000],
    "output_format": ["csv", "xlsx"],
    "create_result_file_records": [True, False],
    "handler_path": [None, "a.b"],
    "chunk_size": [None, 1, 10_000_000],
    "delimiter": [None, ",", ";", "|", "\t", "x", " "],
    "quote_char": [None, '"', "'", ""],
    "escape_char": [None, "\\", "", "^"],
    "skip_initial_space": [None, True, False],
    "encoding": [None, "utf-8", "cp1252", "utf-16", "ascii"],
    "skip_rows": [None, 0, 1_000_000],
    "decimal": [None, ".", ","],
    "added_columns": ["auto", "ignore", "keep"],
    "sheet": [None, "Table 1", 1, 10_000],
    "table": [None, "Prices", "A3:J500"],
    "member": [None, "a.csv", "folder/a b.csv"],
    "result_header": ["positional", "source"],
    "max_errors": [None, 0, 1, 10**12],
    "max_error_rate": [None, 0, 0.0, 0.25, 1],
}
INVALID: dict[str, list[Any]] = {
    "batch_size": [0, -1, 100_001, 1.0, "500", None, True, [500]],
    "count_total_first": [0, 1, "true", None],
    "header_rows": [-1, 1_001, "1", None, False, 1.0],
    "output_format": ["CSV", "xls", "", None, 1, ["csv"]],
    "create_result_file_records": [0, "false", None],
    "handler_path": ["", 5, ["a.b"]],
    "chunk_size": [0, -5, 10_000_001, "1000", True, 1e3],
    "delimiter": ["", ",,", "\n", "\r", "\0", "é", 5, ["|"]],
    "quote_char": ["''", "\n", "«", 5],
    "escape_char": ["\\\\", "\n", "«", 5],
    "skip_initial_space": [0, "true", []],
    "encoding": ["utf-99", "", "rot13", "base64", "hex", "a\0b", "é" * 3, 5, ["utf-8"], "undefined"],
    "skip_rows": [-1, 1_000_001, "1", True, 1.0],
    "decimal": ["", ";", 5],
    "added_columns": ["yes", None, True],
    "sheet": ["", 0, -1, True, 1.0, ["a"]],
    "table": ["", 5, ["a"]],
    "member": ["", 5, ["a.csv"]],
    "result_header": ["Source", None, True],
    "max_errors": [-1, 1.5, "10", True, 10**20],
    "max_error_rate": [-0.1, 1.01, "0.5", True, float("nan"), [0.5]],
}


def test_the_defaults_are_those_of_the_usage_guide() -> None:
    options = ImportOptions.from_mapping({})
    assert options == ImportOptions()
    assert options.for_handler() == {
        "batch_size": 500,
        "count_total_first": True,
        "header_rows": 1,
        "output_format": "csv",
        "create_result_file_records": True,
        "handler_path": None,
        "chunk_size": None,
        "delimiter": None,
        "quote_char": None,
        "escape_char": None,
        "skip_initial_space": None,
        "encoding": None,
        "skip_rows": None,
        "decimal": None,
        "added_columns": "auto",
        "sheet": None,
        "table": None,
        "member": None,
        "result_header": "positional",
        "max_errors": None,
        "max_error_rate": None,
    }


def test_the_table_of_options_has_every_field() -> None:
    fields = [field.name for field in dataclasses.fields(ImportOptions) if field.name != "custom"]
    assert list(KNOWN) == fields == list(VALID) == list(INVALID)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALID.items() for value in values])
def test_a_valid_value_is_taken(name: str, value: Any) -> None:
    assert getattr(ImportOptions.from_mapping({name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_an_invalid_value_is_refused_by_the_options_name(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        ImportOptions.from_mapping({name: value, "custom_field": 1})
    assert caught.value.option == name
    assert caught.value.message.startswith(f"{name} must be ")
    assert len(caught.value.message) < 200


def test_a_very_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(OptionError) as caught:
        ImportOptions.from_mapping({"batch_size": "9" * 100_000})
    assert len(caught.value.message) < 200


def test_a_number_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(OptionError, match="batch_size must be from 1 to 100,000"):
        ImportOptions.from_mapping({"batch_size": 10**5000})


def test_a_tab_may_be_written_as_a_shell_lets_one() -> None:
    assert ImportOptions.from_mapping({"delimiter": r"\t"}).delimiter == "\t"


@pytest.mark.parametrize("name", ["UTF8", "utf_8", "UTF-8"])
def test_an_encoding_has_one_name(name: str) -> None:
    assert ImportOptions.from_mapping({"encoding": name}).encoding == "utf-8"


@pytest.mark.parametrize("given", [{"delimiter": "'", "quote_char": "'"}, {"delimiter": '"', "quote_char": '"'}])
def test_delimiter_and_quote_must_differ(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="must differ"):
        ImportOptions.from_mapping(given)


@pytest.mark.parametrize("given", [{"delimiter": "^", "escape_char": "^"}, {"quote_char": "^", "escape_char": "^"}])
def test_the_escape_differs_from_both(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="must differ") as caught:
        ImportOptions.from_mapping(given)
    assert caught.value.option == "escape_char"


@pytest.mark.parametrize("given", [None, [], "batch_size=5", [("batch_size", 5)]])
def test_options_must_be_an_object(given: Any) -> None:
    with pytest.raises(OptionError) as caught:
        ImportOptions.from_mapping(given)
    assert caught.value.option == "options"


# Custom options


@given(custom=st.dictionaries(st.text(max_size=5).filter(lambda name: name not in KNOWN), JSON, max_size=4))
def test_unknown_names_reach_the_handler_as_json_has_them(custom: dict[str, Any]) -> None:
    options = ImportOptions.from_mapping({"batch_size": 7, **custom})
    seen = options.for_handler()
    assert seen["batch_size"] == 7
    assert {name: seen[name] for name in custom} == custom
    # What a ledger keeps and gives back is the same options.
    assert ImportOptions.from_mapping(json.loads(json.dumps(seen))) == options
    assert ImportOptions.from_mapping(json.loads(json.dumps(seen))).for_handler() == seen


def test_what_json_knows_as_a_list_or_a_text_is_one_from_the_start() -> None:
    options = ImportOptions.from_mapping({"tags": ("a", "b"), "names": {1: "x"}, 5: "five"})  # type: ignore[dict-item]
    assert {**options.custom} == {"tags": ["a", "b"], "names": {"1": "x"}, "5": "five"}


def test_a_custom_option_may_have_any_name() -> None:
    given = {"custom": 1, "self": 2, "": 3, "batch-size": 4}
    assert {**ImportOptions.from_mapping(given).custom} == given


def test_a_handler_that_changes_its_options_changes_nobody_elses() -> None:
    options = ImportOptions.from_mapping({"nested": {"list": [1]}})
    seen = options.for_handler()
    seen["nested"]["list"].append(2)
    seen["batch_size"] = 1
    assert options.for_handler()["nested"] == {"list": [1]}
    assert options.for_handler()["batch_size"] == 500


def circle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", float("nan"), float("inf"), circle(), nested(100_000), {(1, 2): 3}]
)
def test_a_custom_option_that_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match=r"is not JSON|levels deep") as caught:
        ImportOptions.from_mapping({"field": value})
    assert caught.value.option == "options"


def test_custom_options_have_a_limit_together() -> None:
    half = "x" * (MAX_CUSTOM_OPTIONS_BYTES // 2)
    assert ImportOptions.from_mapping({"a": half}).custom["a"] == half
    with pytest.raises(OptionError, match="65,536 are allowed"):
        ImportOptions.from_mapping({"a": half, "b": half})


def test_options_cannot_be_changed() -> None:
    options = ImportOptions.from_mapping({"field": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.batch_size = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        options.custom["field"] = 2  # type: ignore[index]
