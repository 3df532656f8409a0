from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections import UserDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.handlers.row_adapter
from engine.handlers import RowAdapter, RowFailure
from engine.handlers.row_adapter import MAX_ERROR_CHARACTERS, NO_RESULT
from tests.readers.strategies import examples


class Guard:
    """Counts savepoints kept and rolled back; every row sets one that does not clear `touches`."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.undone: list[int] = []
        self.entered = 0
        self.touches = True
        self._number = 0

    @property
    def is_set(self) -> bool:
        return self.touches

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *_: object) -> None:
        self.entered -= 1

    def keep(self) -> None:
        self.kept.append(self._next())

    def undo(self) -> None:
        self.undone.append(self._next())

    def check_refusal(self) -> None:
        raise AssertionError("of batches only")

    def _next(self) -> int:
        assert self.entered == 1
        self._number += 1
        return self._number


def run(handler: Callable[..., Any], *rows: list[str], guard: Any = None, options: Any = None) -> list[Any]:
    return RowAdapter(handler, "job", {} if options is None else options, guard=guard).run(1, rows or [["a"]])


def returning(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def raising(error: BaseException) -> Callable[..., Any]:
    def handler(*_: Any) -> None:
        raise error

    return handler


@pytest.fixture(params=["compiled", "python"], autouse=True)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every behaviour is the same with the compiled loop and without."""
    if request.param == "python":
        monkeypatch.setattr(engine.handlers.row_adapter, "loops", None)
    else:
        assert engine.handlers.row_adapter.loops is not None, "the tests need a C compiler"
    return str(request.param)


@pytest.fixture(params=["plain", "guarded"])
def guard(request: pytest.FixtureRequest) -> Guard | None:
    """Every behaviour is the same with savepoints and without."""
    return Guard() if request.param == "guarded" else None


def test_a_handler_is_given_index_row_job_and_options(guard: Guard | None) -> None:
    seen: list[Any] = []

    def handler(*arguments: Any) -> dict[str, Any]:
        seen.append(arguments)
        return {"ok": True, "result": len(seen)}

    options = {"a": 1}
    found = RowAdapter(handler, "job-1", options, guard=guard).run(41, [["x"], [], ["y", "z"]])
    assert found == [1, 2, 3]
    assert seen == [(41, ["x"], "job-1", options), (42, [], "job-1", options), (43, ["y", "z"], "job-1", options)]


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [
        ({"ok": True, "result": {"id": 7}}, {"id": 7}),
        ({"ok": True, "result": None}, None),
        ({"ok": True, "result": "text"}, "text"),
        ({"ok": True}, {}),
        ({"ok": True, "error": "ignored", "result": 1}, 1),
        (UserDict({"ok": True, "result": 1}), 1),
        (MappingProxyType({"ok": True, "result": 1}), 1),
        ({"ok": False, "error": "no email"}, RowFailure("no email")),
        ({"ok": False, "error": "", "result": 1}, RowFailure("The handler refused the row without saying why.")),
        ({"ok": False, "error": None}, RowFailure("The handler refused the row without saying why.")),
        ({"ok": False}, RowFailure("The handler refused the row without saying why.")),
        ({"ok": False, "error": 404}, RowFailure("404")),
        ({"ok": False, "error": 0}, RowFailure("0")),
        ({"ok": False, "error": ["a", "b"]}, RowFailure("a b")),
        ({"ok": False, "error": {"email": "taken"}}, RowFailure("email: taken")),
        (
            {
                "ok": False,
                "error": {"email": ["Not one.", "Taken."], "non_field_errors": ["No."], "lines": [{}, {"n": "x"}]},
            },
            RowFailure("email: Not one. Taken.; No.; lines: n: x"),
        ),
        ({"ok": False, "error": {}}, RowFailure("The handler refused the row without saying why.")),
        ({"ok": False, "error": 'é\n😀,"'}, RowFailure('é\n😀,"')),
    ],
)
def test_a_return_of_the_guides_form_is_an_outcome(guard: Guard | None, returned: Any, outcome: Any) -> None:
    assert run(returning(returned), guard=guard) == [outcome]


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (True, "returned bool True, not a dict"),
        (None, "returned None, not a dict"),
        ("ok", "returned str 'ok', not a dict"),
        ((True, {}), "returned tuple (True, {}), not a dict"),
        ([("ok", True)], "returned list [('ok', True)], not a dict"),
        ({}, 'a dict without "ok"'),
        ({"success": True}, 'a dict without "ok"'),
        ({"OK": True}, 'a dict without "ok"'),
        ({"ok": 1}, '"ok" as int 1'),
        ({"ok": 0}, '"ok" as int 0'),
        ({"ok": "true"}, "\"ok\" as str 'true'"),
        ({"ok": None}, '"ok" as None'),
        ({"ok": []}, '"ok" as list []'),
    ],
)
def test_another_return_fails_the_row_and_says_what_it_was(guard: Guard | None, returned: Any, says: str) -> None:
    (failure,) = run(returning(returned), guard=guard)
    assert isinstance(failure, RowFailure)
    assert says in failure.message


def test_what_is_shown_of_a_wrong_return_is_short(guard: Guard | None) -> None:
    (failure,) = run(returning("x" * 1_000_000), guard=guard)
    assert len(failure.message) < 250


def test_a_very_long_error_is_cut_to_what_a_spreadsheet_cell_holds(guard: Guard | None) -> None:
    for handler in (returning({"ok": False, "error": "x" * 100_000}), raising(ValueError("y" * 100_000))):
        (failure,) = run(handler, guard=guard)
        assert len(failure.message) == MAX_ERROR_CHARACTERS


def endless() -> Any:
    return endless()


def too_much() -> Any:
    raise MemoryError


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for this")


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class Hostile:
    """A value of which nothing can be asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __eq__(self, _other: object) -> bool:
        raise RuntimeError("no equality")

    __hash__ = None  # type: ignore[assignment]


class HostileKey:
    """Stands where the "ok" of a dict is looked for."""

    def __hash__(self) -> int:
        return hash("ok")

    def __eq__(self, _other: object) -> bool:
        raise RuntimeError("no equality")


class PretendsToBeADict:
    """Says so, and answers as one."""

    __class__ = dict  # type: ignore[assignment]

    def get(self, key: str, default: Any = None) -> Any:
        return {"ok": True, "result": 5}.get(key, default)


class HostileMapping(UserDict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise LookupError("cannot be asked")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("bad email"), "ValueError: bad email"),
        (ValueError(), "ValueError"),
        (ValueError("  \n"), "ValueError"),
        (KeyError("email"), "KeyError: 'email'"),
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (BaseExceptionGroup("several", [KeyError("a")]), "ExceptionGroup: several (1 sub-exception)"),
        (Unspeakable(), "Unspeakable"),
        (Endless(), "Endless"),
        (NoText(), "NoText"),
        (MemoryError(), "MemoryError"),
        (StopIteration(5), "StopIteration: 5"),
    ],
)
def test_an_exception_is_a_failure_of_its_row(guard: Guard | None, error: BaseException, message: str) -> None:
    handlers = iter([returning({"ok": True, "result": 1}), raising(error), returning({"ok": True, "result": 3})])
    found = run(lambda *arguments: next(handlers)(*arguments), ["a"], ["b"], ["c"], guard=guard)
    assert found == [1, RowFailure(message), 3]


def test_a_handler_that_calls_itself_without_end_fails_its_row(guard: Guard | None) -> None:
    (failure,) = run(lambda *_: endless(), guard=guard)
    assert failure.message.startswith("RecursionError: maximum recursion depth exceeded")


@pytest.mark.parametrize(
    "returned",
    [
        Hostile(),
        {"ok": Hostile()},
        {"ok": False, "error": Hostile()},
        {HostileKey(): True},
        HostileMapping(ok=True),
    ],
)
def test_values_of_which_nothing_can_be_asked_fail_their_row(guard: Guard | None, returned: Any) -> None:
    (failure,) = run(returning(returned), guard=guard)
    assert isinstance(failure, RowFailure)
    assert failure.message


def test_what_answers_as_a_dict_is_one(guard: Guard | None) -> None:
    assert run(returning(PretendsToBeADict()), guard=guard) == [5]


def test_rows_that_are_no_list_are_run_as_well() -> None:
    assert RowAdapter(lambda index, *_: {"ok": True, "result": index}, "job", {}).run(7, (["a"], ["b"])) == [7, 8]


def test_a_row_index_may_be_large() -> None:
    assert RowAdapter(lambda index, *_: {"ok": True, "result": index}, "job", {}).run(2**40, [["a"]]) == [2**40]


def test_nothing_is_kept_of_what_went_through(guard: Guard | None) -> None:
    class Kept:
        pass

    made: list[weakref.ref[Kept]] = []

    def handler(row_index: int, row: list[str], *_: Any) -> Any:
        value = Kept()
        made.append(weakref.ref(value))
        if row_index % 3 == 0:
            raise ValueError(value)
        return {"ok": True, "result": value} if row_index % 3 == 1 else {"ok": value}

    outcomes = run(handler, *[["a"]] * 30, guard=guard)
    assert len(outcomes) == 30
    del outcomes
    gc.collect()
    assert [reference() for reference in made] == [None] * 30
    before = sys.getrefcount(None), sys.getrefcount(NO_RESULT)
    run(returning({"ok": True}), *[["a"]] * 100_000, guard=guard)
    after = sys.getrefcount(None), sys.getrefcount(NO_RESULT)
    assert [abs(now - then) < 10_000 for now, then in zip(after, before, strict=True)] == [True, True]


@examples(200)
@given(
    st.lists(
        st.sampled_from([True, False, None, 1, 0, "true"]).flatmap(
            lambda ok: st.fixed_dictionaries(
                {"ok": st.just(ok)}, optional={"result": st.integers(), "error": st.text()}
            )
        )
        | st.dictionaries(st.sampled_from(["ok", "result", "error", "other"]), st.booleans())
        | st.none()
        | st.sampled_from([ValueError("x"), KeyError("y"), SystemExit(2)])
    ),
    st.booleans(),
)
def test_the_compiled_loop_gives_the_outcomes_of_the_plain_one(returns: list[Any], has_guard: bool) -> None:
    def outcomes() -> tuple[list[Any], Any]:
        values, guard = iter(returns), Guard() if has_guard else None

        def handler(row_index: int, *_: Any) -> Any:
            value = next(values)
            if guard is not None:
                guard.touches = row_index % 2 == 0
            if isinstance(value, BaseException):
                raise value
            return value

        found = RowAdapter(handler, "job", {}, guard=guard).run(1, [["a"]] * len(returns))
        return found, guard and (guard.kept, guard.undone)

    compiled = outcomes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.handlers.row_adapter, "loops", None)
        assert compiled == outcomes()


def test_an_interrupt_comes_from_outside_and_passes_through(guard: Guard | None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(raising(KeyboardInterrupt()), guard=guard)


def test_a_handler_of_other_arguments_fails_its_rows(guard: Guard | None) -> None:
    (failure,) = run(lambda row: row, guard=guard)
    assert failure.message.startswith("TypeError: ")
    assert "takes 1 positional argument but 4 were given" in failure.message


def test_options_changed_by_a_handler_stay_so_for_the_chunk(guard: Guard | None) -> None:
    def handler(_row_index: int, _row: list[str], _job: str, options: dict[str, Any]) -> dict[str, Any]:
        options["seen"] = options.get("seen", 0) + 1
        return {"ok": True, "result": options["seen"]}

    assert run(handler, ["a"], ["b"], guard=guard, options={}) == [1, 2]


# Savepoints


def test_only_accepted_rows_keep_their_savepoint() -> None:
    guard = Guard()
    returns = iter([{"ok": True}, {"ok": False, "error": "no"}, None, {"ok": 1}, ValueError("x"), {"ok": True}])

    def handler(*_: Any) -> Any:
        value = next(returns)
        if isinstance(value, Exception):
            raise value
        return value

    run(handler, *[["a"]] * 6, guard=guard)
    assert (guard.kept, guard.undone) == ([1, 6], [2, 3, 4, 5])


def test_a_row_that_touches_nothing_has_no_savepoint() -> None:
    guard = Guard()

    def handler(row_index: int, *_: Any) -> Any:
        guard.touches = row_index == 2
        return {"ok": False, "error": "no"}

    run(handler, *[["a"]] * 3, guard=guard)
    assert (guard.kept, guard.undone, guard.entered) == ([], [1], 0)


@pytest.mark.parametrize(("returned", "end"), [({"ok": True}, "keep"), ({"ok": False, "error": "no"}, "undo")])
def test_a_savepoint_that_cannot_be_ended_fails_its_row(returned: Any, end: str, monkeypatch: Any) -> None:
    def fails(_guard: Guard) -> None:
        raise RuntimeError("deferred constraint")

    monkeypatch.setattr(Guard, end, fails)
    assert run(returning(returned), guard=Guard()) == [RowFailure("RuntimeError: deferred constraint")]


@pytest.mark.parametrize("is_compiled", [True, False])
def test_one_exception_for_all_rows_keeps_nothing_of_them(monkeypatch: pytest.MonkeyPatch, is_compiled: bool) -> None:
    if not is_compiled:
        monkeypatch.setattr(engine.handlers.row_adapter, "loops", None)
    taken = ValueError("taken")

    def handler(*_: Any) -> Any:
        raise taken

    outcomes = RowAdapter(handler, "job", {}).run(1, [["a"]] * 50)
    assert outcomes == [RowFailure("ValueError: taken")] * 50
    # What is left is of the last row at most.
    depth, traceback = 0, taken.__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    assert depth <= 2
