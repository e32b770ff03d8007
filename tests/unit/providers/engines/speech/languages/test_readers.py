"""Which languages can be read on a machine, and what the error says of the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from providers.engines.speech.languages.readers import Readers
from providers.errors import InvalidRequest
from providers.extras import Extra
from tests.unit.providers.engines.speech.languages.reading import phonemes, vocabulary


@pytest.fixture(scope="module")
def english() -> Readers:
    return Readers(vocabulary())


@pytest.fixture
def readers(english: Readers, monkeypatch: pytest.MonkeyPatch) -> Readers:
    """With only English made."""
    monkeypatch.setattr(english, "_made", {code: english[code] for code in ("en-US", "en-GB")})
    return english


def test_espeak_is_found_on_the_path(readers: Readers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "espeak-ng"
    program.write_text(f"#!{sys.executable}\nimport sys\nfor line in sys.stdin: print(line.strip().lower())\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert phonemes(readers["es-ES"], "Hola.") == "hola."


def test_without_espeak_the_error_names_it(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(InvalidRequest, match="French needs the program espeak-ng") as refused:
        readers["fr-FR"]
    assert refused.value.param == "language"


def test_without_its_extra_the_error_names_it(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extra, "missing", property(lambda extra: extra.modules))

    with pytest.raises(InvalidRequest, match=r"pip install 'mlx-openai-server-lab\[speech-ja\]'"):
        readers["ja-JP"]


def test_latin_words_in_mandarin_are_read_as_english(readers: Readers) -> None:
    pytest.importorskip("rjieba")

    assert phonemes(readers["zh-CN"], "我爱London。") == "wo↓ ai↘ lˈʌndən."
