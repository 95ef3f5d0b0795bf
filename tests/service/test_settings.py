"""The settings: explained, frozen, from the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from equifield_service.access import new_key
from equifield_service.settings import Settings


@pytest.mark.parametrize("name", Settings.model_fields, ids=str)
def test_every_setting_is_explained(name: str) -> None:
    assert Settings.model_fields[name].description


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIFIELD_STORE", "/models")
    monkeypatch.setenv("EQUIFIELD_MAX_BATCH", "16")
    settings = Settings()
    assert (settings.store, settings.max_batch) == ("/models", 16)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_bach"):
        Settings(max_bach=2)  # type: ignore[call-arg]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_batch = 3


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_without_keys_the_service_listens_on_loopback(host: str) -> None:
    assert not Settings(host=host).open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_keys_no_other_address_is_listened_on_by_mistake(host: str) -> None:
    with pytest.raises(
        ValidationError, match="there are no keys, so whoever reaches .* EQUIFIELD_KEYS .* EQUIFIELD_OPEN"
    ):
        Settings(host=host)
    assert Settings(host=host, open=True).host == host


def test_with_keys_every_address_may_be_listened_on(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(new_key("desk", ["predict"])[1].line)
    assert Settings(host="0.0.0.0", keys=tmp_path / "keys").host == "0.0.0.0"


def test_keys_that_cannot_be_read_are_refused_even_where_all_may_enter(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("{")
    with pytest.raises(ValidationError, match="Line 1 of .* is no key"):
        Settings(host="0.0.0.0", open=True, keys=tmp_path / "keys")


def test_traces_go_where_opentelemetry_says_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().otlp_endpoint is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    assert Settings().otlp_endpoint == "http://here:4318"
    monkeypatch.setenv("EQUIFIELD_OTLP_ENDPOINT", "http://there:4318")
    assert Settings().otlp_endpoint == "http://there:4318"
