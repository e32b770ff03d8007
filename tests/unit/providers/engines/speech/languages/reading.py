"""Reads texts as the intake does."""

from __future__ import annotations

import json
from collections.abc import Container
from importlib.resources import files

from providers.engines.speech.reading import read
from providers.engines.speech.text.g2p import Chunk, Phonemizer

__all__ = ["chunks", "left_out", "phonemes", "vocabulary", "words"]


def vocabulary() -> Container[str]:
    config = files("providers.engines.convert").joinpath("kokoro_config.json").read_text(encoding="utf-8")
    found: dict[str, int] = json.loads(config)["vocab"]
    return found


def chunks(phonemizer: Phonemizer, text: str) -> list[Chunk]:
    return [chunk for sentence in read(text, phonemizer, vocabulary(), "text").sentences for chunk in sentence]


def phonemes(phonemizer: Phonemizer, text: str) -> str:
    return " ".join(chunk.phonemes for chunk in chunks(phonemizer, text))


def words(phonemizer: Phonemizer, text: str) -> list[tuple[str, str]]:
    """What is said, and the stretch of the input that it says."""
    return [(chunk.word, text[chunk.start_char : chunk.end_char]) for chunk in chunks(phonemizer, text)]


def left_out(phonemizer: Phonemizer, text: str) -> list[str]:
    """The letters of the input that are not said."""
    return [each.text for each in read(text, phonemizer, vocabulary(), "text").unspoken]
