"""Checks speech requests and turns their text into phonemes. Runs on the intake thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Mapping

import attrs

from providers.engines.speech.languages.readers import Readers
from providers.engines.speech.markup.own_words import OwnWords
from providers.engines.speech.partition import script_of
from providers.engines.speech.reading import Said, read
from providers.engines.speech.segmentation import FIRST, LONG, Piece, cut
from providers.engines.speech.voices import Voices
from providers.errors import InvalidRequest
from providers.speech.languages import readable_languages, variant
from providers.speech.types import MAX_SPEED, MIN_SPEED, InputFormat, SpeechRequest, Unspoken

__all__ = ["SpeechIntake", "SpeechJob"]

logger = logging.getLogger(__name__)


@attrs.frozen
class SpeechJob:
    """A checked request, divided into pieces. `deadline` is on `time.monotonic`'s clock."""

    id: str
    pieces: list[Piece]
    unspoken: list[Unspoken]
    characters: int
    voices: list[tuple[str, float]]
    speed: float
    streamed: bool
    deadline: float | None


class SpeechIntake:
    """Turns requests into jobs."""

    def __init__(
        self, readers: Readers, voices: Voices, vocabulary: Container[str], lexicon: Mapping[str, str] | None = None
    ) -> None:
        self._readers = readers
        self._lexicon = OwnWords(lexicon or {}, param="--lexicon", checked=True)
        self._voices = voices
        self._vocabulary = vocabulary

    @property
    def languages(self) -> list[str]:
        """The languages whose texts can be read."""
        return list(readable_languages())

    def job(self, request: SpeechRequest, *, is_part: bool = False) -> SpeechJob:
        """Check a request and compute its phonemes.

        Args:
            is_part: the text is a part of a longer one, so that all of it may be unspoken.

        Raises:
            InvalidRequest: `param` names the wrong parameter.
        """
        received = time.monotonic()
        if not MIN_SPEED <= request.speed <= MAX_SPEED:
            raise InvalidRequest(f"speed must be from {MIN_SPEED} to {MAX_SPEED}, not {request.speed}", param="speed")
        language = self._language(request.voices, request.language)
        lexicon = OwnWords(request.lexicon, param="lexicon")
        said = self._said(request.text, language, request.input_format, [lexicon, self._lexicon])
        # The engine itself decodes the long sentences of a stream in parts.
        pieces = cut(said.sentences, first=LONG if request.streamed else FIRST)
        if not pieces and said.unspoken and not is_part:
            raise _unsayable(said.unspoken[0], language)
        return SpeechJob(
            id=request.id,
            pieces=pieces,
            unspoken=said.unspoken,
            characters=len(request.text),
            voices=request.voices,
            speed=request.speed,
            streamed=request.streamed,
            deadline=None if request.timeout is None else received + request.timeout,
        )

    def pieces(self, text: str, language: str) -> list[Piece]:
        """The pieces of a text. None if the text has nothing to speak."""
        return cut(self._said(text, language, None, []).sentences)

    def _said(self, text: str, language: str, input_format: InputFormat | None, lexicons: list[OwnWords]) -> Said:
        said = read(text, self._readers[language], self._vocabulary, input_format, lexicons)
        dropped = sum(chunk.dropped for sentence in said.sentences for chunk in sentence)
        if dropped:
            logger.info("left out %d phonemes that the model does not know", dropped)
        return said

    def _language(self, voices: list[tuple[str, float]], language: str | None) -> str:
        """The language to read: the one that is requested, or that of the first voice.

        Raises:
            InvalidRequest: a voice is unknown.
        """
        if not voices:
            raise InvalidRequest("voice: no voice is named", param="voice")
        for voice, weight in voices:
            if voice not in self._voices.ids:
                known = ", ".join(self._voices.ids)
                raise InvalidRequest(f"voice: there is no voice {voice!r}; there are: {known}", param="voice")
            if not 0 <= weight <= 1:
                raise InvalidRequest(f"voice: the weight of {voice} must be from 0 to 1, not {weight}", param="voice")
        return variant(language, self._voices.language(voices[0][0]))


def _unsayable(word: Unspoken, language: str) -> InvalidRequest:
    shown = word.text if len(word.text) <= 40 else f"{word.text[:40]}…"
    return InvalidRequest(
        f"input: the voice reads {language} and cannot say {script_of(word.text[0])} letters: {shown!r} at position "
        f"{word.start_char}, and nothing else in the text can be said",
        param="input",
    )
