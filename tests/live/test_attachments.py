"""Pictures and recordings in conversations, by the official SDKs against the real server."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

import anthropic
import openai
import pytest

from tests.live.harness import LiveServer
from tests.unit.server.media.drawn import pdf, plain

RECORDING = files("pytest_audioeval") / "samples" / "audio" / "en" / "hello_world.wav"
PICTURE = base64.b64encode(plain(640, 480)).decode()
URL = f"data:image/png;base64,{PICTURE}"


@pytest.fixture(scope="module")
def echo(echo_server: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{echo_server.url}/v1", api_key="none", max_retries=0)


def test_a_chat_has_pictures_files_and_text(echo: openai.OpenAI) -> None:
    document = {"filename": "a.pdf", "file_data": base64.b64encode(pdf(pages=1)).decode()}
    content: Any = [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "file", "file": document},
        {"type": "text", "text": "Why?"},
    ]
    messages: Any = [{"role": "user", "content": content}]
    said = '[image 512x384]\n<file name="a.pdf">\n[image 1536x768]\n</file>\nWhy?'
    answer = echo.chat.completions.create(model="echo", messages=messages)
    assert answer.choices[0].message.content == said
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(said.split())
    stream = echo.chat.completions.create(model="echo", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == said


def test_a_response_continues_with_its_picture(echo: openai.OpenAI) -> None:
    content: Any = [{"type": "input_image", "image_url": URL, "detail": "auto"}]
    first = echo.responses.create(model="echo", input=[{"role": "user", "content": content}])
    assert first.output_text == "[image 640x480]"
    again = echo.responses.create(model="echo", input=[*first.output, {"role": "user", "content": content}])  # type: ignore[list-item]
    assert again.output_text == "[image 640x480]"
    more = echo.responses.create(model="echo", input="And?", previous_response_id=first.id)
    assert more.usage is not None
    assert more.usage.input_tokens > 3


def test_a_message_has_pictures(echo_server: LiveServer) -> None:
    client = anthropic.Anthropic(base_url=echo_server.url, api_key="none", max_retries=0)
    source: Any = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    message: Any = {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "Why?"}]}
    answer = client.messages.create(model="echo", max_tokens=99, messages=[message])
    assert answer.content[0].text == "[image 640x480]\nWhy?"  # type: ignore[union-attr]
    source["data"] = base64.b64encode(b"<svg></svg>").decode()
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content\[0\]\.source\.data.*SVG"):
        client.messages.create(model="echo", max_tokens=99, messages=[message])


def test_a_chat_reads_the_transcript_of_a_recording(server: LiveServer) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    sound = {"data": base64.b64encode(RECORDING.read_bytes()).decode(), "format": "wav"}
    messages: Any = [{"role": "user", "content": [{"type": "input_audio", "input_audio": sound}]}]
    model = next(model.id for model in client.models.list() if "chat" in model.capabilities)  # type: ignore[attr-defined]
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=messages, max_tokens=8, extra_body={"audio_input": "transcribe"}
    )
    assert "whisper" in raw.headers["x-transcription-model"]
    assert raw.parse().choices[0].message.content
    content: Any = [{"type": "input_audio", "input_audio": sound}]
    response = client.responses.create(
        model=model,
        input=[{"role": "user", "content": content}],
        max_output_tokens=8,
        extra_body={"audio_input": "transcribe"},
    )
    (item,) = client.responses.input_items.list(response.id).data
    heard: Any = item.content[0]  # type: ignore[union-attr]
    assert "hello" in heard.transcript.lower()
    with pytest.raises(openai.BadRequestError, match="input_audio"):
        client.chat.completions.create(model=model, messages=messages)
