"""The OpenAPI schema says what the endpoints do; migrations say what the models are."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema


@pytest.fixture
def schema() -> Any:
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    validate_schema(schema)  # type: ignore[no-untyped-call]
    return schema


def test_every_endpoint_documents_what_it_may_answer(schema: Any) -> None:
    found = {
        (method, path): set(operation["responses"])
        for path, operations in schema["paths"].items()
        if path.startswith("/api/files/")
        for method, operation in operations.items()
    }
    assert found == {
        ("post", "/api/files/presign/"): {"201", "400", "401", "403", "413", "415", "503"},
        ("post", "/api/files/confirm/"): {"200", "400", "401", "403", "413", "415"},
        ("get", "/api/files/"): {"200", "401", "403", "404"},
        ("get", "/api/files/{id}/"): {"200", "401", "403", "404", "503"},
        ("put", "/api/files/upload/{token}/"): {"200", "400", "403", "404", "409", "411", "413", "503"},
        ("get", "/api/files/download/{token}/"): {"200", "403", "404", "503"},
    }


def test_signed_links_need_no_login_and_the_rest_does(schema: Any) -> None:
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/files/"):
                signed = "{token}" in path
                assert (operation.get("security") in ([], [{}], None)) == signed, path


def test_the_schema_is_made_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate")
    assert "files_presign" in capsys.readouterr().out


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "rowmill_files", "--check", "--dry-run", verbosity=0)
