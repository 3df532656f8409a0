"""Whatever is wrong with the input is told in a sentence, with an exit code of its own and no traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command_line import HANDLERS, the_object, warm_rowmill, write_table
from tests.services import free_port

ACCEPT = f"{HANDLERS}.accept"


def check(done: subprocess.CompletedProcess[str], exit_code: int, code: str, *fragments: str) -> None:
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "rowmill: " in done.stderr
    assert "rowmill: error:" not in done.stderr, "the failure is told once, as the command's last word"
    for fragment in fragments:
        assert fragment in done.stderr
    document = the_object(done.stdout)
    assert document["status"] == "failed"
    assert document["error_code"] == code
    assert document["error_message"] in done.stderr


def run(source: str, *words: str, cwd: Path, handler: str = ACCEPT) -> subprocess.CompletedProcess[str]:
    return warm_rowmill("run", source, "--handler", handler, "--workers", "1", "--json", *words, cwd=cwd)


def test_a_missing_file(tmp_path: Path) -> None:
    check(run("nowhere.csv", cwd=tmp_path), 11, "source_missing", "There is no file", "nowhere.csv")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    done = run("empty.csv", cwd=tmp_path)
    check(done, 13, "source_empty", "is empty", "no bytes")
    assert the_object(done.stdout)["id"] is not None, "the job was begun and is told"


def test_a_file_of_line_ends_only(tmp_path: Path) -> None:
    (tmp_path / "blank.csv").write_text("\n\r\n\n")
    check(run("blank.csv", cwd=tmp_path), 13, "source_empty", "nothing but line ends")


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (bytes(range(256)) * 9, "text"),
    ],
    ids=["picture", "noise"],
)
def test_a_binary_file(tmp_path: Path, content: bytes, fragment: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    check(run("table.csv", cwd=tmp_path), 14, "source_binary", fragment)


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"PK\x03\x04" + bytes(100))
    check(run("table.csv", cwd=tmp_path), 19, "source_damaged", "cut or damaged")


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    check(run("folder", cwd=tmp_path), 12, "source_is_directory", "is a folder")


@pytest.mark.parametrize(
    ("handler", "fragment"),
    [
        ("nomodule.save", "there is no module 'nomodule'"),
        (f"{HANDLERS}.acept", "did you mean 'accept'"),
        (f"{HANDLERS}.NOT_CALLABLE", "cannot be called"),
        ("broken_module.save", "ZeroDivisionError"),
        ("needs_more.save", "'no_such_package', which is not installed"),
        ("just_a_word", "package.module.function"),
    ],
)
def test_a_handler_that_does_not_load(tmp_path: Path, handler: str, fragment: str) -> None:
    write_table(tmp_path / "t.csv", 3)
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    check(run("t.csv", cwd=tmp_path, handler=handler), 3, "handler_not_loadable", fragment)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--batch-size", "0"], "batch_size"),
        (["--batch-size", "abc"], "batch_size"),
        (["--chunk-size", "-5"], "chunk_size"),
        (["--header-rows", "1.5"], "header_rows"),
        (["--output-format", "pdf"], "output_format"),
        (["--result-header", "none"], "result_header"),
        (["--delimiter", "::"], "delimiter"),
        (["--quote-char", ","], "quote_char"),
        (["--encoding", "klingon"], "encoding"),
        (["--workers", "0"], "workers"),
        (["--workers", "many"], "workers"),
        (["--executor", "cluster"], "executor"),
        (["--option", "batch_size=none"], "batch_size"),
        (["--option", "count_total_first=1"], "count_total_first"),
        (["--option", "no equals sign"], "--option"),
        (["--option", "batch_size=5", "--batch-size", "5"], "batch_size"),
        (["--option", "a=1", "--option", "a=2"], "a is given twice"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--batch", "5"], "--batch"),
    ],
    ids=" ".join,
)
def test_an_unknown_option_value(tmp_path: Path, words: list[str], name: str) -> None:
    write_table(tmp_path / "t.csv", 3)
    delimiter = ["--delimiter", ","] if "--quote-char" in words else []
    check(run("t.csv", *words, *delimiter, cwd=tmp_path), 2, "invalid_option", name)
    assert not (tmp_path / "rowmill-results").exists()


def test_a_wrong_environment_variable_names_the_option(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    done = warm_rowmill("run", "t.csv", "--handler", ACCEPT, "--json", cwd=tmp_path, ROWMILL_BATCH_SIZE="lots")
    check(done, 2, "invalid_option", "batch_size")


@pytest.mark.parametrize("words", [[], ["run"], ["run", "t.csv"], ["fly"]], ids=str)
def test_a_command_line_without_what_is_needed_ends_with_2_and_the_usage(tmp_path: Path, words: list[str]) -> None:
    done = warm_rowmill(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "usage: rowmill" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unwritable_output_folder(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    (tmp_path / "a-file").touch()
    check(run("t.csv", "--output-dir", "a-file/below", cwd=tmp_path), 20, "output_not_writable", "a-file")


def test_a_missing_s3_object(tmp_path: Path, moto_endpoint: str, s3_bucket: Callable[[str], str]) -> None:
    bucket = s3_bucket(moto_endpoint)
    done = run(f"s3://{bucket}/nothing.csv", "--s3-endpoint-url", moto_endpoint, cwd=tmp_path)
    check(done, 17, "source_object_missing", f"s3://{bucket}/nothing.csv")


def test_a_missing_s3_bucket(tmp_path: Path, moto_endpoint: str) -> None:
    done = run("s3://no-such-bucket-here/t.csv", "--s3-endpoint-url", moto_endpoint, cwd=tmp_path)
    check(done, 17, "source_object_missing", "no-such-bucket-here")


def test_s3_that_is_not_reachable(tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    done = run("s3://bucket/t.csv", "--s3-endpoint-url", endpoint, cwd=tmp_path)
    check(done, 33, "storage_unavailable", endpoint)


def test_redis_that_is_not_reachable(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", 3)
    url = f"redis://127.0.0.1:{free_port()}/0"
    done = run("t.csv", "--executor", "celery", "--redis-url", url, cwd=tmp_path)
    check(done, 34, "service_unavailable", url)


def test_an_address_of_an_unknown_kind(tmp_path: Path) -> None:
    check(run("ftp://host/t.csv", cwd=tmp_path), 2, "invalid_option", "ftp://host/t.csv")


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_a_job_that_is_not_there(tmp_path: Path, command: str) -> None:
    check(warm_rowmill(command, "--json", cwd=tmp_path), 40, "ledger_error", "There is no ledger")
    write_table(tmp_path / "t.csv", 3)
    assert run("t.csv", cwd=tmp_path).returncode == 0
    check(warm_rowmill(command, "zzz", "--json", cwd=tmp_path), 41, "job_not_found", "zzz")


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n"], ids=["missing", "empty", "binary"])
def test_inspect_tells_the_same_errors(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    inspected = warm_rowmill("inspect", "t.csv", "--json", cwd=tmp_path)
    ran = run("t.csv", cwd=tmp_path)
    assert inspected.returncode == ran.returncode != 0
    assert the_object(inspected.stdout)["error_message"] == the_object(ran.stdout)["error_message"]
    assert "Traceback" not in inspected.stderr
