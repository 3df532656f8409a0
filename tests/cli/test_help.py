"""`--help` is complete: every flag has its phrase, every exit code its meaning, examples come last but one."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

import pytest

from engine import errors, runs
from engine.cli.arguments import Parser, make_parser
from engine.cli.exit_codes import error_kinds, exit_codes
from engine.cli.failure import REMEDIES
from engine.options import KNOWN
from tests.cli.command_line import warm_rowmill

COMMANDS = ("run", "inspect", "status", "retry", "pause", "resume", "cancel")


def parsers() -> dict[str, argparse.ArgumentParser]:
    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {"": parser, **commands.choices}


def test_the_commands_are_there() -> None:
    assert tuple(parsers())[1:] == COMMANDS


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_flag_says_what_it_does_and_its_default(name: str) -> None:
    for action in parsers()[name]._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert all(command.help for command in action._choices_actions)
            continue
        assert action.help, action
        if action.option_strings and action.nargs != 0:
            assert "default: " in action.help, action
        if name and action.option_strings and action.dest != "help":
            assert "(" in action.help, action


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_lists_examples_and_every_exit_code(tmp_path: Path, name: str) -> None:
    done = warm_rowmill(*([name] if name else []), "--help", cwd=tmp_path)
    assert done.returncode == 0
    examples, _, codes = done.stdout.partition("examples:")[2].partition("exit codes:")
    assert "rowmill " in examples
    for code, meaning in exit_codes().items():
        assert f"{code:>3}  {meaning}" in codes


def test_every_error_has_an_exit_code_of_its_own() -> None:
    kinds = list(error_kinds())
    defined = [value for value in vars(errors).values() if isinstance(value, type) and value in kinds]
    assert len(defined) == len(kinds)
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    others = {errors.EXIT_SUCCEEDED, errors.EXIT_JOB_FAILED, errors.EXIT_JOB_CANCELLED}
    assert exit_codes().keys() == {*codes, *others}
    assert not others & set(codes)


def test_remedies_are_for_codes_that_exist() -> None:
    assert REMEDIES.keys() <= {kind.code for kind in error_kinds()}


def test_every_import_option_can_be_given() -> None:
    flags = {action.dest for action in parsers()["run"]._actions}
    by_option_only = {"count_total_first", "create_result_file_records", "handler_path"}
    assert set(KNOWN) - flags == by_option_only
    assert not (set(KNOWN) & inspect.signature(runs.run).parameters.keys())


def test_the_issue_s_flags_are_there() -> None:
    wanted = "handler executor batch-size chunk-size workers header-rows output-format output-dir option resume json"
    flags = {name for action in parsers()["run"]._actions for name in action.option_strings}
    assert flags >= {f"--{name}" for name in wanted.split()}


def test_version(tmp_path: Path) -> None:
    done = warm_rowmill("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "rowmill")


def test_a_flag_is_known_by_its_full_name_only() -> None:
    with pytest.raises(errors.OptionError):
        make_parser().parse_args(["run", "t.csv", "--handler", "h.f", "--out", "x"])
    assert all(isinstance(parser, Parser) for parser in parsers().values())
