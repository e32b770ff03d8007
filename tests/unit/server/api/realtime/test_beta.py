"""Clients of OpenAI's beta get its events. The library's types of the beta judge each."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from litestar import Litestar
from openai.types.beta.realtime import SessionCreateResponse, TranscriptionSession

from contracts.parameters import parameters
from contracts.realtime.beta import CreateBetaSessionRequest
from providers.chat.types import (
    Accepted,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ToolCallDelta,
    Usage,
)
from server.api.realtime.dialects.beta import BETA_PROTOCOL
from tests.unit.server.api.realtime.sockets import Socket, check_beta, connected
from tests.unit.server.api.realtime.talks import talk
from tests.unit.server.api.spoken.apps import TEXT, repeat, speaking_app
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

BETA = {"openai-beta": "realtime=v1"}
TOOL = {"type": "function", "name": "look", "description": "", "parameters": {"type": "object"}}
KEY = {"authorization": "Bearer right"}


@asynccontextmanager
async def beta(app: Litestar, query: str = "?model=org/fake", **headers: str) -> AsyncIterator[Socket]:
    async with connected(app, f"/v1/realtime{query}", headers={**BETA, **headers}, judge=check_beta) as socket:
        yield socket


def say(socket: Socket, text: str, kind: str = "input_text", role: str = "user") -> None:
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    socket.send("conversation.item.create", item=item)


async def test_a_text_turn() -> None:
    chat = FakeChat(script=repeat)
    async with beta(make_app(chat)) as socket:
        session = (await socket.until("session.created"))["session"]
        say(socket, "Yes?", kind="text", role="assistant")
        say(socket, "one two three", kind="text")
        socket.send("response.create", response={"modalities": ["text"], "max_response_output_tokens": 7})
        done = (await socket.until("response.done"))["response"]
    assert session["modalities"] == ["text"]
    assert session["max_response_output_tokens"] == "inf"
    assert (session["input_audio_format"], session["output_audio_format"]) == ("pcm16", "pcm16")
    assert session["turn_detection"] is session["input_audio_transcription"] is None
    assert {"type", "audio", "output_modalities", "max_output_tokens"}.isdisjoint(session)
    assert [event["type"] for event in socket.events[:3]] == ["session.created", *["conversation.item.created"] * 2]
    assert [event["item"]["content"][0]["type"] for event in socket.events[1:3]] == ["text", "input_text"]
    assert socket.types(since="response.created") == [
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.text.delta",
        "response.text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    assert done["output"][0]["content"] == [{"type": "text", "text": "one two three"}]
    assert (done["modalities"], done["max_output_tokens"]) == (["text"], 7)
    assert {"audio", "output_modalities"}.isdisjoint(done)
    (request,) = chat.requests
    assert request.max_tokens == 7


async def test_a_spoken_turn() -> None:
    app = await speaking_app(FakeChat(script=repeat))
    async with beta(app) as socket:
        assert (await socket.until("session.created"))["session"]["modalities"] == ["text", "audio"]
        say(socket, TEXT)
        socket.send("response.create", response={"voice": "af_heart", "output_audio_format": "g711_ulaw"})
        done = (await socket.until("response.done"))["response"]
    assert {*socket.types(since="response.created")} == {
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.audio_transcript.delta",
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    }
    ends = [event["type"] for event in socket.events if event["type"].endswith(".done")]
    assert ends[:2] == ["response.audio.done", "response.audio_transcript.done"]
    assert done["output"][0]["content"] == [{"type": "audio", "transcript": TEXT}]
    assert (done["voice"], done["output_audio_format"]) == ("af_heart", "g711_ulaw")
    assert done["modalities"] == ["text", "audio"]


async def test_a_function_is_called() -> None:
    async def call(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        assert isinstance(request.prompt, ChatPrompt)
        yield Accepted(3, 0)
        if request.prompt.messages[-1].role != "tool":
            yield ToolCallDelta(0, id="call_1", name="look")
            yield ToolCallDelta(0, '{"at": "sky"}')
        yield Finished("tool_calls", Usage(3, 3), 0.0, 0.0)

    async with beta(make_app(FakeChat(script=call))) as socket:
        socket.send("session.update", session={"tools": [TOOL], "tool_choice": "auto"})
        assert (await socket.until("session.updated"))["session"]["tools"] == [TOOL]
        say(socket, "Look.")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
        assert socket.types(since="response.created") == [
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.done",
        ]
        (made,) = done["output"]
        assert (made["name"], made["call_id"], made["arguments"]) == ("look", "call_1", '{"at": "sky"}')
        socket.send(
            "conversation.item.create", item={"type": "function_call_output", "call_id": "call_1", "output": "blue"}
        )
        assert (await socket.until("conversation.item.created"))["item"]["output"] == "blue"


async def test_settings_are_read_and_reported_flat() -> None:
    asked = {
        "instructions": "Be brief.",
        "modalities": ["text", "audio"],
        "voice": "alloy",
        "speed": 1.2,
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "turn_detection": {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 200},
        "tool_choice": "required",
        "tools": [TOOL],
        "temperature": 0.8,
        "max_response_output_tokens": 20,
    }
    async with talk("Hello.") as spoken, beta(spoken.app) as socket:
        first = (await socket.until("session.created"))["session"]
        assert first["turn_detection"]["type"] == "server_vad"
        socket.send("session.update", session={**first, **asked})
        session = (await socket.until("session.updated"))["session"]
        noise = {"type": "near_field"}
        socket.send("session.update", session={"turn_detection": None, "input_audio_noise_reduction": noise})
        last = (await socket.until("session.updated"))["session"]
    detection = session["turn_detection"]
    assert (detection["threshold"], detection["silence_duration_ms"]) == (0.6, 200)
    assert {name: session[name] for name in asked if name != "turn_detection"} == {
        name: value for name, value in asked.items() if name != "turn_detection"
    }
    assert last["turn_detection"] is None
    assert last["ignored_parameters"] == ["session.input_audio_noise_reduction"]


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "session.update", "session": {"speed": 9}}, "session.speed"),
        ({"type": "session.update", "session": {"turn_detection": {"type": "x"}}}, "session.turn_detection.type"),
        ({"type": "response.create", "response": {"modalities": ["smell"]}}, "response.modalities[0]"),
        ({"type": "response.create", "response": {"modalities": ["audio"]}}, "response.modalities"),
        ({"type": "nonsense"}, "type"),
    ],
)
async def test_an_error_names_the_field_that_the_client_sent(event: dict[str, Any], param: str) -> None:
    async with beta(make_app(FakeChat(script=repeat))) as socket:
        socket.send(**event, event_id="mine")
        error = (await socket.until("error"))["error"]
        say(socket, "Hi")
        await socket.until("conversation.item.created")
    assert (error["param"], error["event_id"]) == (param, "mine")
    assert error["message"].startswith(param)


async def test_a_turn_of_a_user_who_speaks() -> None:
    async with talk("Hello.") as spoken, beta(spoken.app) as socket:
        socket.send("session.update", session={"turn_detection": None, "input_audio_transcription": {}})
        socket.send("input_audio_buffer.append", audio=b64encode(bytes(48_000)).decode())
        socket.send("input_audio_buffer.commit")
        created = await socket.until("conversation.item.created")
        await socket.until("conversation.item.input_audio_transcription.completed")
        socket.send("conversation.item.retrieve", item_id=created["item"]["id"])
        await socket.until("conversation.item.retrieved")
    assert created["item"]["content"][0]["type"] == "input_audio"


async def test_a_transcription_session() -> None:
    async with talk("Hello.") as spoken, beta(spoken.app, "?model=org/fake&intent=transcription") as socket:
        session = (await socket.until("transcription_session.created"))["session"]
        socket.send("transcription_session.update", session={"input_audio_transcription": {"model": "whisper-1"}})
        updated = (await socket.until("transcription_session.updated"))["session"]
    assert session["object"] == "realtime.transcription_session"
    assert "modalities" not in session
    assert updated["input_audio_transcription"] == {"model": "whisper-1"}


@pytest.mark.parametrize(
    ("headers", "offered", "accepted", "speaks_beta"),
    [
        ({}, [], None, False),
        ({}, ["realtime"], "realtime", False),
        ({"openai-beta": "assistants=v2"}, [], None, False),
        ({"openai-beta": "assistants=v2, realtime=v1"}, [], None, True),
        ({}, ["realtime", "openai-insecure-api-key.x", BETA_PROTOCOL], "realtime", True),
        ({}, [BETA_PROTOCOL], BETA_PROTOCOL, True),
    ],
)
async def test_a_client_asks_for_the_beta(
    headers: dict[str, str], offered: list[str], accepted: str | None, speaks_beta: bool
) -> None:
    judge = check_beta if speaks_beta else None
    async with connected(make_app(FakeChat()), headers=headers, subprotocols=offered, judge=judge) as socket:
        session = (await socket.until("session.created"))["session"]
    assert ("modalities" in session) == speaks_beta
    assert socket.accepted is not None
    assert socket.accepted["subprotocol"] == accepted


async def test_a_session_made_over_http() -> None:
    app = make_app(FakeChat(), api_key="right")
    life = {"expires_after": {"anchor": "created_at", "seconds": 60}}
    asked = {"model": "org/fake", "modalities": ["text"], "instructions": "Be brief.", "client_secret": life}
    without_effect = {"input_audio_noise_reduction": {"type": "near_field"}, "tracing": "auto", "include": ["x"]}
    answer = await ask(app, path="/v1/realtime/sessions", json={**asked, **without_effect, "more": 1}, headers=KEY)
    made = answer.json
    SessionCreateResponse.model_validate(made, strict=True)
    assert made["object"] == "realtime.session"
    assert made["instructions"] == "Be brief."
    assert {*answer.headers["x-ignored-parameters"].split(", ")} == {*without_effect, "more"}
    async with beta(app, "", authorization=f"Bearer {made['client_secret']['value']}") as socket:
        assert (await socket.until("session.created"))["session"]["instructions"] == "Be brief."


async def test_every_setting_of_a_session_made_over_http_is_its_sessions() -> None:
    asked = {
        "model": "org/fake",
        "modalities": ["text", "audio"],
        "instructions": "Be brief.",
        "voice": "alloy",
        "speed": 1.2,
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": None,
        "tools": [TOOL],
        "tool_choice": "required",
        "temperature": 0.5,
        "max_response_output_tokens": 20,
    }
    fields = {name for name, stated in parameters(CreateBetaSessionRequest).items() if stated.status == "honoured"}
    assert {*asked} == fields - {"client_secret"}
    async with talk("Hello.") as spoken:
        made = (await ask(spoken.app, path="/v1/realtime/sessions", json=asked)).json
    SessionCreateResponse.model_validate(made, strict=True)
    assert {name: made[name] for name in asked} == asked


async def test_a_transcription_session_made_over_http() -> None:
    async with talk("Hello.") as spoken:
        path = "/v1/realtime/transcription_sessions"
        life = {"expires_at": {"seconds": 60}}
        asked = {"model": "org/fake", "input_audio_format": "g711_ulaw", "client_secret": life}
        made = (await ask(spoken.app, path=path, json={**asked, "turn_detection": None})).json
        detecting = (await ask(spoken.app, path=path, json=asked)).json
        TranscriptionSession.model_validate(made, strict=True)
        assert made["object"] == "realtime.transcription_session"
        assert (made["input_audio_format"], made["turn_detection"]) == ("g711_ulaw", None)
        assert detecting["turn_detection"]["type"] == "server_vad"
        async with beta(spoken.app, "", authorization=f"Bearer {made['client_secret']['value']}") as socket:
            await socket.until("transcription_session.created")


@pytest.mark.parametrize(
    ("body", "param"),
    [({"speed": 9}, "speed"), ({"turn_detection": {"type": "semantic_vad"}}, "turn_detection.type")],
)
async def test_what_is_wrong_with_a_session_made_over_http(body: dict[str, Any], param: str) -> None:
    answer = await ask(make_app(FakeChat()), path="/v1/realtime/sessions", json=body)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert answer.error["message"].startswith(param)
