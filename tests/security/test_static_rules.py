"""The static security rules are on for everything, and who breaks one says why."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("engine", "django_integration", "benchmarks", "scripts")


def test_all_security_rules_are_on_and_no_room_is_left_out() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == ["S101"]
    eased = {
        place: [rule for rule in rules if rule.startswith("S")] for place, rules in lint["per-file-ignores"].items()
    }
    # What starts processes that are our own; nothing of the packages that are installed.
    assert {place: rules for place, rules in eased.items() if rules} == {"tests/**": ["S603"], "scripts/**": ["S603"]}
    assert "step ruff check ." in (ROOT / "scripts" / "test").read_text().splitlines()


def test_every_exception_in_the_code_says_why() -> None:
    bare = re.compile(r"# noqa(?!: )|# noqa: (?=[^#]*\bS\d{3})[A-Z0-9, ]+$", re.MULTILINE)
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for match in bare.finditer(path.read_text(encoding="utf-8"))
    }
    assert found == set()
