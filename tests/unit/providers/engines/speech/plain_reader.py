"""English without spaCy: a phonemizer whose phonemes are letters, for tests of what is said and where it stands."""

from __future__ import annotations

import re
import string

from providers.engines.speech.reading import Said, read
from providers.engines.speech.text import normalize as english
from providers.engines.speech.text.g2p import Chunk
from providers.engines.speech.text.mapped import Mapped
from providers.speech.types import InputFormat

__all__ = ["VOCABULARY", "PlainReader", "marks", "said", "words"]

VOCABULARY = frozenset(string.ascii_letters + 'ʃəɔɹʊˈˌː.,;:!?—…"“”() ʧʤᵻɡθɪ')

_WORD = re.compile(r"[^\W\d_](?:.*[^\W\d_])?")


class PlainReader:
    english = True

    def normalize(self, text: Mapped) -> Mapped:
        return english.normalize(text)

    def sentences(self, normalized: Mapped) -> list[Mapped]:
        return english.sentences(normalized)

    def __call__(self, sentence: str) -> list[Chunk]:
        return [_chunk(text) for text in sentence.split(" ")]


def _chunk(text: str) -> Chunk:
    word = _WORD.search(text)
    known = "".join(character for character in text.lower() if character in VOCABULARY)
    return Chunk(text, "" if word is None else word[0], known)


def said(text: str, input_format: InputFormat | None = None) -> Said:
    return read(text, PlainReader(), VOCABULARY, input_format)


def words(text: str, input_format: InputFormat | None = None) -> str:
    """The words that are said, with blanks between them."""
    return " ".join(chunk.word for sentence in said(text, input_format).sentences for chunk in sentence if chunk.word)


def marks(text: str, input_format: InputFormat | None = None) -> list[str]:
    """The stretches that are silent."""
    return [text[part.start : part.end] for part in said(text, input_format).parts if part.kind == "mark"]
