"""From words to phonemes: dictionaries for English, and rules for words that are in none.

Runs on the intake thread and touches no arrays of MLX.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

import attrs

from providers.engines.speech.text.letter_to_sound import LetterToSound
from providers.engines.speech.text.lexicon import Lexicon
from providers.engines.speech.text.mapped import Mapped
from providers.engines.speech.text.normalize import normalize, sentences
from providers.engines.speech.text.pronunciation import Pronunciation

__all__ = ["PAUSES", "SPACES", "Chunk", "English", "Phonemizer", "is_sound"]

PAUSES = frozenset(".,;:!?—…")
"""Symbols of the vocabulary that are spoken as silence."""
SPACES = frozenset(' "“”()')
"""Symbols that separate words and have no sound."""
STRESSES = frozenset("ˈˌ")


def is_sound(symbol: str) -> bool:
    """Whether a symbol of the vocabulary is spoken, or changes how its neighbour is spoken."""
    return symbol not in PAUSES and symbol not in SPACES


@attrs.frozen
class Chunk:
    """The characters between two spaces of a sentence."""

    text: str
    """As written, with its punctuation."""
    word: str
    """Without its punctuation; empty if there is only punctuation."""
    phonemes: str
    """Only symbols of the vocabulary, punctuation included. A word has at least one with a sound."""
    dropped: int = 0
    """Count of phonemes that the vocabulary lacks."""
    written: str = ""
    """The stretch of the input that the word says. The phonemizer leaves it and the offsets empty."""
    start_char: int = 0
    """Where that stretch begins in the input, in Unicode code points."""
    end_char: int = 0
    first_char: int = 0
    """Where the characters of `text`, punctuation included, begin in the input."""
    last_char: int = 0
    """Where they end."""
    rest: float | None = None
    """Seconds of silence after it, where the text wants more than the end of a sentence does."""
    joined: bool = False
    """Whether no blank is between the chunk and the one before, as in Japanese."""
    pauses: bool = False
    """Whether the client asks for that rest, so that nothing after it is spoken together with it."""


class Phonemizer(Protocol):
    """Reads texts of one language."""

    english: bool
    """Whether dates and numbers are written, and phonemes named, as in English."""

    def normalize(self, text: Mapped) -> Mapped:
        """A paragraph in words. `Mapped.sub` and the like keep the offsets.

        Characters that `is_note` names stand for words, and stay. What the language is not written with is left out.
        """
        ...

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        """The sentences of a normalised paragraph that have something to say, in order."""
        ...

    def __call__(self, sentence: str) -> list[Chunk]:
        """The chunks of a sentence. Their texts are parts of the sentence, in order, with only blanks between them."""
        ...


class English:
    """American or British English.

    Args:
        vocabulary: the phonemes that the model knows.

    Raises:
        OSError: spaCy's model is not installed.
    """

    def __init__(self, vocabulary: Container[str], *, british: bool) -> None:
        self.english = True
        self._british = british
        self._vocabulary = vocabulary
        lexicon = Lexicon(british=british)

        def look(word: str) -> str | None:
            found = lexicon.golds.get(word) or lexicon.silvers.get(word)
            return found.get("DEFAULT") if isinstance(found, dict) else found

        self._fallback = LetterToSound(look, british=british)
        self._read = Pronunciation(lexicon, self._fallback)

    def normalize(self, text: Mapped) -> Mapped:
        return normalize(text, british=self._british)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        return sentences(normalized)

    def __call__(self, sentence: str) -> list[Chunk]:
        chunks: list[Chunk] = []
        text = phonemes = ""
        for token in self._read(sentence):
            text += token.text
            phonemes += token.phonemes or ""
            if token.whitespace:
                chunks.append(self._chunk(text, phonemes))
                text = phonemes = ""
        if text:
            chunks.append(self._chunk(text, phonemes))
        return chunks

    def _chunk(self, text: str, phonemes: str) -> Chunk:
        letters = [at for at, character in enumerate(text) if character.isalpha()]
        word = text[letters[0] : letters[-1] + 1] if letters else ""
        known = "".join(symbol for symbol in phonemes if symbol in self._vocabulary)
        dropped = len(phonemes) - len(known)
        if word and not any(is_sound(symbol) and symbol not in STRESSES for symbol in known):
            # Words taken for punctuation, and abbreviations that the lexicon lacks.
            after = "".join(symbol for symbol in text[letters[-1] + 1 :] if symbol in PAUSES)
            known = self._fallback(word) + after
        return Chunk(text, word, known.strip(), dropped)
