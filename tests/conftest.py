"""Fixtures that every test may use: real servers, started at their first use and ended with the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings

from tests import services
from tests.in_process import InProcess
from tests.readers.strategies import examples

_IS_SEARCH = "TEST_EXAMPLES" in os.environ
#: Of property tests. However slow the machine, none is too slow. Each run tries the same examples and so fails for what
#: was changed, never by chance; a search ($TEST_EXAMPLES) tries others, keeps what fails for the next run, and tells by
#: which decorator anybody else makes it fail.
settings.register_profile(
    "tests",
    max_examples=examples(100).max_examples,
    deadline=None,
    derandomize=not _IS_SEARCH,
    print_blob=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
settings.load_profile("tests")

#: Files whose tests take longest, in seconds of a quiet machine: a minute and more, down to ten.
LONGEST_FIRST = (
    "faults/test_failpoints.py",
    "acceptance/test_serve.py",
    "integration/test_back_pressure.py",
    "integration/test_django_effects.py",
    "chaos/test_chaos.py",
    "faults/test_services_away.py",
    "integration/test_celery_faults.py",
    "integration/test_flights.py",
    "django_integration/imports/bulk/test_as_row_by_row.py",
    "acceptance/test_guide_story.py",
    "faults/test_deploy.py",
    "storage/test_storage_contract.py",
    "cli/test_interruption.py",
    "integration/test_live_workers.py",
    "runtime/test_local_deaths.py",
    "readers/test_scan.py",
    "readers/test_parquet.py",
    "staging/excel/test_cell_values.py",
    "staging/excel/test_whole_tables.py",
    "faults/test_messages.py",
    "django_integration/imports/test_import_file.py",
    "acceptance/test_example_project.py",
    "integration/test_memory.py",
    "runtime/test_local_run.py",
    "faults/test_local_failpoints.py",
    "storage/test_integrity.py",
    "cli/test_celery.py",
    "integration/test_hostile_files.py",
    "benchmarks/test_fairness.py",
    "benchmarks/test_status_by_clock.py",
    "progress/test_progress_model.py",
    "readers/test_slices.py",
    "ledger/test_ledger_contract.py",
    "ledger/test_ledger_model.py",
    "staging/excel/test_limits.py",
    "cli/test_commands.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in the order in which several processes are best given them: long ones last would be waited for."""
    folder = Path(__file__).parent
    ranks = {folder / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def s3_environment() -> Iterator[None]:
    """The credentials of the test servers, also for processes that a test starts; nothing from this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            patch.delenv(variable, raising=False)
        for variable, value in services.s3_environment().items():
            patch.setenv(variable, value)
        yield


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Redis-compatible server, shared by all tests: use keys of your own, and do not empty it."""
    yield from _service(services.start_valkey)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """S3 that is exact on conditions, shared by all tests: use `s3_bucket`."""
    yield from _service(services.start_moto)


@pytest.fixture(scope="session")
def juicefs_endpoint() -> Iterator[str]:
    """S3 that checks signatures, shared by all tests: use `s3_bucket`."""
    yield from _service(services.start_juicefs)


@pytest.fixture(scope="session")
def s3_client() -> Iterator[Callable[[str], Any]]:
    """`s3_client(endpoint)`: a plain boto3 client, to look at a server past the engine."""
    clients: dict[str, Any] = {}

    def client_of(endpoint: str) -> Any:
        if endpoint not in clients:
            config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
            clients[endpoint] = boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)
        return clients[endpoint]

    yield client_of
    for client in clients.values():
        client.close()


@pytest.fixture
def s3_bucket(s3_client: Callable[[str], Any]) -> Iterator[Callable[[str], str]]:
    """`s3_bucket(endpoint)` makes an empty bucket there and gives its name; it goes with the test."""
    made: list[tuple[Any, str]] = []

    def make(endpoint: str) -> str:
        client = s3_client(endpoint)
        bucket = f"rowmill-test-{secrets.token_hex(6)}"
        client.create_bucket(Bucket=bucket)
        made.append((client, bucket))
        return bucket

    yield make
    for client, bucket in made:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                client.delete_object(Bucket=bucket, Key=entry["Key"])
        client.delete_bucket(Bucket=bucket)


def _service(start: Callable[[], Any]) -> Iterator[str]:
    try:
        context = start()
        address = context.__enter__()
    except services.ServiceUnavailableHereError as error:
        pytest.skip(str(error))
    try:
        yield address
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A MariaDB server, where `scripts/test-mariadb` runs the tests."""
    from tests.mariadb_server import start_mariadb

    with start_mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server, shared by all tests: make a database of your own."""
    from tests.postgres_server import start_postgres

    with start_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def redis_databases(valkey_url: str) -> Callable[[], str]:
    """Each call gives the URL of a database of the shared server that nobody else uses."""
    numbers = iter(range(1, 64))
    return lambda: f"{valkey_url.rpartition('/')[0]}/{next(numbers)}"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InProcess]:
    """A job that a test runs step by step in its own process."""
    made = InProcess(tmp_path)
    yield made
    made.close()
