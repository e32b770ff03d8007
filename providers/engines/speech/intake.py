"""What is checked and worked out of a speech request before the model sees it. Runs on the intake thread."""

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
from providers.speech.types import MAX_SPEED, MIN_SPEED, SpeechRequest
from providers.speech.voices import READ_LANGUAGES

__all__ = ["SpeechIntake", "SpeechJob", "make_phonemizers"]

logger = logging.getLogger(__name__)


@attrs.frozen
class SpeechJob:
    """A checked request in pieces. `deadline` is on `time.monotonic`'s clock."""

    id: str
    pieces: list[Piece]
    characters: int
    voices: list[tuple[str, float]]
    speed: float
    deadline: float | None


def make_phonemizers(vocabulary: Container[str]) -> dict[str, Phonemizer]:
    """By language, those that are installed.

    Raises:
        EngineLoadError: English's is not.
    """
    try:
        return {language: English(vocabulary, british=language == "en-GB") for language in READ_LANGUAGES}
    except (ImportError, OSError) as error:
        raise EngineLoadError(f"What turns text into sounds is not installed (the extra `speech`): {error}") from error


class SpeechIntake:
    """Turns requests into jobs."""

    def __init__(self, phonemizers: Mapping[str, Phonemizer], voices: Voices) -> None:
        self._phonemizers = phonemizers
        self._voices = voices

    @property
    def languages(self) -> list[str]:
        """Those that can be read."""
        return list(self._phonemizers)

    def job(self, request: SpeechRequest) -> SpeechJob:
        """Check a request and work out its phonemes.

        Raises:
            InvalidRequest: `param` names what is wrong.
        """
        received = time.monotonic()
        if not MIN_SPEED <= request.speed <= MAX_SPEED:
            raise InvalidRequest(f"speed must be from {MIN_SPEED} to {MAX_SPEED}, not {request.speed}", param="speed")
        pieces = self.pieces(request.text, self._language(request.voices))
        return SpeechJob(
            id=request.id,
            pieces=pieces,
            characters=len(request.text),
            voices=request.voices,
            speed=request.speed,
            deadline=None if request.timeout is None else received + request.timeout,
        )

    def pieces(self, text: str, language: str) -> list[Piece]:
        """The text in pieces that have something to say; none where there is nothing."""
        read = self._phonemizers[language]
        chunked = [read(sentence) for sentence in sentences(normalize(text, british=language == "en-GB"))]
        dropped = sum(chunk.dropped for sentence in chunked for chunk in sentence)
        if dropped:
            logger.info("%d phonemes that the model does not know were left out", dropped)
        return cut(chunked) if chunked else []

    def _language(self, voices: list[tuple[str, float]]) -> str:
        """That of the first voice.

        Raises:
            InvalidRequest: a voice is unknown, or none of whose language can be read.
        """
        if not voices:
            raise InvalidRequest("voice: none is named", param="voice")
        for voice, weight in voices:
            if voice not in self._voices.ids:
                known = ", ".join(self._voices.ids)
                raise InvalidRequest(f"voice: there is no voice {voice!r}; there are: {known}", param="voice")
            if not 0 <= weight <= 1:
                raise InvalidRequest(f"voice: the weight of {voice} must be from 0 to 1, not {weight}", param="voice")
        language = self._voices.language(voices[0][0])
        if language not in self._phonemizers:
            raise InvalidRequest(
                f"voice: {voices[0][0]} speaks {language}, whose texts this server cannot turn into sounds",
                param="voice",
            )
        return language
