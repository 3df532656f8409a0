"""The layers hold, and what is promised to the outside is there and documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "django_integration").rglob("*.py")])


def test_the_layers_hold() -> None:
    """`[tool.importlinter]` in pyproject.toml has the layers; a new room has to be placed there."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree)


def test_whatever_stands_beside_the_modules_is_installed_with_them() -> None:
    """`pip install .` copies only what these patterns name; an editable installation finds all of it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]["*"]
    compiled = {"*.py", "*.pyc", "*.c", "*.so"}  # modules, and what becomes one
    beside = [path for package in ("engine", "django_integration") for path in (ROOT / package).rglob("*.*")]
    assert any(path.suffix == ".json" for path in beside)
    left_out = [path for path in beside if not any(fnmatch(path.name, pattern) for pattern in {*patterns, *compiled})]
    assert left_out == []


def test_rooms_are_named_for_what_they_are() -> None:
    vague = {"utils", "util", "common", "helpers", "misc"}
    assert not {path.stem for path in MODULES} & vague


def test_public_names_are_there_and_documented() -> None:
    assert sorted(engine.__all__) == engine.__all__
    for name in engine.__all__:
        value = getattr(engine, name)
        assert inspect.getdoc(value), name
        assert value.__module__.startswith("engine."), name


def test_nothing_public_is_left_out_of_all() -> None:
    for name in engine.__all__:  # from then on it is in the module
        getattr(engine, name)
    public = {name for name, value in vars(engine).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(engine.__all__) == set(dir(engine))


def test_a_room_is_loaded_without_the_others() -> None:
    """Start of a process is most of what a small import takes."""
    code = (
        "import sys, engine, engine.config, engine.staging.excel.child; "
        "sys.exit(bool({'engine.runs', 'pandas', 'polars'} & set(sys.modules)))"  # pandas: by an array of Arrow
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "code",
    [
        "import engine.status, engine; engine.status(output_dir='nothing')",
        "import engine; engine.run; import engine.status; engine.status(output_dir='nothing')",
        "from engine import status; status(output_dir='nothing')",
        "from engine import *; status(output_dir='nothing')",
    ],
)
def test_the_status_of_a_job_is_asked_by_the_name_of_a_room(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "LedgerError" in done.stderr


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = engine.nothing


def test_the_local_way_needs_neither_boto3_nor_celery_nor_redis() -> None:
    """Whoever imports from a laptop installs no client of a service, and waits for none to load."""
    code = (
        "import sys, engine, engine.cli; "
        "found = {'boto3', 'botocore', 'celery', 'kombu', 'redis', 'django'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(found)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
