"""What requests send about their text, and what answers report of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechRequest, Unspoken
from tests.unit.server.api.speech.speaking import FakeSpeech, piece, speak, speaking


async def test_the_text_s_format_and_lexicon_reach_the_voice_and_control_characters_do_too() -> None:
    speech = FakeSpeech()
    await speak(speaking(speech), input="\x1b[31mred", input_format="text", lexicon={"Siobhan": "ʃəvˈɔn"})

    (request,) = speech.requests
    assert (request.text, request.input_format, request.lexicon) == ("\x1b[31mred", "text", {"Siobhan": "ʃəvˈɔn"})


async def unable(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    words = [Unspoken("東京", 4, 6), Unspoken("мир", 8, 11)]
    yield SpeechAccepted(1, 11, words)
    yield piece()
    yield SpeechFinished(12_000, 0.1, words)


@pytest.mark.parametrize("fields", [{}, {"response_format": "flac"}, {"response_format": "wav"}])
async def test_a_file_names_what_it_does_not_say_in_a_header(fields: dict[str, Any]) -> None:
    answer = await speak(speaking(FakeSpeech(script=unable)), **fields)

    assert answer.headers["x-unspoken"] == "4-6, 8-11"


async def test_objects_and_events_name_what_is_not_said() -> None:
    unspoken = [{"text": "東京", "start_char": 4, "end_char": 6}, {"text": "мир", "start_char": 8, "end_char": 11}]
    app = speaking(FakeSpeech(script=unable))

    assert (await speak(app, include_visemes=True)).json["unspoken"] == unspoken
    assert (await speak(app, timing_format="headtts")).json["unspoken"] == unspoken
    done = (await speak(app, stream_format="sse")).body.split(b"data: ")[-2]
    assert msgspec.json.decode(done)["unspoken"] == unspoken
    assert "unspoken" not in (await speak(speaking(FakeSpeech()), include_visemes=True)).json
