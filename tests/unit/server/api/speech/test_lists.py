"""The lists of voices and of models that speak."""

from __future__ import annotations

import pytest
from litestar import Litestar

from providers.registry import ModelRegistry
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.api.speech.speaking import FakeSpeech, echoing, speak, speaking
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


async def test_the_voices_are_listed_with_openai_s_names(app: Litestar) -> None:
    answer = await ask(app, "GET", "/v1/audio/voices")
    voices = {voice["id"]: voice for voice in answer.json["data"]}

    assert answer.json["object"] == "list"
    assert answer.json["voices"] == [{"id": voice["id"], "name": voice["name"]} for voice in answer.json["data"]]
    assert voices["bm_george"] == {
        "id": "bm_george",
        "object": "voice",
        "name": "George",
        "language": "en-GB",
        "gender": "male",
        "model": "echo",
        "aliases": ["ballad"],
    }
    assert voices["bf_emma"]["aliases"] == []


async def test_the_models_that_speak_are_listed_as_open_webui_reads_them(app: Litestar) -> None:
    answer = await ask(app, "GET", "/v1/audio/models")
    assert answer.json == {"object": "list", "models": [{"id": "echo", "name": "echo"}]}


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/v1/audio/models"])
async def test_lists_have_a_head(app: Litestar, path: str) -> None:
    head, whole = await ask(app, "HEAD", path), await ask(app, "GET", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


async def test_a_voice_that_cannot_be_spoken_here_is_not_listed() -> None:
    answer = await ask(speaking(FakeSpeech()), "GET", "/v1/audio/voices")
    assert [voice["id"] for voice in answer.json["data"]] == ["af_heart"]


async def test_without_a_speech_model_there_are_no_voices_and_no_speech() -> None:
    chat = FakeChat()
    app = create_app(
        Settings(models=(chat.spec,)), ModelRegistry((chat.spec,), factories={chat.spec.model_type: lambda _: chat})
    )
    assert (await ask(app, "GET", "/v1/audio/voices")).json == {"object": "list", "data": [], "voices": []}
    assert (await ask(app, "GET", "/v1/audio/models")).json == {"object": "list", "models": []}
    assert (await speak(app)).error["code"] == "model_not_found"
