"""Every speech parameter is honoured or refused, as its contract states, and bad values are refused by name."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from contracts.speech import CreateSpeechRequest
from providers.errors import InvalidRequest
from providers.speech.types import SpeechRequest
from providers.speech.voices import DEFAULT_VOICE, OPENAI_VOICES
from server.api.speech.request import MAX_CHARACTERS, MAX_STREAMED_CHARACTERS, speech_answer, to_speech_request
from server.api.speech.viseme_tables import PHONEMES
from server.serialization import converter
from tests.unit.server.api.speech.speaking import BODY, PATH, echoing, speak
from tests.unit.server.harness import WAIT, ask
from tests.unit.server.parameters import with_status
from tests.unit.server.test_fuzz import values

DOCUMENT = (Path(__file__).parents[5] / "docs" / "speech.md").read_text(encoding="utf-8")
FIELDS = [field.name for field in attrs.fields(CreateSpeechRequest)]

TRANSLATED: dict[str, tuple[Any, dict[str, Any]]] = {
    "input": ("Bye.", {"text": "Bye."}),
    "language": ("es_MX", {"language": "es-419"}),
    "lang_code": ("j", {"language": "ja-JP"}),
    "speed": (1.5, {"speed": 1.5}),
    "timeout": (3, {"timeout": 3.0}),
    "input_format": ("markdown", {"input_format": "markdown"}),
    "lexicon": ({"Siobhan": "ʃəvˈɔn"}, {"lexicon": {"Siobhan": "ʃəvˈɔn"}}),
    "voice": ("af_heart:3, alloy", {"voices": [("af_heart", 3.0), ("alloy", 1.0)]}),
}
ANSWERED = {
    *("model", "format", "response_format", "stream_format", "include_visemes", "viseme_set", "timing_format"),
    *("speakers", "stream", "include_gestures", "gesture_seed"),
}
"""Fields whose effect on the response test_speech.py, test_turns.py and test_gestures.py of this folder check."""


@pytest.fixture(scope="module")
def app() -> Litestar:
    return asyncio.run(echoing())


def translated(**fields: Any) -> SpeechRequest:
    return to_speech_request(converter.structure({**BODY, **fields}, CreateSpeechRequest), id="r")


def test_every_field_is_tested_for_what_its_contract_states() -> None:
    assert with_status(CreateSpeechRequest, "honoured") == {*TRANSLATED, *ANSWERED}
    assert {*FIELDS} - {*TRANSLATED, *ANSWERED} == with_status(CreateSpeechRequest, "noted") == {"instructions"}


@pytest.mark.parametrize("name", TRANSLATED)
def test_what_is_honoured_reaches_the_provider(name: str) -> None:
    value, expected = TRANSLATED[name]
    request = translated(**{name: value})
    assert {field: getattr(request, field) for field in expected} == expected
    assert request != translated()


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "input"])
def test_null_is_the_same_as_nothing(name: str) -> None:
    left_out = {field: value for field, value in BODY.items() if field != name}
    assert translated(**{name: None}) == to_speech_request(converter.structure(left_out, CreateSpeechRequest), id="r")


async def test_instructions_have_no_effect_and_are_noted_unless_empty(app: Litestar) -> None:
    told = await speak(app, instructions="Speak like a pirate.")
    plain = await speak(app, instructions="")
    assert (told.status, told.headers["x-ignored-parameters"]) == (200, "instructions")
    assert (plain.status, "x-ignored-parameters" in plain.headers) == (200, False)
    assert told.body == plain.body


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": ""}, "input", "empty"),
        ({"input": " \n\t\u00a0 "}, "input", "empty"),
        (
            {"input": "a" * (MAX_CHARACTERS + 1), "include_visemes": True},
            "input",
            f"{MAX_CHARACTERS + 1} characters.*at most {MAX_CHARACTERS} .*stream the answer.*--max-speech-characters",
        ),
        (
            {"input": "a" * (MAX_STREAMED_CHARACTERS + 1)},
            "input",
            f"{MAX_STREAMED_CHARACTERS + 1} characters.*at most {MAX_STREAMED_CHARACTERS} .*--max-speech-characters",
        ),
        ({"response_format": "wav", "format": "mp3"}, "format", "send one of them"),
        ({"voice": "af_heart(0)"}, "voice", "weights over 0"),
        ({"voice": "af_heart(1"}, "voice", r"'af_heart\(2\)\+am_michael\(1\)'"),
        ({"voice": "af_heart:1(2)"}, "voice", "weights over 0"),
        ({"input": "\x00 \x07"}, "input", "empty"),
        ({"input_format": "html"}, "input_format", "'text', 'markdown'"),
        ({"lexicon": {"": "a"}}, "lexicon", "a word must have 1 to 200 characters"),
        ({"lexicon": {"a": " "}}, "lexicon", "the phonemes of 'a' must have 1 to 200 characters"),
        ({"lexicon": {str(number): "a" for number in range(1001)}}, "lexicon", "1001 words; at most 1000"),
        ({"lexicon": {"a": 1}}, "lexicon.a", "expected a string"),
        ({"input": 5}, "input", "expected a string"),
        ({"input": ["a"]}, "input[0]", "expected an object"),
        ({"input": []}, "input", "1 to 1000 turns"),
        ({"input": [{"speaker": "A"}]}, "input[0].text", "missing"),
        ({"input": [{"speaker": "A", "text": "a"}, {"text": "b"}]}, "input[1].speaker", "missing"),
        ({"input": [{"speaker": "A", "text": "a"}, {"speaker": " ", "text": "b"}]}, "input[1].speaker", "empty"),
        ({"input": [{"speaker": "A", "text": "a"}, {"speaker": "B", "text": " \n"}]}, "input[1].text", "empty"),
        (
            {"input": [{"speaker": "A", "text": "a" * (MAX_CHARACTERS + 1)}], "include_visemes": True},
            "input",
            "at most",
        ),
        (
            {"input": [{"speaker": "A", "text": "a"}], "speakers": {"A": {"voice": "zork"}}},
            "speakers.A.voice",
            "^speakers.A.voice: there is no voice 'zork'.*af_heart",
        ),
        (
            {"input": [{"speaker": "A", "text": "a"}], "speakers": {"A": {"voice": "af_heart:0"}}},
            "speakers.A.voice",
            "weights over 0",
        ),
        ({"input": [{"speaker": "A", "text": "a"}], "speakers": {"A": {"speed": 9}}}, "speakers.A.speed", "at most 4"),
        ({"input": [{"speaker": "A", "text": "a"}], "voice": "zork"}, "voice", "'zork'"),
        ({"speakers": {"A": {}}}, "speakers", "list of turns"),
        ({"voice": "zork"}, "voice", "'zork'.*af_heart.*alloy"),
        ({"voice": {"id": "voice_1234"}}, "voice", "'voice_1234'.*af_heart"),
        ({"voice": {}}, "voice.id", "missing"),
        ({"voice": {"id": ""}}, "voice.id", "empty"),
        ({"voice": ""}, "voice", "empty"),
        ({"voice": 5}, "voice", "expected a string or an object"),
        ({"voice": "af_heart:0"}, "voice", "weights over 0"),
        ({"voice": "af_heart:-1,am_michael:2"}, "voice", "weights over 0"),
        ({"voice": "af_heart:nan"}, "voice", "weights over 0"),
        ({"voice": "af_heart:1e9"}, "voice", "weights over 0"),
        ({"voice": "af_heart:0.5,"}, "voice", "weights over 0"),
        ({"voice": "af_heart," * 8 + "af_heart"}, "voice", "9 voices; at most 8"),
        ({"voice": "af_heart:0.6,zork:0.4"}, "voice", "'zork'"),
        ({"include_gestures": True}, "include_gestures", "include_visemes"),
        ({"include_gestures": True, "timing_format": "headtts"}, "include_gestures", "headtts"),
        ({"gesture_seed": 1, "include_visemes": True}, "gesture_seed", "include_gestures"),
        ({"gesture_seed": -1}, "gesture_seed", "at least 0"),
        ({"stream": False, "stream_format": "sse"}, "stream", "stream_format"),
        ({"response_format": "ogg"}, "response_format", "'mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'"),
        ({"stream_format": "chunks"}, "stream_format", "'audio', 'sse'"),
        ({"speed": 0.2}, "speed", "at least 0.25"),
        ({"speed": 4.1}, "speed", "at most 4"),
        ({"speed": "1"}, "speed", "expected a number"),
        ({"timeout": 0}, "timeout", "greater than 0"),
        ({"viseme_set": "azure"}, "viseme_set", "include_visemes"),
        ({"viseme_set": "disney", "include_visemes": True}, "viseme_set", "'oculus', 'azure', 'arkit', 'rhubarb'"),
        ({"timing_format": "headtts", "include_visemes": False}, "timing_format", "include_visemes"),
        ({"timing_format": "headtts", "viseme_set": "azure"}, "viseme_set", "oculus"),
        ({"timing_format": "srt"}, "timing_format", "'headtts'"),
    ],
)
async def test_a_bad_value_is_a_400_that_names_its_field(
    app: Litestar, fields: dict[str, Any], param: str, message: str
) -> None:
    answer = await speak(app, **fields)

    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("invalid_request_error", param)
    assert re.search(message, answer.error["message"]), answer.error["message"]


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        pytest.param("af_bella(2)+af_sky(1)", [("af_bella", 2.0), ("af_sky", 1.0)], id="17 a mix in brackets"),
        pytest.param("af_bella+af_sky", [("af_bella", 1.0), ("af_sky", 1.0)], id="17 a sum"),
        pytest.param("af_bella(0.3)", [("af_bella", 0.3)], id="17 one voice with a weight"),
        pytest.param("af_bella:2, af_sky", [("af_bella", 2.0), ("af_sky", 1.0)], id="17 our own"),
        pytest.param("default", [], id="17 default"),
        pytest.param("Alloy", [("Alloy", 1.0)], id="17 OpenAI's name"),
        pytest.param({"id": "af_heart"}, [("af_heart", 1.0)], id="17 an object"),
        pytest.param(None, [], id="17 null"),
    ],
)
def test_a_voice_is_named_as_clients_spell_it(voice: Any, expected: list[tuple[str, float]]) -> None:
    assert translated(voice=voice).voices == expected


@pytest.mark.parametrize("fields", [{"voice": "Alloy"}, {"voice": "default", "model": "tts-1"}, {"voice": None}])
async def test_a_voice_by_another_name_speaks(app: Litestar, fields: dict[str, Any]) -> None:
    assert (await speak(app, **fields)).status == 200


def test_format_is_another_name_of_response_format() -> None:
    for fields in ({"format": "wav"}, {"format": "wav", "response_format": "wav"}):
        assert (
            speech_answer(
                converter.structure({**BODY, "response_format": None, **fields}, CreateSpeechRequest)
            ).audio_format
            == "wav"
        )


@pytest.mark.parametrize(
    ("limit", "length", "status"), [(10, 11, 400), (10, 10, 200), (0, MAX_CHARACTERS + 1, 200), (None, 24_121, 200)]
)
def test_the_limit_on_characters_is_an_option(limit: int | None, length: int, status: int) -> None:
    data = converter.structure({**BODY, "input": "a" * length}, CreateSpeechRequest)
    if status == 200:
        assert len(to_speech_request(data, id="r", streamed=limit is None, max_characters=limit).text) == length
    else:
        with pytest.raises(InvalidRequest, match="has 11 characters; at most 10 are allowed"):
            to_speech_request(data, id="r", max_characters=limit)


async def test_half_a_character_is_a_400(app: Litestar) -> None:
    answer = await ask(app, path=PATH, content=b'{"input": "a\\ud800b", "voice": "alloy"}')
    assert (answer.status, answer.error["param"]) == (400, "input")


@pytest.mark.parametrize("text", ["a" * MAX_CHARACTERS, "tabs\tand\nlines\r\n", "naïve café — “quoted”", "数字 123"])
def test_a_text_that_can_be_spoken_is_not_changed(text: str) -> None:
    assert translated(input=text).text == text


def test_the_document_has_the_numbers_and_names_of_the_code() -> None:
    assert f"{MAX_CHARACTERS} characters" in DOCUMENT
    assert f"{MAX_STREAMED_CHARACTERS}" in DOCUMENT
    assert f"`{DEFAULT_VOICE}`" in DOCUMENT
    aliases = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", DOCUMENT, re.MULTILINE))
    assert aliases == dict(OPENAI_VOICES)


def test_the_document_s_table_of_visemes_is_the_code_s() -> None:
    told: dict[str, tuple[str, ...]] = {}
    for letters, *shapes in re.findall(
        r"^\| ((?:`\S`\s?)+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE
    ):
        for letter in re.findall(r"`(\S)`", letters):
            told[letter] = tuple(" ".join(re.findall(r"\w+", shape)) for shape in shapes)
    assert told == dict(PHONEMES)


bodies = st.builds(
    lambda required, others: {**required, **others},
    st.fixed_dictionaries({"input": st.sampled_from(["Hi.", "A. B!", "\U0001f600"]) | values}),
    st.dictionaries(
        st.sampled_from(FIELDS),
        values
        | st.sampled_from(
            [
                "alloy",
                "af_heart:1,am_echo:2",
                "a:b",
                {"id": "nova"},
                "sse",
                "audio",
                "wav",
                "headtts",
                "arkit",
                0.5,
                True,
            ]
        ),
        max_size=4,
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies)
def test_no_body_is_a_500(app: Litestar, body: dict[str, Any]) -> None:
    async def answered() -> None:
        async with asyncio.timeout(WAIT):
            answer = await ask(app, path=PATH, content=msgspec.json.encode(body))
        assert answer.complete
        assert answer.status == 200 or 400 <= answer.status < 500, answer.body

    asyncio.run(answered())
