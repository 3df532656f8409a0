"""The layers hold, and what is promised to the outside is there and documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
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
    public = {name for name, value in vars(engine).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public == set(engine.__all__)


def test_the_local_way_needs_neither_boto3_nor_celery_nor_redis() -> None:
    """Whoever imports from a laptop installs no client of a service, and waits for none to load."""
    code = (
        "import sys, engine, engine.cli; "
        "found = {'boto3', 'botocore', 'celery', 'kombu', 'redis', 'django'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(found)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
