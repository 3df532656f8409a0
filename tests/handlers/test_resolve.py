from __future__ import annotations

import functools
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import HandlerError
from engine.handlers import handler_path_of, resolve_handler
from tests import sample_handlers

MODULES = {
    "fails_at_import": "1 / 0",
    "exits_at_import": "import sys; sys.exit('bye')",
    "cancelled_at_import": "import asyncio; raise asyncio.CancelledError",
    "has_a_mistake": "def handler(:",
    "imports_what_is_missing": "import not_installed_anywhere",
    "imports_a_missing_name": "from json import not_there",
    "has_no_ordinary_attributes": "def __getattr__(name): raise ValueError(name)",
    "things": """
import functools, math
number = 5
async def coroutine(*_): pass
def of_a_row(row): pass
def of_more(row_index, row, import_job_id, options, session): pass
def of_names(*, row_index, row, import_job_id, options): pass
class Maker:
    def __init__(self, name): pass
def of_cells(handler):
    @functools.wraps(handler)
    def called(row_index, row, import_job_id, options): return handler(row)
    return called
wrapped = of_cells(of_a_row)
part = functools.partial(of_more, session=1)
of_any = lambda *_, **__: None
compiled = math.hypot
""",
    "package/__init__": "",
    "package/inner": "def handler(row_index, row, import_job_id, options): return {'ok': True}",
}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        path = tmp_path / f"sample_{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in [name for name in sys.modules if name.startswith("sample_")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("path", ["tests.sample_handlers.accept", "tests.sample_handlers:accept"])
def test_both_forms_of_a_path_name_the_handler(path: str) -> None:
    assert resolve_handler(path) is sample_handlers.accept


def test_the_form_with_a_colon_reaches_into_classes() -> None:
    assert resolve_handler("tests.sample_handlers:Checks.accept") is sample_handlers.Checks.accept


@pytest.mark.parametrize("name", ["wrapped", "part", "of_any", "compiled"])
def test_what_can_be_called_with_four_arguments_is_a_handler(name: str) -> None:
    assert callable(resolve_handler(f"sample_things.{name}"))


def test_a_module_inside_a_package_is_found() -> None:
    assert resolve_handler("sample_package.inner.handler")(1, [], "", {}) == {"ok": True}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "is not of the form package.module.function"),
        ("sample_things.of_a_row", "takes (row), and is called with four arguments: (row_index, row"),
        (
            "sample_things.of_more",
            "takes (row_index, row, import_job_id, options, session), and is called with four",
        ),
        ("sample_things.of_names", "and is called with four arguments"),
        ("sample_things.Maker", "takes (name), and is called with four arguments"),
        ("accept", "is not of the form package.module.function"),
        ("tests.sample_handlers:", "is not of the form package.module.function"),
        (":accept", "is not of the form package.module.function"),
        (".sample_handlers.accept", "is not of the form package.module.function"),
        ("tests..accept", "is not of the form package.module.function"),
        ("tests/sample_handlers.py:accept", "is not of the form package.module.function"),
        ("__import__('os').system", "is not of the form package.module.function"),
        ("no_such_package.handlers.accept", "there is no module 'no_such_package' on the Python path"),
        ("tests.no_such_module.accept", "there is no module 'tests.no_such_module' on the Python path"),
        ("tests.sample_handlers.accept.deeper", "there is no module 'tests.sample_handlers.accept'"),
        ("sample_imports_what_is_missing.f", "its module imports 'not_installed_anywhere', which is not installed"),
        ("sample_imports_a_missing_name.f", "its module fails with ImportError: cannot import name 'not_there'"),
        ("sample_fails_at_import.f", "its module fails with ZeroDivisionError: division by zero"),
        ("sample_exits_at_import.f", "its module fails with SystemExit: bye"),
        ("sample_cancelled_at_import.f", "its module fails with CancelledError"),
        ("sample_has_a_mistake.f", "its module fails with SyntaxError"),
        ("sample_has_no_ordinary_attributes.f", "its module fails with ValueError: f"),
        ("tests.sample_handlers.acept", "'tests.sample_handlers' has no 'acept'; did you mean 'accept'?"),
        ("tests.sample_handlers.zzz", "'tests.sample_handlers' has no 'zzz'."),
        ("tests.sample_handlers:Checks.acept", "'tests.sample_handlers' has no 'Checks.acept'; did you mean 'accept'?"),
        ("sample_things:number.real.zzz", "'sample_things' has no 'number.real.zzz'."),
        ("sample_things.number", "is of type int, which cannot be called"),
        ("sample_things.coroutine", "is an async function"),
        ("tests.sample_handlers:a..b", "has no 'a..b'"),
    ],
)
def test_a_path_that_names_no_handler_is_told_plainly(path: str, says: str) -> None:
    with pytest.raises(HandlerError) as caught:
        resolve_handler(path)
    assert says in caught.value.message
    assert repr(path) in caught.value.message
    assert caught.value.handler_path == path


def test_a_keyboard_interrupt_while_a_module_is_imported_passes_through(
    tmp_path: Path,
) -> None:
    (tmp_path / "sample_interrupted.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        resolve_handler("sample_interrupted.f")


def test_where_ctrl_c_is_not_heard_the_interrupt_is_the_modules_own(tmp_path: Path) -> None:
    (tmp_path / "sample_interrupts_itself.py").write_text("raise KeyboardInterrupt")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(HandlerError, match="its module fails with KeyboardInterrupt"):
            resolve_handler("sample_interrupts_itself.f")
    finally:
        signal.signal(signal.SIGINT, before)


# From the handler to its path


class Caller:
    def __call__(self, *_: Any) -> dict[str, Any]:
        return {"ok": True}

    def method(self, *_: Any) -> dict[str, Any]:
        return {"ok": True}

    @classmethod
    def of_class(cls, *_: Any) -> dict[str, Any]:
        return {"ok": True}


@functools.cache
def wrapped(*_: Any) -> dict[str, Any]:
    return {"ok": True}


@pytest.mark.parametrize("handler", [sample_handlers.accept, sample_handlers.Checks.accept, Caller.of_class, wrapped])
def test_a_path_leads_back_to_its_handler(handler: Any) -> None:
    assert resolve_handler(handler_path_of(handler)) == handler


def test_a_path_stays_as_it_is() -> None:
    assert handler_path_of("any.text") == "any.text"


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (lambda *_: None, "is a lambda or a nested function"),
        (Caller(), "which other processes cannot import"),
        (Caller().method, "a method of an object"),
        (functools.partial(sample_handlers.accept), "which other processes cannot import"),
        (wrapped.__wrapped__, "a wrapped function"),
        (5, "is of type int, which cannot be called"),
        (None, "is of type NoneType, which cannot be called"),
    ],
)
def test_a_handler_that_other_processes_cannot_import_is_told_plainly(handler: Any, says: str) -> None:
    with pytest.raises(HandlerError) as caught:
        handler_path_of(handler)
    assert says in caught.value.message


def test_a_nested_function_has_no_path() -> None:
    def nested(*_: Any) -> None: ...

    with pytest.raises(HandlerError, match="nested function"):
        handler_path_of(nested)


_MAIN = """
from engine.handlers import handler_path_of
from engine.errors import HandlerError
def handler(*_): ...
if __name__ == "__main__":
    try:
        print(handler_path_of(handler))
    except HandlerError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sample_main.py"], "stands in the script itself; put it into a module of its own"),
        (["-m", "sample_main"], "sample_main:handler"),
        (["-c", _MAIN], "stands in the script itself; put it into a module of its own"),
    ],
)
def test_a_handler_of_the_main_module_is_found_by_the_modules_name(
    tmp_path: Path, command: list[str], says: str
) -> None:
    (tmp_path / "sample_main.py").write_text(_MAIN)
    environment = {"PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}
    told = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert says in told.stdout
