"""Whatever a client sends, readers return words in order, of phonemes that the model knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.engines.speech.languages.espeak import EspeakLanguage
from providers.engines.speech.languages.espeak_program import EspeakProgram
from providers.engines.speech.text.g2p import Phonemizer
from providers.engines.speech.text.mapped import Mapped
from providers.speech.languages import LANGUAGES
from tests.unit.providers.engines.speech.languages.reading import vocabulary

TEXTS = st.text(max_size=60) | st.text(
    "今日は三本の12,.:/%$¥ -〇々ーンッ。！「」abcéñçœनमस्ते।'’\"()«»?!…°#&", max_size=60
)


class _Letters(EspeakProgram):
    """Reads every line as its letters, and ten letters for a digit."""

    def __init__(self) -> None:
        super().__init__("")

    def ipa(self, lines: list[str], voice: str) -> list[str]:  # type: ignore[override]
        return [" ".join("kasa" if not word.isalpha() else word for word in line.split()) for line in lines]


def espeak(voice: str, code: str) -> Phonemizer:
    return EspeakLanguage(vocabulary(), _Letters(), voice=voice, scripts=LANGUAGES[code].scripts)


def japanese() -> Phonemizer:
    pytest.importorskip("fugashi")
    from providers.engines.speech.languages.japanese import Japanese

    return Japanese(vocabulary(), scripts=LANGUAGES["ja-JP"].scripts, foreign=str.lower)


def mandarin() -> Phonemizer:
    pytest.importorskip("rjieba")
    from providers.engines.speech.languages.mandarin import Mandarin

    return Mandarin(vocabulary(), scripts=LANGUAGES["zh-CN"].scripts, foreign=str.lower)


READERS: dict[str, Callable[[], Phonemizer]] = {
    "es": lambda: espeak("es", "es-ES"),
    "fr": lambda: espeak("fr-fr", "fr-FR"),
    "hi": lambda: espeak("hi", "hi-IN"),
    "ja": japanese,
    "zh": mandarin,
}


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest) -> Phonemizer:
    return READERS[request.param]()


@given(text=TEXTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_are_in_order_and_of_known_phonemes(reader: Phonemizer, text: str) -> None:
    known = vocabulary()
    for sentence in reader.sentences(reader.normalize(Mapped.of(text))):
        at = 0
        for chunk in reader(sentence.text):
            found = sentence.text.find(chunk.text, at)
            assert found >= 0, (sentence.text, chunk)
            at = found + len(chunk.text)
            assert chunk.word in chunk.text
            assert min(len(chunk.word), len(chunk.phonemes)) > 0
            assert all(symbol in known for symbol in chunk.phonemes)


@pytest.mark.parametrize("text", ["9" * 5000, "a" * 5000, "日" * 3000, "1," * 2000, "- " * 3000, "a" + "." * 5000])
@pytest.mark.timeout(30)
def test_long_runs_are_read_in_time(reader: Phonemizer, text: str) -> None:
    for sentence in reader.sentences(reader.normalize(Mapped.of(text))):
        reader(sentence.text)
