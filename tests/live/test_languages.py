"""Speech in other languages than English, with espeak-ng itself: what it reads, and what a server speaks."""

from __future__ import annotations

import os
from typing import Any

import httpx
import pytest

from providers.engines.speech.languages.readers import Readers
from tests.live.client import PATIENCE, assert_error
from tests.live.espeak import INSTALL_SECONDS, find_espeak
from tests.live.harness import LiveServer, start
from tests.unit.providers.engines.speech.languages.reading import phonemes, vocabulary, words

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 120)


@pytest.fixture(scope="module")
def espeak() -> None:
    if find_espeak() is None:
        pytest.skip("espeak-ng is not on the path, and CI is not set so that it would be installed")


@pytest.fixture(scope="module")
def readers(espeak: None) -> Readers:
    return Readers(vocabulary())


@pytest.fixture(scope="module")
def voice(voice: LiveServer, espeak: None) -> LiveServer:
    return voice


def spoken(server: LiveServer, **fields: Any) -> dict[str, Any]:
    body = {"model": "any", "response_format": "wav", "include_visemes": True, **fields}
    answer = httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@pytest.mark.parametrize(
    ("language", "text", "read"),
    [
        ("es-ES", "Hola, ¿cómo estás? Tengo 3 perros.", "ˈola, kˈomo estˈas? tˈɛŋɡo tɾˈes pˈeros."),
        ("es-ES", "La niña come en el jardín.", "la nˈiɲa kˈome en el xaɾðˈin."),
        ("es-419", "Gracias por la cena.", "ɡɾˈasjas poɾ la sˈena."),
        ("fr-FR", "Les amis ne sont pas là aujourd'hui.", "lez amˈi nə sɔ̃ pa lˈa oʒuʁdyˈi."),
        ("fr-FR", "« Bonjour », dit-elle.", "“bɔ̃ʒˈuʁ”, dˈitˈɛl."),
        ("it-IT", "La ragazza legge un libro.", "la raɡˈaʦːa lˈeʤːe ʊn lˈibro."),
        ("pt-BR", "Olá, tudo bem?", "olˈa, tˈudʊ bˈAŋ?"),
        ("pt-BR", "O menino tem 2 maçãs.", "ʊ mˌenˈinʊ tAŋ dˈoɪz masˈɐ̃s."),
        ("hi-IN", "नमस्ते, आप कैसे हैं?", "nəmˈʌsteː, ˌaːp kˈɛːseː hɛ̃?"),
        ("hi-IN", "यह मेरा घर है।", "jˌəh mˌeːɾaː ɡʰˈʌɾ hɛː."),
    ],
)
def test_espeak_reads(readers: Readers, language: str, text: str, read: str) -> None:
    assert phonemes(readers[language], text) == read


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("es-ES", "$5 o 1.5 €", [("5", "$5"), ("dólares", "$5"), ("o", "o"), ("1,5", "1.5"), ("euros", "€")]),
        ("fr-FR", "12 000 h", [("12000", "12 000"), ("heures", "h")]),
        (
            "it-IT",
            "Il Sig. Rossi, 5 kg",
            [("Il", "Il"), ("signor", "Sig."), ("Rossi", "Rossi"), ("5", "5"), ("chili", "kg")],
        ),
        ("pt-BR", "R$ 10", [("10", "R$ 10"), ("reais", "R$ 10")]),
        ("hi-IN", "₹1,00,000 है", [("100000", "₹1,00,000"), ("रुपये", "₹1,00,000"), ("है", "है")]),
    ],
)
def test_words_know_the_stretch_that_they_say(
    readers: Readers, language: str, text: str, said: list[tuple[str, str]]
) -> None:
    assert words(readers[language], text) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"voice": "ef_dora", "input": "Buenos días."}, ["Buenos", "días"]),
        ({"voice": "ff_siwis", "input": "Bonjour, ça va très bien"}, ["Bonjour", "ça", "va", "très", "bien"]),
        ({"voice": "jf_alpha", "input": "おはようございます。"}, ["おはよう", "ございます"]),
        ({"voice": "af_heart", "lang_code": "j", "input": "こんにちは、世界"}, ["こんにちは", "世界"]),
        ({"voice": "zf_xiaobei", "input": "你好,世界"}, ["你好", "世界"]),
    ],
)
def test_voices_speak_their_languages(voice: LiveServer, fields: dict[str, str], said: list[str]) -> None:
    speech = spoken(voice, **fields)

    assert [word["word"] for word in speech["words"]] == said
    assert [fields["input"][word["start_char"] : word["end_char"]] for word in speech["words"]] == said
    assert 0.5 < speech["duration"] < 3.0
    assert speech["visemes"][-1]["end_time"] == pytest.approx(speech["duration"])


def test_a_language_without_a_voice_is_spoken_by_a_voice_of_it(voice: LiveServer) -> None:
    assert (
        spoken(voice, input="Ciao.", language="Italian")["audio"]
        == spoken(voice, input="Ciao.", voice="if_sara")["audio"]
    )


def test_letters_of_another_script_are_refused_by_name_and_place(voice: LiveServer) -> None:
    body = {"model": "any", "voice": "ff_siwis", "input": "你好"}
    answer = httpx.post(f"{voice.url}/v1/audio/speech", json=body, timeout=PATIENCE)

    assert_error(answer, 400, "invalid_request_error", param="input")
    assert "Han" in answer.json()["error"]["message"]


def test_without_espeak_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(os.__file__))
    running = start("--model-type", "tts")
    try:
        body = {"model": "any", "voice": "ff_siwis", "input": "Bonjour."}
        answer = httpx.post(f"{running.url}/v1/audio/speech", json=body, timeout=PATIENCE)
        listed = httpx.get(f"{running.url}/v1/audio/voices", timeout=PATIENCE).json()["data"]
    finally:
        running.stop()

    assert_error(answer, 400, "invalid_request_error", param="voice")
    assert "apt install espeak-ng" in answer.json()["error"]["message"]
    assert "ff_siwis" not in {voice["id"] for voice in listed}
