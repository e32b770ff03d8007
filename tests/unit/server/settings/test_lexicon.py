"""The file of `--lexicon`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from providers.speech.phonemes import ALPHABET
from server.settings.path_parsers import lexicon
from server.settings.settings import Settings


def test_a_file_has_words_and_their_phonemes(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text("# Names\nSiobhan: ʃəvˈɔn\nNo: nˈO\n'C++': siplˈʌsplˈʌs\n", encoding="utf-8")

    assert lexicon(str(path)) == {"Siobhan": "ʃəvˈɔn", "No": "nˈO", "C++": "siplˈʌsplˈʌs"}


def test_a_wrong_sound_names_its_line_and_word(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text("Siobhan: ʃəvˈɔn\n\nNo: n0\n", encoding="utf-8")

    with pytest.raises(ValueError, match="has a wrong sound in line 3: No: '0' at position 1"):
        lexicon(str(path))


def test_every_embedded_model_that_speaks_has_the_lexicon() -> None:
    models = Settings.load({"lexicon": '{"a": "ə"}'}, {}).models

    assert {"a": "ə"} in [model.lexicon for model in models if model.model_type == "tts"]


def test_the_alphabet_is_that_of_the_model() -> None:
    config = files("providers.engines.convert").joinpath("kokoro_config.json").read_text(encoding="utf-8")

    assert set(json.loads(config)["vocab"]) == ALPHABET
