"""`/v1/realtime` with the embedded models: OpenAI's own client talks, is answered, interrupts and goes on."""

from __future__ import annotations

import base64
import signal
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
from openai.resources.realtime.realtime import RealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from websockets.exceptions import ConnectionClosed

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer

SPEECH = files("pytest_audioeval") / "samples" / "audio" / "en" / "quick_brown_fox.wav"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def session(server: LiveServer) -> Iterator[RealtimeConnection]:
    """A session of short written answers."""
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
    with client.realtime.connect(model="smollm2-135m-instruct") as connection:
        assert until(connection, "session.created")[-1].type == "session.created"
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"], "max_output_tokens": 12})
        until(connection, "session.updated")
        yield connection


def until(connection: RealtimeConnection, *types: str) -> list[RealtimeServerEvent]:
    """The events up to the next one of these types."""
    events: list[RealtimeServerEvent] = []
    while not events or events[-1].type not in types:
        events.append(connection.parse_event(connection.recv_bytes()))
    return events


def ask(connection: RealtimeConnection, text: str, **response: Any) -> list[RealtimeServerEvent]:
    content: Any = [{"type": "input_text", "text": text}]
    connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    connection.response.create(response=response)  # type: ignore[arg-type]
    return until(connection, "response.done")


def done(events: list[RealtimeServerEvent]) -> Any:
    last: Any = events[-1]
    return last.response


def test_turns_in_text(session: RealtimeConnection) -> None:
    first = done(ask(session, "What is the capital of France?"))
    assert first.status in ("completed", "incomplete")
    assert first.output[0].content[0].text
    second = done(ask(session, "And of Italy?"))
    assert second.usage.input_tokens > first.usage.input_tokens
    assert second.usage.input_token_details.cached_tokens > 0


def test_a_spoken_turn_is_heard_and_answered_aloud(session: RealtimeConnection) -> None:
    samples, rate = soundfile.read(SPEECH)
    places = np.arange(0, len(samples), rate / 24_000)
    pcm = (np.interp(places, np.arange(len(samples)), samples) * 32_000).astype(np.int16).tobytes()
    given: Any = {"transcription": {"model": "whisper-1"}, "turn_detection": None}
    session.session.update(session={"type": "realtime", "audio": {"input": given}})
    for begin in range(0, len(pcm), 9600):
        session.input_audio_buffer.append(audio=base64.b64encode(pcm[begin : begin + 9600]).decode())
    session.input_audio_buffer.commit()
    heard: Any = until(session, "conversation.item.input_audio_transcription.completed")[-1]
    assert "brown fox" in heard.transcript
    session.response.create(response={"output_modalities": ["audio"]})
    events: list[Any] = until(session, "response.done")
    audio = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
    text = "".join(e.delta for e in events if e.type == "response.output_audio_transcript.delta")
    assert done(events).output[0].content[0].transcript == text
    visemes = [v for e in events if e.type == "response.output_audio.visemes" for v in e.to_dict()["visemes"]]
    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == pytest.approx(len(audio) / 2 / 24_000)
    assert all(before["end_time"] == after["start_time"] for before, after in pairwise(visemes))
    words = [w["text"] for e in events if e.type == "response.output_audio.words" for w in e.to_dict()["words"]]
    assert words
    assert all(word in text for word in words)


def test_a_function_is_called(session: RealtimeConnection) -> None:
    asked: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    events: list[Any] = ask(session, "The weather in Rome?", max_output_tokens=64, **asked)
    call = done(events).output[0]
    assert [item.type for item in done(events).output] == ["function_call"]
    assert call.name == "get_weather"
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == call.arguments
    session.conversation.item.create(
        item={"type": "function_call_output", "call_id": call.call_id, "output": "It rains."}
    )
    session.response.create()
    assert done(until(session, "response.done")).output[0].type == "message"


def test_cancel_frees_the_slot_and_errors_end_nothing(session: RealtimeConnection, server: LiveServer) -> None:
    content: Any = [{"type": "input_text", "text": "Tell me a very long story."}]
    session.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    session.response.create(response={"max_output_tokens": 4000})
    until(session, "response.output_text.delta")
    session.response.cancel()
    assert done(until(session, "response.done")).status == "cancelled"
    models: dict[str, Any] = {}
    for _ in range(600):
        models = httpx.get(f"{server.base_url}/queue/stats", timeout=PATIENCE).json()["models"]
        if not models["smollm2-135m-instruct"]["active"]:
            break
    assert models["smollm2-135m-instruct"]["active"] == 0
    session.response.cancel()
    error: Any = until(session, "error")[-1]
    assert error.error.code == "response_cancel_not_active"
    session.send_raw("{")
    until(session, "error")
    assert done(ask(session, "Hello!")).status in ("completed", "incomplete")


def test_a_key_of_a_client_opens_a_session(server: LiveServer) -> None:
    client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=PATIENCE)
    secret = client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."})
    with openai.OpenAI(base_url=server.base_url, api_key=secret.value).realtime.connect() as connection:
        created: Any = until(connection, "session.created")[-1]
        assert created.session.instructions == "Be brief."


def test_a_server_that_ends_says_so(launch: Callable[..., LiveServer]) -> None:
    echo = launch("--model-type", "echo")
    client = openai.OpenAI(base_url=echo.base_url, api_key="none", max_retries=0)
    with client.realtime.connect(model="echo") as connection:
        until(connection, "session.created")
        echo.process.send_signal(signal.SIGTERM)
        error: Any = until(connection, "error")[-1]
        assert error.error.code == "model_not_ready"
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv_bytes()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert echo.process.wait(60) == 0
