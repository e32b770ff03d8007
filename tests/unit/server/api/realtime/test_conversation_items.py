"""Items: order, truncation at what was heard, deletion, and bounds."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.realtime.items import RealtimeContent, RealtimeMessage
from providers.chat.types import ChatPrompt
from providers.errors import InvalidRequest
from server.api.realtime import conversation
from server.api.realtime.conversation import Conversation, Item
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import TEXT, repeat, speaking_app
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import make_app


def item(id: str, text: str = "Hi", sound: bytes = b"") -> Item:
    content = [RealtimeContent(type="input_text", text=text)]
    return Item(RealtimeMessage(id=id, status="completed", role="user", content=content), sound=sound)


def test_items_are_inserted_after_others() -> None:
    made = Conversation("c")
    assert made.add(item("b")) is None
    assert made.add(item("d")) == "b"
    assert made.add(item("c"), "b") == "b"
    assert made.add(item("a"), "root") is None
    assert [each.id for each in made] == ["a", "b", "c", "d"]
    made.delete("b")
    assert made.before(made.find("c")) == "a"
    with pytest.raises(InvalidRequest, match="already"):
        made.add(item("a"))


def test_the_oldest_recordings_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_SOUND_BYTES", 10)
    made = Conversation("c")
    for id in "abc":
        made.add(item(id, sound=b"12345"))
    assert [bool(each.sound) for each in made] == [False, True, True]


def test_a_conversation_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_BYTES", 10_000)
    made = Conversation("c")
    made.check_room()
    made.add(item("a", "x" * 10_000))
    with pytest.raises(InvalidRequest, match="full"):
        made.check_room()


async def spoken_answer(socket: Socket) -> dict[str, Any]:
    content = [{"type": "input_text", "text": TEXT}]
    socket.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    socket.send("response.create")
    done = (await socket.until("response.done"))["response"]
    answer: dict[str, Any] = done["output"][0]
    return answer


async def test_an_answer_is_cut_at_what_was_heard() -> None:
    chat = FakeChat(script=repeat)
    async with connected(await speaking_app(chat)) as socket:
        answer = await spoken_answer(socket)
        words = [word for e in socket.events if e["type"] == "response.output_audio.words" for word in e["words"]]
        played = round(words[2]["end_time"] * 1000) + 5
        socket.send("conversation.item.truncate", item_id=answer["id"], content_index=0, audio_end_ms=played)
        assert (await socket.until("conversation.item.truncated"))["audio_end_ms"] == played
        socket.send("conversation.item.retrieve", item_id=answer["id"])
        (part,) = (await socket.until("conversation.item.retrieved"))["item"]["content"]
        assert part == {"type": "output_audio", "transcript": "Cats are quiet"}
        await spoken_answer(socket)
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [turn.content for turn in prompt.messages] == [TEXT, "Cats are quiet", TEXT]


async def test_an_answer_that_was_not_heard_is_no_turn() -> None:
    chat = FakeChat(script=repeat)
    async with connected(await speaking_app(chat)) as socket:
        answer = await spoken_answer(socket)
        socket.send("conversation.item.truncate", item_id=answer["id"], content_index=0, audio_end_ms=0)
        await spoken_answer(socket)
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert "assistant" not in [turn.role for turn in prompt.messages]


async def test_more_than_the_audio_cannot_be_heard() -> None:
    async with connected(await speaking_app(FakeChat(script=repeat))) as socket:
        answer = await spoken_answer(socket)
        socket.send("conversation.item.truncate", item_id=answer["id"], content_index=0, audio_end_ms=600_000)
        assert (await socket.until("error"))["error"]["param"] == "audio_end_ms"


async def test_texts_are_not_truncated() -> None:
    async with connected(make_app(FakeChat())) as socket:
        content = [{"type": "input_text", "text": "Hi"}]
        given = {"id": "mine", "type": "message", "role": "user", "content": content}
        socket.send("conversation.item.create", item=given)
        socket.send("conversation.item.truncate", item_id="mine", content_index=0, audio_end_ms=1)
        assert (await socket.until("error"))["error"]["param"] == "item_id"


async def test_a_deleted_item_is_not_read() -> None:
    chat = FakeChat(script=repeat)
    async with connected(make_app(chat)) as socket:
        for id in ("first", "second"):
            content = [{"type": "input_text", "text": id}]
            given = {"id": id, "type": "message", "role": "user", "content": content}
            socket.send("conversation.item.create", item=given)
        socket.send("conversation.item.delete", item_id="second")
        assert (await socket.until("conversation.item.deleted"))["item_id"] == "second"
        socket.send("response.create")
        await socket.until("response.done")
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [turn.content for turn in prompt.messages] == ["first"]
