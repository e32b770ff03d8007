"""Checks speech requests and turns their text into phonemes. Runs on the intake thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Mapping

import attrs

from providers.engines.process.engine import EngineLoadError
from providers.engines.speech.segmentation import Piece, cut
from providers.engines.speech.text.g2p import English, Phonemizer
from providers.engines.speech.text.normalize import normalize, sentences
from providers.engines.speech.voices import Voices
from providers.errors import InvalidRequest
from providers.speech.languages import variant
from providers.speech.types import MAX_SPEED, MIN_SPEED, SpeechRequest

__all__ = ["SpeechIntake", "SpeechJob", "make_phonemizers"]

logger = logging.getLogger(__name__)

_ENGLISH = ("en-US", "en-GB")


@attrs.frozen
class SpeechJob:
    """A checked request, divided into pieces. `deadline` is on `time.monotonic`'s clock."""

    id: str
    pieces: list[Piece]
    characters: int
    voices: list[tuple[str, float]]
    speed: float
    deadline: float | None


def make_phonemizers(vocabulary: Container[str]) -> dict[str, Phonemizer]:
    """By language: the phonemizers that are installed.

    Raises:
        EngineLoadError: the phonemizer of English is not installed.
    """
    try:
        return {language: English(vocabulary, british=language == "en-GB") for language in _ENGLISH}
    except (ImportError, OSError) as error:
        raise EngineLoadError(f"the phonemizer is not installed (the extra `speech`): {error}") from error


class SpeechIntake:
    """Turns requests into jobs."""

    def __init__(self, phonemizers: Mapping[str, Phonemizer], voices: Voices) -> None:
        self._phonemizers = phonemizers
        self._voices = voices

    @property
    def languages(self) -> list[str]:
        """The languages whose texts can be read."""
        return list(self._phonemizers)

    def job(self, request: SpeechRequest) -> SpeechJob:
        """Check a request and compute its phonemes.

        Raises:
            InvalidRequest: `param` names the wrong parameter.
        """
        received = time.monotonic()
        if not MIN_SPEED <= request.speed <= MAX_SPEED:
            raise InvalidRequest(f"speed must be from {MIN_SPEED} to {MAX_SPEED}, not {request.speed}", param="speed")
        pieces = self.pieces(request.text, self._language(request.voices, request.language))
        return SpeechJob(
            id=request.id,
            pieces=pieces,
            characters=len(request.text),
            voices=request.voices,
            speed=request.speed,
            deadline=None if request.timeout is None else received + request.timeout,
        )

    def pieces(self, text: str, language: str) -> list[Piece]:
        """The pieces of a text. None if the text has nothing to speak."""
        read = self._phonemizers[language]
        chunked = [read(sentence) for sentence in sentences(normalize(text, british=language == "en-GB"))]
        dropped = sum(chunk.dropped for sentence in chunked for chunk in sentence)
        if dropped:
            logger.info("left out %d phonemes that the model does not know", dropped)
        return cut(chunked) if chunked else []

    def _language(self, voices: list[tuple[str, float]], language: str | None) -> str:
        """The language to read: the one that is requested, or that of the first voice.

        Raises:
            InvalidRequest: a voice is unknown, or texts in its language cannot be read.
        """
        if not voices:
            raise InvalidRequest("voice: no voice is named", param="voice")
        for voice, weight in voices:
            if voice not in self._voices.ids:
                known = ", ".join(self._voices.ids)
                raise InvalidRequest(f"voice: there is no voice {voice!r}; there are: {known}", param="voice")
            if not 0 <= weight <= 1:
                raise InvalidRequest(f"voice: the weight of {voice} must be from 0 to 1, not {weight}", param="voice")
        language = variant(language, self._voices.language(voices[0][0]))
        if language not in self._phonemizers:
            raise InvalidRequest(f"language: this server cannot turn {language} into phonemes", param="language")
        return language
