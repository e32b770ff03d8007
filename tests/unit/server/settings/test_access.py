"""Settings of access: keys, and the limit of their requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.settings.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60/minute", ("minute", 60)),
        ("5 per Second", ("second", 5)),
        ("100/days", ("day", 100)),
        ("60", ("minute", 60)),
    ],
)
def test_a_rate_limit_has_a_number_and_a_unit(text: str, limit: tuple[str, int]) -> None:
    assert Settings.load({"rate_limit": text}, {}).rate_limit == limit


@pytest.mark.parametrize("text", ["fast", "-1/minute", "60/fortnight", "1.5/minute", ""])
def test_another_rate_limit_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--rate-limit must be a number per second"):
        Settings.load({"rate_limit": text}, {})


def test_a_rate_limit_of_zero_is_none() -> None:
    assert Settings.load({"rate_limit": "0"}, {}).rate_limit is None


def test_keys_come_from_a_file_and_from_the_option(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# the debate\nsk-ada \n\nsk-bruno\n")
    settings = Settings.load({"api_key_file": str(file)}, {"API_KEY": "sk-one"})

    assert settings.api_keys == ("sk-one", "sk-ada", "sk-bruno")
    assert not settings.key_on_command_line
    assert "sk-" not in repr(settings)
    assert Settings.load({"api_key": "k"}, {}).key_on_command_line


def test_a_file_without_keys_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    for path in (tmp_path / "keys", tmp_path / "missing"):
        with pytest.raises(SettingsError, match=r"--api-key-file must be a file of keys"):
            Settings.load({"api_key_file": str(path)}, {})


def test_the_api_key_is_not_shown_when_settings_are_printed() -> None:
    assert "s3cret" not in repr(Settings.load({"api_key": "s3cret"}, {}))
