"""The phonemizers of all languages, each made when it is first used."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container

from providers.engines.process.engine import EngineLoadError
from providers.engines.speech.languages.espeak import EspeakLanguage
from providers.engines.speech.languages.espeak_program import EspeakProgram
from providers.engines.speech.languages.japanese import Japanese
from providers.engines.speech.languages.mandarin import Mandarin
from providers.engines.speech.text.g2p import English, Phonemizer
from providers.errors import InvalidRequest
from providers.speech.languages import ESPEAK, LANGUAGES, SpokenLanguage

__all__ = ["Readers"]


class Readers:
    """Phonemizers by the codes of `LANGUAGES`. Only for the intake thread.

    Args:
        vocabulary: the phonemes that the model knows.

    Raises:
        EngineLoadError: the phonemizer of English, which every model needs, is not installed.
    """

    def __init__(self, vocabulary: Container[str]) -> None:
        self._vocabulary = vocabulary
        self._made: dict[str, Phonemizer] = {}
        try:
            for code in ("en-US", "en-GB"):
                self._made[code] = self._make(LANGUAGES[code])
        except (ImportError, OSError) as error:
            raise EngineLoadError(f"the phonemizer is not installed (the extra `speech`): {error}") from error

    def __getitem__(self, code: str) -> Phonemizer:
        """The phonemizer of a language.

        Raises:
            InvalidRequest: it cannot be read on this machine.
        """
        if code not in self._made:
            language = LANGUAGES[code]
            if missing := language.missing:
                raise InvalidRequest(f"language: {missing}", param="language")
            try:
                self._made[code] = self._make(language)
            except (ImportError, OSError, RuntimeError) as error:
                raise InvalidRequest(f"language: {language.name} cannot be read: {error}", param="language") from error
        return self._made[code]

    def _make(self, language: SpokenLanguage) -> Phonemizer:
        if language.reader == "english":
            return English(self._vocabulary, british=language.code == "en-GB")
        if language.reader == "espeak":
            program = EspeakProgram(shutil.which(ESPEAK) or ESPEAK)
            return EspeakLanguage(self._vocabulary, program, voice=language.espeak, scripts=language.scripts)
        reader: Callable[..., Phonemizer] = Japanese if language.reader == "japanese" else Mandarin
        return reader(self._vocabulary, scripts=language.scripts, foreign=self._foreign)

    def _foreign(self, word: str) -> str:
        """The phonemes of a word in Latin letters within Japanese or Chinese: those of English."""
        return " ".join(chunk.phonemes for chunk in self._made["en-US"](word))
