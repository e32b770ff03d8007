"""Responses with `modalities: ["text", "audio"]`."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar import Litestar

from providers.chat.types import Accepted, ChatPrompt, GenerationEvent, GenerationRequest, TextDelta
from providers.errors import EngineCrashed
from tests.unit.server.api.responses.scripts import CALL, PATH, WEATHER, script, stream_events, types
from tests.unit.server.api.speech.sounds import RATE, decoded
from tests.unit.server.api.spoken.apps import TEXT, WORDS, WithoutHan, repeat, speaking_app
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import WAIT, ask, make_app, start


@pytest.fixture
def chat() -> FakeChat:
    return FakeChat(script=repeat)


@pytest.fixture
async def app(chat: FakeChat) -> Litestar:
    return await speaking_app(chat)


def body(**fields: Any) -> dict[str, Any]:
    return {
        "model": "org/fake",
        "input": TEXT,
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "pcm16"},
        **fields,
    }


async def whole(app: Litestar, **fields: Any) -> dict[str, Any]:
    answer = await ask(app, path=PATH, json=body(**fields))
    assert answer.status == 200, answer.body
    response: dict[str, Any] = answer.json
    return response


async def streamed(app: Litestar, **fields: Any) -> list[dict[str, Any]]:
    return stream_events(await ask(app, path=PATH, json=body(stream=True, **fields)))


def of(events: list[dict[str, Any]], type_: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == f"response.{type_}"]


async def test_a_response_has_its_text_and_its_sound(app: Litestar) -> None:
    response = await whole(app, audio={"voice": "alloy", "format": "wav"})

    audio = response["audio"]
    assert response["output"][0]["content"][0]["text"] == audio["transcript"] == TEXT
    assert len(decoded("wav", base64.b64decode(audio["data"]))) == round(audio["duration"] * RATE)
    assert [word["word"] for word in audio["words"]] == WORDS
    assert audio["visemes"][-1]["end_time"] == audio["duration"]


async def test_a_stream_has_the_sound_beside_the_events_of_the_text(app: Litestar) -> None:
    events = await streamed(app)

    assert "".join(event["delta"] for event in of(events, "output_text.delta")) == TEXT
    assert "".join(event["delta"] for event in of(events, "audio.transcript.delta")) == TEXT
    pieces = of(events, "audio.delta")
    assert [piece["start_sample"] for piece in pieces] == [0, pieces[0]["samples"]]
    assert [word["word"] for piece in pieces for word in piece["words"]] == WORDS
    assert of(events, "audio.transcript.done")[0]["transcript"] == TEXT
    assert of(events, "audio.done")[0]["duration"] == sum(piece["samples"] for piece in pieces) / RATE
    assert len({event["audio_id"] for event in events if ".audio." in event["type"]}) == 1
    order = types(events)
    assert order.index("audio.transcript.delta") < order.index("audio.delta")
    assert order[-6:] == [
        "audio.transcript.done",
        "audio.done",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


async def test_the_stream_has_the_sound_of_the_whole(app: Litestar) -> None:
    pieces = of(await streamed(app), "audio.delta")
    sound = b"".join(base64.b64decode(piece["delta"]) for piece in pieces)
    assert sound == base64.b64decode((await whole(app))["audio"]["data"])


async def test_the_stored_response_names_its_audio_without_the_sound(app: Litestar) -> None:
    for response in (await whole(app), of(await streamed(app), "completed")[0]["response"]):
        stored = (await ask(app, "GET", f"{PATH}/{response['id']}")).json
        assert stored["audio"].keys() == {"id", "expires_at", "transcript", "sample_rate", "duration"}
        assert stored["audio"].items() <= response["audio"].items()


async def test_a_response_of_calls_has_no_audio(app: Litestar, chat: FakeChat) -> None:
    chat.script = script(*CALL)
    assert "audio" not in await whole(app, tools=[WEATHER])
    assert not [name for name in types(await streamed(app, tools=[WEATHER])) if name.startswith("audio")]


async def test_the_audio_of_a_text_may_follow_the_call_after_it(app: Litestar, chat: FakeChat) -> None:
    chat.script = script(TextDelta("Let me look it up. "), *CALL)
    events = await streamed(app, tools=[WEATHER])
    assert of(events, "audio.transcript.done")[0]["transcript"] == "Let me look it up. "
    assert [item["type"] for item in of(events, "completed")[0]["response"]["output"]] == ["message", "function_call"]


async def test_without_the_modality_the_response_is_text_and_the_voice_is_noted(app: Litestar) -> None:
    answer = await ask(app, path=PATH, json=body(modalities=["text"]))
    assert "audio" not in answer.json
    assert answer.headers["x-ignored-parameters"] == "audio"


async def test_the_modalities_have_two_names_that_agree(app: Litestar) -> None:
    assert "audio" in await whole(app, modalities=None, output_modalities=["audio", "text"])
    refused = await ask(app, path=PATH, json=body(output_modalities=["text"]))
    assert (refused.status, refused.error["param"]) == (400, "output_modalities")


async def test_a_server_without_a_voice_refuses() -> None:
    answer = await ask(make_app(FakeChat()), path=PATH, json=body())
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "unsupported_parameter", "modalities")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_voice_is_refused_before_anything_is_generated(
    app: Litestar, chat: FakeChat, stream: bool
) -> None:
    answer = await ask(app, path=PATH, json=body(audio={"voice": "nobody"}, stream=stream))
    assert (answer.status, answer.error["param"]) == (400, "audio.voice")
    assert chat.requests == []


async def test_spoken_time_is_bounded(app: Litestar) -> None:
    sentence = "Cats are quiet animals. "
    one = (await whole(app, input=sentence.strip()))["audio"]["duration"]
    response = await whole(app, input=sentence * 10, max_spoken_seconds=2.5 * one)
    assert response["audio"]["transcript"] == response["output"][0]["content"][0]["text"] == sentence * 2
    assert response["status"] == "incomplete"


async def test_gestures_and_what_is_not_said_are_beside_the_sound(chat: FakeChat) -> None:
    text = "Cats are quiet animals! \u4f60\u597d\u3002Dogs are very loud, are they not?"
    app = await speaking_app(chat, WithoutHan)
    options = {"audio": {"include_gestures": True, "gesture_seed": 3}, "input": text}
    audio = (await whole(app, **options))["audio"]
    assert audio["unspoken"] == [{"text": "\u4f60\u597d", "start_char": 24, "end_char": 26}]
    assert {gesture["role"] for gesture in audio["gestures"]} == {"speaker", "listener"}

    events = await streamed(app, **options)
    assert [made for event in of(events, "audio.delta") for made in event["gestures"]] == audio["gestures"]
    assert of(events, "audio.done")[0]["unspoken"] == audio["unspoken"]
    stored = of(events, "completed")[0]["response"]["audio"]
    assert stored["unspoken"] == audio["unspoken"]
    assert "gestures" not in stored


async def test_a_failed_stream_names_the_audio_so_far(app: Litestar, chat: FakeChat) -> None:
    async def crash(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        async for event in repeat(_):
            yield event
            if isinstance(event, TextDelta) and event.text.startswith("loud"):
                raise EngineCrashed("the engine has crashed")

    chat.script = crash
    failed = (await streamed(app))[-1]
    assert failed["type"] == "response.failed"
    assert failed["response"]["audio"]["id"].startswith("audio_")


async def test_closing_the_connection_ends_both_and_what_was_heard_counts(app: Litestar, chat: FakeChat) -> None:
    async def endless(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 0)
        yield TextDelta("Cats are quiet animals. Dogs")
        await asyncio.Event().wait()

    chat.script = endless
    exchange = start(app, path=PATH, json=body(stream=True))
    await exchange.until(b"response.audio.delta")
    exchange.disconnect()
    await asyncio.wait_for(chat.closed.wait(), WAIT)
    await exchange.finished()

    response = stream_events(exchange)[0]["response"]
    stored = (await ask(app, "GET", f"{PATH}/{response['id']}")).json
    assert (stored["status"], stored["audio"]["transcript"]) == ("cancelled", "Cats are quiet animals. Dogs")
    chat.script = repeat
    report = [{"audio_id": response["id"], "played_ms": 0}]
    assert await turn_after(app, chat, response, heard=report) == ""


class TestHeard:
    """A response that continues a spoken one reads what was heard of it."""

    @pytest.mark.parametrize(("word", "heard"), [(1, "Cats are"), (2, "Cats are quiet"), (6, TEXT)])
    async def test_by_the_previous_response(self, app: Litestar, chat: FakeChat, word: int, heard: str) -> None:
        response = await whole(app)
        report = [{"audio_id": response["audio"]["id"], "played_ms": end_of(response, word)}]
        assert await turn_after(app, chat, response, heard=report) == heard

    async def test_by_the_id_of_the_response(self, app: Litestar, chat: FakeChat) -> None:
        response = await whole(app)
        report = [{"audio_id": response["id"], "played_ms": 0}]
        assert await turn_after(app, chat, response, heard=report) == ""

    async def test_a_report_of_its_own_holds_for_later_turns(self, app: Litestar, chat: FakeChat) -> None:
        response = await whole(app)
        for id in (response["id"], response["audio"]["id"]):
            path = f"{PATH}/{id}/heard"
            report = (await ask(app, path=path, json={"played_ms": end_of(response, 2)})).json
            assert (report["object"], report["transcript"]) == ("response.audio.heard", "Cats are quiet")
        assert await turn_after(app, chat, response) == "Cats are quiet"

    async def test_items_that_are_sent_back_are_cut(self, app: Litestar, chat: FakeChat) -> None:
        response = await whole(app)
        report = [{"audio_id": response["audio"]["id"], "played_ms": end_of(response, 1)}]
        user = {"role": "user", "content": "Go on."}
        items: list[list[Any]] = [response["output"], [{"role": "assistant", "content": TEXT}]]
        for turn in [*items, [{"type": "item_reference", "id": response["output"][0]["id"]}]]:
            await whole(app, input=[*turn, user], heard=report)
            assert contents(chat)[0] == "Cats are"

    async def test_a_text_that_the_client_wrote_stays(self, app: Litestar, chat: FakeChat) -> None:
        response = await whole(app)
        message = response["output"][0]
        message["content"][0]["text"] = "Dogs are quiet."
        report = [{"audio_id": response["audio"]["id"], "played_ms": 0}]
        await whole(app, input=[message, {"role": "user", "content": "Go on."}], heard=report)
        assert contents(chat)[0] == "Dogs are quiet."

    async def test_a_cut_reaches_across_the_messages_of_a_response(self, app: Litestar, chat: FakeChat) -> None:
        chat.script = script(TextDelta("Let me look it up. "), *CALL, TextDelta("It is raining there."))
        response = await whole(app, tools=[WEATHER])
        chat.script = repeat
        report = [{"audio_id": response["audio"]["id"], "played_ms": end_of(response, 6)}]
        await whole(app, input="Go on.", previous_response_id=response["id"], heard=report)
        said = [message.content for message in prompt(chat).messages if message.role == "assistant"]
        assert said == ["Let me look it up. ", "It is"]

    async def test_an_unknown_answer_is_noted(self, app: Litestar, chat: FakeChat) -> None:
        answer = await ask(app, path=PATH, json=body(heard=[{"audio_id": "audio_gone", "played_ms": 5}]))
        assert answer.headers["x-ignored-parameters"] == "heard[].audio_id"
        assert (await ask(app, path=f"{PATH}/resp_gone/heard", json={"played_ms": 5})).status == 404


def end_of(response: dict[str, Any], word: int) -> float:
    """The milliseconds up to the end of a word."""
    end: float = response["audio"]["words"][word]["end_time"]
    return 1000 * end


async def turn_after(app: Litestar, chat: FakeChat, response: dict[str, Any], **fields: Any) -> str | None:
    """The text that the model reads of the response that the next one continues."""
    await whole(app, input="Go on.", previous_response_id=response["id"], **fields)
    return contents(chat)[1]


def prompt(chat: FakeChat) -> ChatPrompt:
    asked = chat.requests[-1].prompt
    assert isinstance(asked, ChatPrompt)
    return asked


def contents(chat: FakeChat) -> list[str | None]:
    return [message.content for message in prompt(chat).messages]
