"""Whole turns over a WebSocket: events in OpenAI's order, with ids that agree."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from providers.chat.types import (
    Accepted,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from providers.errors import EngineCrashed, QueueFull
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import TEXT, WORDS, repeat, speaking_app
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import make_app

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}


def say(socket: Socket, text: str, **fields: Any) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    socket.send("conversation.item.create", item=item, **fields)


async def test_a_text_turn() -> None:
    chat = FakeChat(script=repeat)
    async with connected(make_app(chat)) as socket:
        session = (await socket.until("session.created"))["session"]
        assert session["output_modalities"] == ["text"]
        assert session["model"] == "org/fake"
        say(socket, "one two three")
        socket.send("response.create", response={"instructions": "Be brief.", "metadata": {"a": "b"}})
        done = (await socket.until("response.done"))["response"]
    assert socket.types(since="session.created") == [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert done["status"] == "completed"
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "one two three"}]
    assert done["usage"]["total_tokens"] == 14
    assert done["metadata"] == {"a": "b"}
    deltas = [event["delta"] for event in socket.events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "one two three"
    (prompt,) = [request.prompt for request in chat.requests]
    assert isinstance(prompt, ChatPrompt)
    assert [(turn.role, turn.content) for turn in prompt.messages] == [
        ("system", "Be brief."),
        ("user", "one two three"),
    ]


async def test_ids_of_a_response_agree() -> None:
    async with connected(make_app(FakeChat(script=repeat))) as socket:
        say(socket, "one two", event_id="mine")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert {event["response_id"] for event in socket.events if "response_id" in event} == {done["id"]}
    item = done["output"][0]["id"]
    assert {event["item_id"] for event in socket.events if "item_id" in event} == {item}
    added = [event for event in socket.events if event["type"] == "conversation.item.added"]
    assert added[0]["previous_item_id"] is None
    assert added[1]["previous_item_id"] == added[0]["item"]["id"]
    assert len({event["event_id"] for event in socket.events}) == len(socket.events)


async def test_a_spoken_turn() -> None:
    app = await speaking_app(FakeChat(script=repeat))
    async with connected(app) as socket:
        assert (await socket.until("session.created"))["session"]["output_modalities"] == ["audio"]
        say(socket, TEXT)
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": TEXT}]
    kinds = [event["type"] for event in socket.events]
    assert kinds[-6:] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    sound = b"".join(b64decode(e["delta"]) for e in socket.events if e["type"] == "response.output_audio.delta")
    words = [word for e in socket.events if e["type"] == "response.output_audio.words" for word in e["words"]]
    visemes = [v for e in socket.events if e["type"] == "response.output_audio.visemes" for v in e["visemes"]]
    assert max(len(e["delta"]) for e in socket.events if e["type"] == "response.output_audio.delta") <= 32_000
    assert [word["word"] for word in words] == WORDS
    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == pytest.approx(len(sound) / 2 / 24_000)


async def test_g711_is_a_third_as_many_samples_on_the_same_clock() -> None:
    app = await speaking_app(FakeChat(script=repeat))
    sounds, ends = [], []
    for format in ("audio/pcm", "audio/pcmu", "audio/pcma"):
        async with connected(app) as socket:
            socket.send("session.update", session={"audio": {"output": {"format": {"type": format}}}})
            say(socket, TEXT)
            socket.send("response.create")
            await socket.until("response.done")
        deltas = [e["delta"] for e in socket.events if e["type"] == "response.output_audio.delta"]
        sounds.append(sum(len(b64decode(delta)) for delta in deltas))
        ends.append([e for e in socket.events if e["type"] == "response.output_audio.words"][-1]["words"][-1])
    assert sounds[0] / 6 == pytest.approx(sounds[1], abs=2)
    assert sounds[1] == sounds[2]
    assert ends[0] == ends[1] == ends[2]


async def test_a_function_is_called_and_its_result_is_read() -> None:
    async def call(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        assert isinstance(request.prompt, ChatPrompt)
        yield Accepted(3, 0)
        if request.prompt.messages[-1].role == "tool":
            yield TextDelta(f"It is {request.prompt.messages[-1].content}.")
            yield Finished("stop", Usage(3, 3), 0.0, 0.0)
            return
        yield ToolCallDelta(0, id="call_1", name="look")
        yield ToolCallDelta(0, '{"at": ')
        yield ToolCallDelta(0, '"sky"}')
        yield Finished("tool_calls", Usage(3, 3), 0.0, 0.0)

    chat = FakeChat(script=call)
    async with connected(make_app(chat)) as socket:
        socket.send("session.update", session={"type": "realtime", "tools": [TOOL], "tool_choice": "auto"})
        await socket.until("session.updated")
        say(socket, "Look.")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
        assert socket.types(since="response.created") == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        (made,) = done["output"]
        assert (made["name"], made["call_id"], made["arguments"]) == ("look", "call_1", '{"at": "sky"}')
        result = {"type": "function_call_output", "call_id": "call_1", "output": "blue"}
        socket.send("conversation.item.create", item=result)
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert done["output"][0]["content"][0]["text"] == "It is blue."
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [turn.role for turn in prompt.messages] == ["user", "assistant", "tool"]
    assert prompt.messages[1].tool_calls is not None
    assert [tool.name for tool in prompt.tools] == ["look"]


async def forever(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    yield Accepted(5, 0)
    while True:
        yield TextDelta("word ")
        await asyncio.sleep(0)


async def test_cancel_ends_generation_and_the_conversation_goes_on() -> None:
    chat = FakeChat(script=forever)
    async with connected(make_app(chat)) as socket:
        say(socket, "Go on.")
        socket.send("response.create")
        await socket.until("response.output_text.delta")
        socket.send("response.cancel")
        done = (await socket.until("response.done"))["response"]
        await asyncio.wait_for(chat.closed.wait(), 10)
        assert done["status"] == "cancelled"
        assert done["status_details"]["reason"] == "client_cancelled"
        assert done["output"][0]["status"] == "incomplete"
        count = len(socket.events)
        socket.send("response.cancel", event_id="again")
        error = (await socket.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "again")
        assert len(socket.events) == count + 1
        chat.script = repeat
        say(socket, "And now?")
        socket.send("response.create")
        assert (await socket.until("response.done"))["response"]["status"] == "completed"


async def test_a_conversation_has_one_response_at_a_time_and_others_run_apart() -> None:
    chat = FakeChat(script=forever)
    async with connected(make_app(chat)) as socket:
        say(socket, "Go on.")
        socket.send("response.create")
        await socket.until("response.output_text.delta")
        socket.send("response.create", event_id="second")
        error = (await socket.until("error"))["error"]
        assert error["code"] == "conversation_already_has_active_response"
        chat.script = repeat
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "apart"}]}
        socket.send("response.create", response={"conversation": "none", "input": [item]})
        done = (await socket.until("response.done"))["response"]
        assert done["conversation_id"] is None
        assert done["output"][0]["content"][0]["text"] == "apart"
        socket.send("response.cancel")
        await socket.until("response.done")
    items = [event["item"]["id"] for event in socket.events if event["type"] == "conversation.item.added"]
    assert done["output"][0]["id"] not in items


@pytest.mark.parametrize("error", [QueueFull("no room"), EngineCrashed("it died")])
async def test_a_failure_is_an_event_and_the_session_goes_on(error: Exception) -> None:
    async def fail(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 0)
        yield TextDelta("a part ")
        raise error

    chat = FakeChat(script=fail)
    async with connected(make_app(chat)) as socket:
        say(socket, "Hi")
        socket.send("response.create")
        assert (await socket.until("error"))["error"]["message"] == str(error)
        done = (await socket.until("response.done"))["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"]
        assert done["output"][0]["status"] == "incomplete"
        chat.script = repeat
        socket.send("response.create")
        assert (await socket.until("response.done"))["response"]["status"] == "completed"


async def test_the_end_of_the_connection_frees_the_slot() -> None:
    chat = FakeChat(script=forever)
    async with connected(make_app(chat)) as socket:
        say(socket, "Go on.")
        socket.send("response.create")
        await socket.until("response.output_text.delta")
    assert chat.closed.is_set()


async def told_and_called(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    yield Accepted(3, 0)
    yield TextDelta("I will look. ")
    for number in range(2):
        yield ToolCallDelta(number, id=f"call_{number}", name="look")
        yield ToolCallDelta(number, "{}")
    yield TextDelta("I looked.")
    yield Finished("tool_calls", Usage(3, 9), 0.0, 0.0)


async def test_an_item_of_a_text_ends_before_the_next_one_begins() -> None:
    async with connected(make_app(FakeChat(script=told_and_called))) as socket:
        say(socket, "Look.")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert [item["type"] for item in done["output"]] == ["message", "function_call", "function_call", "message"]
    items = [event for event in socket.events if event["type"].startswith("response.output_item")]
    assert [(event["type"][21:], event["output_index"]) for event in items] == [
        (step, index) for index in range(4) for step in ("added", "done")
    ]


async def test_a_call_comes_while_the_text_before_it_is_spoken() -> None:
    async with connected(await speaking_app(FakeChat(script=told_and_called))) as socket:
        say(socket, "Look.")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert [item["type"] for item in done["output"]] == ["message", "function_call", "function_call"]
    assert done["output"][0]["content"][0]["transcript"] == "I will look. I looked."
    kinds = [event["type"] for event in socket.events]
    assert kinds.index("response.function_call_arguments.done") < kinds.index("response.output_audio.done")
