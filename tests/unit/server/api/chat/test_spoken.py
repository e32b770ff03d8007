"""Chat completions with `modalities: ["text", "audio"]`."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar import Litestar

from otel.testing import capture_spans
from providers.chat.types import ChatPrompt, GenerationEvent, GenerationRequest
from providers.errors import QueueFull
from server.api.spoken.said import KEPT_ANSWERS
from tests.unit.server.api.grounding.passages import BEES, searching
from tests.unit.server.api.speech.sounds import RATE, decoded
from tests.unit.server.api.spoken.apps import TEXT, WORDS, WithoutHan, repeat, speaking_app
from tests.unit.server.fakes import FakeChat, hello
from tests.unit.server.harness import Exchange, ask, make_app


@pytest.fixture
def chat() -> FakeChat:
    return FakeChat(script=repeat)


@pytest.fixture
async def app(chat: FakeChat) -> Litestar:
    return await speaking_app(chat)


def body(**fields: Any) -> dict[str, Any]:
    return {
        "model": "org/fake",
        "messages": [{"role": "user", "content": TEXT}],
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "pcm16"},
        **fields,
    }


async def whole(app: Litestar, **fields: Any) -> dict[str, Any]:
    answer = await ask(app, json=body(**fields))
    assert answer.status == 200, answer.body
    message: dict[str, Any] = json.loads(answer.body)["choices"][0]["message"]
    return message


def deltas(answer: Exchange) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines]


async def test_the_answer_is_a_transcript_with_its_sound(app: Litestar) -> None:
    message = await whole(app, audio={"voice": "alloy", "format": "wav"})

    audio = message["audio"]
    assert message["content"] is None
    assert audio["transcript"] == TEXT
    assert len(decoded("wav", base64.b64decode(audio["data"]))) == round(audio["duration"] * RATE)
    assert [word["word"] for word in audio["words"]] == WORDS
    assert [TEXT[word["start_char"] : word["end_char"]] for word in audio["words"]] == WORDS
    assert audio["visemes"][0]["start_time"] == 0
    assert audio["visemes"][-1]["end_time"] == audio["duration"]


async def test_passages_are_read_and_reported_but_no_marks_are_asked_for(
    app: Litestar, chat: FakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, BEES)
    chat.script = hello
    context = {"vector_store_ids": ["vs_1"]}
    answer = json.loads((await ask(app, json=body(context=context))).body)
    first = (await ask(app, json=body(context=context, stream=True))).chunks[0]
    await ask(app, json=body(context=context, prefill_only=True))

    assert [each["context"]["passages"][0]["text"] for each in (answer, first)] == ["Bees dance."] * 2
    assert answer["usage"]["prompt_tokens_details"]["context_tokens"] > 0
    spoken, _, ahead = (request.prompt for request in chat.requests)
    assert isinstance(spoken, ChatPrompt)
    assert "[1] bees.md" in (spoken.messages[0].content or "")
    assert "Cite" not in (spoken.messages[0].content or "")
    assert ahead == spoken


async def test_a_stream_has_text_then_its_sound_then_the_end(app: Litestar) -> None:
    answer = await ask(app, json=body(stream=True))

    choices = deltas(answer)
    audio = [choice["delta"]["audio"] for choice in choices if "audio" in choice["delta"]]
    assert len({part["id"] for part in audio}) == 1
    assert "".join(part.get("transcript", "") for part in audio) == TEXT
    assert all("content" not in choice["delta"] for choice in choices)
    pieces = [part for part in audio if "data" in part]
    assert [part["start_sample"] for part in pieces] == [0, pieces[0]["samples"]]
    assert audio[-1]["expires_at"] > 0
    assert audio[-1]["duration"] == sum(part["samples"] for part in pieces) / RATE
    assert choices[-1]["finish_reason"] == "stop"
    assert [word["word"] for part in pieces for word in part["words"]] == WORDS


async def test_the_stream_has_the_sound_of_the_whole(app: Litestar) -> None:
    streamed = b"".join(
        base64.b64decode(choice["delta"]["audio"].get("data", ""))
        for choice in deltas(await ask(app, json=body(stream=True)))
        if "audio" in choice["delta"]
    )
    message = await whole(app)
    assert streamed == base64.b64decode(message["audio"]["data"])


async def test_without_the_modality_the_answer_is_text_and_the_voice_is_noted(app: Litestar) -> None:
    answer = await ask(app, json=body(modalities=["text"]))
    assert "audio" not in json.loads(answer.body)["choices"][0]["message"]
    assert answer.headers["x-ignored-parameters"] == "audio"


async def test_a_server_without_a_voice_says_so() -> None:
    answer = await ask(make_app(FakeChat()), json=body())
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "modalities")
    assert "speaks" in error["message"]


async def test_an_unknown_voice_is_refused_before_anything_is_generated(app: Litestar) -> None:
    answer = await ask(app, json=body(audio={"voice": "nobody"}, stream=True))
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert error["param"] == "audio.voice"
    assert "af_heart" in error["message"]


async def test_gestures_are_those_of_the_speech_endpoint(app: Litestar) -> None:
    options = {"include_visemes": True, "include_gestures": True, "gesture_seed": 7}
    text = "Cats are quiet animals! Dogs are very loud, are they not? " * 3
    said = await ask(app, path="/v1/audio/speech", json={"input": text, "voice": "alloy", **options})
    fields = {"messages": [{"role": "user", "content": text}], "audio": {"voice": "alloy", **options}}

    gestures = (await whole(app, **fields))["audio"]["gestures"]
    pieces = [choice["delta"].get("audio", {}) for choice in deltas(await ask(app, json=body(stream=True, **fields)))]

    assert gestures == said.json["gestures"] != []
    assert [made for piece in pieces for made in piece.get("gestures", ())] == gestures


async def test_gestures_are_left_out_unless_they_are_requested(app: Litestar) -> None:
    assert "gestures" not in (await whole(app))["audio"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"include_gestures": True, "include_visemes": False}, "audio.include_gestures"),
        ({"gesture_seed": 1}, "audio.gesture_seed"),
        ({"gesture_seed": 1, "include_gestures": False}, "audio.gesture_seed"),
    ],
)
async def test_options_of_gestures_that_contradict_each_other_are_refused(
    app: Litestar, options: dict[str, Any], param: str
) -> None:
    answer = await ask(app, json=body(audio=options))
    assert (answer.status, answer.error["param"]) == (400, param)


async def test_what_the_voice_cannot_say_is_named_with_its_place_in_the_transcript(chat: FakeChat) -> None:
    han = "\u4f60\u597d"
    text = f"Cats are quiet animals. They say {han} to us.\n{han}{han}{han}, {han}{han}{han}.\nDogs are loud animals."
    app = await speaking_app(chat, WithoutHan)
    turns = [{"role": "user", "content": text}]

    audio = (await whole(app, messages=turns))["audio"]
    end = deltas(await ask(app, json=body(messages=turns, stream=True)))[-2]["delta"]["audio"]

    assert [part["text"] for part in audio["unspoken"]] == [han, f"{han * 3}, {han * 3}"]
    for part in audio["unspoken"]:
        assert text[part["start_char"] : part["end_char"]] == part["text"]
    assert audio["unspoken"] == end["unspoken"]
    assert "unspoken" not in (await whole(app))["audio"]


async def test_audio_has_no_tokens(app: Litestar) -> None:
    usage = (await ask(app, json=body())).json["usage"]
    assert usage["prompt_tokens_details"]["audio_tokens"] == usage["completion_tokens_details"]["audio_tokens"] == 0


async def test_a_later_turn_refers_to_the_answer(app: Litestar, chat: FakeChat) -> None:
    audio = (await whole(app))["audio"]
    assert await turn_of(app, chat, {"audio": {"id": audio["id"]}}) == TEXT


@pytest.mark.parametrize(("before_the_end", "heard"), [(0, "Cats are quiet"), (0.02, "Cats are"), (100, "")])
async def test_a_later_turn_holds_what_was_heard(
    app: Litestar, chat: FakeChat, before_the_end: float, heard: str
) -> None:
    audio = (await whole(app))["audio"]
    played = max(0, audio["words"][2]["end_time"] - before_the_end)
    assert await turn_of(app, chat, {"audio": {"id": audio["id"], "played_ms": 1000 * played}}) == heard


async def test_what_was_heard_is_reported_by_id(app: Litestar, chat: FakeChat) -> None:
    answer = (await ask(app, json=body())).json
    audio = answer["choices"][0]["message"]["audio"]
    for id, word in ((answer["id"], 1), (audio["id"], 2)):
        played = 1000 * audio["words"][word]["end_time"]
        report = await ask(app, path=f"/v1/chat/completions/{id}/heard", json={"played_ms": played})
        assert report.status == 200
        assert report.json["transcript"] == " ".join(WORDS[: word + 1])
        assert report.json["complete"] is False
        assert await turn_of(app, chat, {"audio": {"id": audio["id"]}}) == report.json["transcript"]


async def test_a_client_that_keeps_texts_names_the_answer_in_its_next_request(app: Litestar, chat: FakeChat) -> None:
    audio = (await whole(app))["audio"]
    heard = [{"audio_id": audio["id"], "played_ms": 1000 * audio["words"][1]["end_time"]}]
    assert await turn_of(app, chat, {"content": TEXT}, heard=heard) == "Cats are"


async def test_an_answer_that_is_not_kept_leaves_the_turn_its_text_and_is_noted(app: Litestar, chat: FakeChat) -> None:
    assert await turn_of(app, chat, {"content": "I said it.", "audio": {"id": "audio_gone"}}) == "I said it."
    assert await turn_of(app, chat, {"audio": {"id": "audio_gone"}}) == ""
    spoken = {"role": "assistant", "audio": {"id": "audio_gone"}}
    heard = [{"audio_id": "audio_gone", "played_ms": 5}]
    answer = await ask(app, json=body(messages=[spoken, {"role": "user", "content": "Go on."}], heard=heard))
    assert answer.headers["x-ignored-parameters"] == "heard[].audio_id, messages[].audio"


async def test_a_report_on_an_answer_that_is_not_kept_is_not_found(app: Litestar) -> None:
    report = await ask(app, path="/v1/chat/completions/gone/heard", json={"played_ms": 5})
    assert report.status == 404


async def test_a_report_s_events_are_a_span_of_the_answer_s_trace(app: Litestar) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "x-request-id": "turn-1"}
    report = {"played_ms": 100, "events": [{"type": "started", "at_ms": 1}, {"type": "ended", "at_ms": 2.5}]}
    with capture_spans() as spans:
        answer = (await ask(app, json=body(), headers=headers)).json
        for id in (answer["choices"][0]["message"]["audio"]["id"], answer["id"]):
            assert (await ask(app, path=f"/v1/chat/completions/{id}/heard", json=report)).status == 200

    server, playback = spans.one("POST /v1/chat/completions"), spans.one("client playback")
    assert playback.parent == server.context
    assert [event.name for event in playback.events] == ["playback.started", "playback.ended"]
    assert dict(playback.attributes or {})["request.id"] == "turn-1"


@pytest.mark.parametrize(
    ("events", "where"),
    [
        ([{"type": "laughed", "at_ms": 1}], "events[0].type"),
        ([{"type": "started", "at_ms": -1}], "events[0].at_ms"),
        ([{"type": "started", "at_ms": 1}] * 129, "events"),
    ],
)
async def test_events_of_a_report_are_bounded(app: Litestar, events: list[dict[str, Any]], where: str) -> None:
    audio = (await whole(app))["audio"]
    report = {"played_ms": 100, "events": events}
    answer = await ask(app, path=f"/v1/chat/completions/{audio['id']}/heard", json=report)
    assert (answer.status, answer.error["param"]) == (400, where)


async def test_refused_requests_push_no_kept_answer_out(app: Litestar, chat: FakeChat) -> None:
    audio = (await whole(app))["audio"]

    async def full(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise QueueFull("the queue is full", retry_after=1.0)
        yield

    chat.script = full
    for _ in range(KEPT_ANSWERS):
        assert (await ask(app, json=body())).status == 429
    chat.script = repeat
    assert await turn_of(app, chat, {"audio": {"id": audio["id"]}}) == TEXT


async def test_spoken_time_is_bounded(app: Litestar) -> None:
    sentence = "Cats are quiet animals. "
    one = (await whole(app, messages=[{"role": "user", "content": sentence.strip()}]))["audio"]["duration"]
    turns = [{"role": "user", "content": sentence * 10}]
    message = await whole(app, messages=turns, max_spoken_seconds=2.5 * one)
    assert message["audio"]["transcript"] == sentence * 2


async def turn_of(app: Litestar, chat: FakeChat, turn: dict[str, Any], **fields: Any) -> str | None:
    """The text that the model sees of an assistant's turn."""
    user = {"role": "user", "content": "Go on."}
    await whole(app, messages=[user, {"role": "assistant", **turn}, user], **fields)
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt.messages[1].content
