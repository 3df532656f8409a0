from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from engine import errors
from engine.errors import RowmillError, error_of

#: (name, indentation, transient) as the tree on top of the module draws them.
DRAWN = [
    (match["name"], len(match["branch"]), "(transient)" in match["rest"])
    for match in re.finditer(r"^(?P<branch>[ │├└─]*)(?P<name>\w+Error)\b(?P<rest>.*)$", errors.__doc__ or "", re.M)
]
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RowmillError)]


def test_the_tree_on_top_of_the_module_is_the_tree_there_is() -> None:
    parents: list[tuple[str, int]] = []
    drawn = {}
    for name, depth, transient in DRAWN:
        while parents and parents[-1][1] >= depth:
            parents.pop()
        drawn[name] = (parents[-1][0] if parents else "Exception", transient)
        parents.append((name, depth))
    assert drawn == {kind.__name__: (kind.__bases__[0].__name__, kind.transient) for kind in KINDS}
    assert all(len(kind.__bases__) == 1 for kind in KINDS)


def test_codes_and_exit_codes_are_each_errors_own() -> None:
    for kind in KINDS:
        assert {"code", "exit_code"} <= set(vars(kind)), kind
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    exit_codes = [kind.exit_code for kind in KINDS]
    taken = [errors.EXIT_SUCCEEDED, errors.EXIT_JOB_FAILED, errors.EXIT_JOB_CANCELLED]
    assert len({*exit_codes, *taken}) == len(exit_codes) + len(taken)
    # What a shell can tell apart, and does not take for a signal; 130 is the shell's own word for Ctrl-C.
    assert all(0 < code < 126 or code == 130 for code in exit_codes)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", kind.code) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_its_facts(kind: type[RowmillError]) -> None:
    error = kind("Chunk 3 of job x: ünï\n.", chunk_index=3, rows=[1, 2], path=None)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(again) is kind
        assert (str(again), again.message, again.facts) == (str(error), error.message, error.facts)
        assert (again.chunk_index, again.path) == (3, None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_from_its_code(kind: type[RowmillError]) -> None:
    again = error_of(kind.code, "said", job_id="j1")
    assert (type(again), again.message, again.job_id) == (kind, "said", "j1")


def test_an_unknown_code_gives_the_base_of_all_errors() -> None:
    assert type(error_of("from_a_newer_version", "said")) is RowmillError


def test_a_fact_that_is_not_there_is_a_missing_attribute() -> None:
    error = RowmillError("x", a=1)
    assert not hasattr(error, "b")
    with pytest.raises(AttributeError, match="b"):
        _ = error.b
