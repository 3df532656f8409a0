"""The static security check has no silent exceptions, and the audit of packages says what it found."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_the_security_rules_are_on_for_all_that_is_shipped() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {rule for rule in lint["ignore"] if rule.startswith("S")} <= {"S101"}  # asserts say what holds, to mypy too
    for pattern, rules in lint["per-file-ignores"].items():
        if not pattern.startswith(("tests/", "scripts/")):
            assert not [rule for rule in rules if rule.startswith("S")], pattern


def test_every_exception_from_them_says_why() -> None:
    silent = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("engine", "django_integration")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"# noqa: S\d+", line) and not re.search(r"# noqa: S\d+ - \w", line)
    ]
    assert not silent


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_packages", ROOT / "scripts" / "audit_packages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _report(*vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {
        "dependencies": [
            {"name": "rowmill", "skip_reason": "distribution marked as editable"},
            {"name": "polars", "version": "2.1.0", "vulns": list(vulnerabilities)},
        ]
    }


def test_a_vulnerable_package_fails_the_audit_and_is_named(audit: ModuleType) -> None:
    found = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1.1"]}
    code, text = audit.verdict(_report(found), {})
    assert code == 1
    assert "polars 2.1.0: PYSEC-1, fixed in 2.1.1" in text
    assert audit.verdict(_report(found), {"CVE-1": "not called here"})[0] == 0
    assert audit.verdict(_report(), {})[0] == 0


def test_an_audit_that_reached_nothing_says_so(audit: ModuleType) -> None:
    code, text = audit.verdict({"dependencies": [{"name": "a", "skip_reason": "not found on PyPI"}]}, {})
    assert code == 0
    assert text.startswith("NOT AUDITED")


def test_every_accepted_advisory_has_its_sentence(audit: ModuleType) -> None:
    assert all(len(reason) > 20 for reason in audit.ACCEPTED.values())
