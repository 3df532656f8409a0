from __future__ import annotations

import dataclasses

import pytest

from engine.config import ENVIRONMENT, EngineConfig
from engine.errors import OptionError


def test_an_empty_environment_gives_the_defaults() -> None:
    assert EngineConfig.from_env({}) == EngineConfig()
    assert EngineConfig.from_env(dict.fromkeys(ENVIRONMENT, "")) == EngineConfig()


def test_every_variable_sets_its_field() -> None:
    fields = {field.name: field for field in dataclasses.fields(EngineConfig)}
    for variable, name in ENVIRONMENT.items():
        default = fields[name].default
        text = "7" if isinstance(default, int | float) else "text"
        value = getattr(EngineConfig.from_env({variable: text}), name)
        assert value == (type(default)(7) if text == "7" else "text"), variable
        assert default is None or type(value) is type(default)


def test_the_environment_is_that_of_the_process_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWMILL_WINDOW", "3")
    assert EngineConfig.from_env().window == 3
    assert EngineConfig.from_env({}).window == EngineConfig().window


def test_what_is_given_wins_over_the_environment_unless_it_is_none() -> None:
    environment = {"REDIS_URL": "redis://a", "ROWMILL_WINDOW": "3"}
    config = EngineConfig.from_env(environment, redis_url="redis://b", window=None, escape_formulae=True)
    assert (config.redis_url, config.window, config.escape_formulae) == ("redis://b", 3, True)


@pytest.mark.parametrize("text", ["many", "1.5", "0", "-1", "1e3", " "])
def test_a_window_that_is_no_number_of_chunks_is_refused_by_its_variables_name(text: str) -> None:
    with pytest.raises(OptionError, match="ROWMILL_WINDOW must be a") as caught:
        EngineConfig.from_env({"ROWMILL_WINDOW": text})
    assert caught.value.option == "ROWMILL_WINDOW"


@pytest.mark.parametrize("text", ["soon", "0", "-0.5", "nan", "inf"])
def test_a_lease_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="ROWMILL_LEASE_SECONDS must be a"):
        EngineConfig.from_env({"ROWMILL_LEASE_SECONDS": text})


@pytest.mark.parametrize("name", ["heartbeat_seconds", "scan_block_bytes", "max_chunk_bytes", "s3_max_attempts"])
def test_a_field_without_a_variable_is_named_by_itself(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} must be a number above 0, not 0"):
        EngineConfig(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(("lease", "interval"), [(20.0, 4.0), (16.0, 4.0), (2.0, 0.5), (0.4, 0.1)])
def test_a_lease_holds_several_heartbeats_however_short_it_is(lease: float, interval: float) -> None:
    assert EngineConfig(lease_seconds=lease).heartbeat_interval_seconds == pytest.approx(interval)


def test_every_update_of_the_counters_may_be_sent_at_once() -> None:
    assert EngineConfig(progress_interval_seconds=0).progress_interval_seconds == 0
